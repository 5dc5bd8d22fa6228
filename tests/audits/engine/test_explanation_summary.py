"""Importance over all rows: known by hand, of each output, with intervals, in one bounded pass."""

from __future__ import annotations

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.explainers.base import Attribution
from audits.engine.explainers.outputs import OutputWords
from audits.engine.explanation import summary
from audits.engine.explanation.keeping import KeptAttribution
from audits.engine.explanation.mapped import MappedArray
from audits.engine.explanation.summary import Importance
from tests.audits.engine.explanation_jobs import lay, signature_of
from workers.signature import Signature

MIB = 1024 * 1024


def attribution_of(values: np.ndarray, errors: np.ndarray, numbers: np.ndarray | None = None) -> Attribution:
    rows, features, outputs = values.shape
    return Attribution(
        values=values,
        base_values=np.zeros((rows, outputs)),
        errors=errors,
        data=np.zeros((rows, features)),
        feature_names=tuple(f"f{place}" for place in range(features)),
        output_names=tuple(f"o{place}" for place in range(outputs)),
        output_numbers=np.tile(np.arange(outputs), (rows, 1)) if numbers is None else numbers,
        evaluations=np.ones(rows, dtype=np.int64),
    )


def words(outputs: int) -> OutputWords:
    return OutputWords(Signature.from_json(signature_of(outputs=outputs)), count=outputs, scale="logits")


def expected(sizes: np.ndarray, errors: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """Return mean, lower and upper end by feature, from (rows, features), as the textbook has them."""
    means = sizes.mean(axis=0)
    halves = 1.96 * np.hypot(sizes.std(axis=0, ddof=1) / np.sqrt(len(sizes)), errors.mean(axis=0))
    return {
        f"f{place}": (means[place], max(0.0, means[place] - halves[place]), means[place] + halves[place])
        for place in range(len(means))
    }


def told(entries: list[dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    sizes = [entry["value"] for entry in entries]
    assert sizes == sorted(sizes, reverse=True)
    return {entry["feature"]: (entry["value"], entry["low"], entry["high"]) for entry in entries}


@pytest.fixture(params=[8, 500, 10**9], ids=str)
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("audits.engine.explainers.base.BLOCK_BYTES", request.param)


def assert_close(found: list[dict[str, Any]], wanted: dict[str, tuple[float, float, float]]) -> None:
    assert told(found).keys() == wanted.keys()
    for feature, numbers in told(found).items():
        np.testing.assert_allclose(numbers, wanted[feature], rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("blocks")
class TestBlocks:
    VALUES = np.random.default_rng(1).normal(1, 2, (29, 4, 3))
    ERRORS = np.random.default_rng(2).uniform(size=(29, 4, 3))

    def test_of_the_shown_output(self) -> None:
        shown = np.random.default_rng(3).integers(0, 3, 29)
        found = Importance(attribution_of(self.VALUES, self.ERRORS), shown, outputs_vary=False).of_shown()
        rows = np.arange(29)
        assert_close(found, expected(np.abs(self.VALUES[rows, :, shown]), self.ERRORS[rows, :, shown]))

    def test_of_each_output(self) -> None:
        importance = Importance(
            attribution_of(self.VALUES, self.ERRORS), np.zeros(29, dtype=np.intp), outputs_vary=False
        )
        found = importance.by_output(words(3))
        assert [(entry["output"], entry["name"], entry["unit"], entry["rows"]) for entry in found] == [
            (0, "good", "logit of good", 29),
            (1, "bad", "logit of bad", 29),
            (2, "class 2", "logit of class 2", 29),
        ]
        for output, entry in enumerate(found):
            assert_close(entry["importance"], expected(np.abs(self.VALUES[..., output]), self.ERRORS[..., output]))

    def test_of_each_class_where_each_row_has_its_own(self) -> None:
        numbers = np.random.default_rng(4).choice([0, 2], (29, 1))
        attribution = attribution_of(self.VALUES[..., :1], self.ERRORS[..., :1], numbers)
        found = Importance(attribution, np.zeros(29, dtype=np.intp), outputs_vary=True).by_output(words(3))
        assert [entry["output"] for entry in found] == [0, 2]
        for entry in found:
            holds = numbers[:, 0] == entry["output"]
            assert entry["rows"] == holds.sum()
            wanted = expected(np.abs(self.VALUES[holds, :, 0]), self.ERRORS[holds, :, 0])
            assert_close(entry["importance"], wanted)


def test_one_row_has_no_interval() -> None:
    importance = Importance(
        attribution_of(np.full((1, 2, 1), -3.0), np.ones((1, 2, 1))), np.zeros(1, dtype=np.intp), outputs_vary=False
    )
    assert importance.of_shown() == [
        {"feature": name, "value": 3.0, "low": None, "high": None} for name in ("f0", "f1")
    ]


def test_of_very_many_outputs_each_keeps_the_features_that_lead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary, "MOST_ENTRIES", 18)
    values = np.arange(2 * 9 * 3, dtype=float).reshape(2, 9, 3)
    importance = Importance(attribution_of(values, values * 0), np.zeros(2, dtype=np.intp), outputs_vary=False)
    assert len(importance.of_shown()) == 9
    for entry in importance.by_output(words(3)):
        assert [part["feature"] for part in entry["importance"]] == ["f8", "f7", "f6", "f5", "f4", "f3"]


def test_the_pass_over_10_000_rows_of_200_features_and_10_outputs_needs_a_few_blocks(tmp_path: Path) -> None:
    shape = (10_000, 200, 10)
    maps = [MappedArray(tmp_path / name, shape, np.float64, is_new=True) for name in ("values", "errors")]
    maps[0].array[::1000] = 1.0
    plain = attribution_of(np.zeros((1, 200, 10)), np.zeros((1, 200, 10)))
    kept = KeptAttribution(
        **{
            **{name: getattr(plain, name) for name in ("feature_names", "output_names", "evaluations")},
            "values": maps[0].array,
            "errors": maps[1].array,
            "base_values": np.zeros((1, 10)),
            "data": np.zeros((1, 200)),
            "output_numbers": np.broadcast_to(np.arange(10), (10_000, 10)),
            "maps": tuple(maps),
        }
    )
    tracemalloc.start()
    found = Importance(kept, np.zeros(10_000, dtype=np.intp), outputs_vary=False).of_shown()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found[0]["value"] == pytest.approx(0.001)
    assert peak < 32 * MIB


def test_the_job_tells_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(tmp_path / "all", monkeypatch)
    told_of_all = folder.run()["summary"]
    assert [entry["name"] for entry in told_of_all["importance_by_output"]] == ["good", "bad"]
    sizes = np.abs(folder.arrays()["values"]).mean(axis=0)
    for output, entry in enumerate(told_of_all["importance_by_output"]):
        by_name = {part["feature"]: part["value"] for part in entry["importance"]}
        np.testing.assert_allclose([by_name[name] for name in told_of_all["feature_names"]], sizes[:, output])
    predicted = lay(tmp_path / "predicted", monkeypatch, outputs="predicted").run()["summary"]
    assert sum(entry["rows"] for entry in predicted["importance_by_output"]) == 12
