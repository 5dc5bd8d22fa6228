"""What a plug-in gives is held against what it was asked for, and refused by its name; progress tells what is left."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.explainers import BUILT_IN
from audits.engine.explainers.base import Attribution, Explainer, Task
from audits.engine.explainers.permutation import PermutationExplainer
from tests.audits.engine.explanation_jobs import Cut, cut_after, lay
from workers.protocol import JobError

Spoil = Callable[[Attribution], Attribution]


@dataclass(frozen=True)
class NoParameters:
    """A plug-in without settings."""


def plug_in(spoil: Callable[[Iterator[Attribution]], Iterator[Attribution]]) -> type[Explainer]:
    class PlugIn(Explainer):
        name = "plugged"
        parameters = NoParameters

        def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
            return spoil(PermutationExplainer().parts(task, first=first))

    return PlugIn


def with_nan(values: np.ndarray) -> np.ndarray:
    changed = values.copy()
    changed.flat[0] = np.nan
    return changed


SPOILT: dict[str, tuple[Spoil, str]] = {
    "values": (lambda part: replace(part, values=part.values[:, :5]), "gave values of shape (12, 5, 2) for 12 rows"),
    "one output less": (lambda part: replace(part, values=part.values[..., :1]), "gave values of shape (12, 6, 1)"),
    "errors": (lambda part: replace(part, errors=part.errors[..., 0]), "gave errors of shape (12, 6)"),
    "base": (lambda part: replace(part, base_values=part.base_values[:, 0]), "gave base_values of shape (12,)"),
    "data": (lambda part: replace(part, data=part.data[:3]), "gave data of shape (3, 6)"),
    "evaluations": (lambda part: replace(part, evaluations=np.int64(3)), "gave evaluations of shape ()"),
    "outputs": (lambda part: replace(part, output_numbers=1 - part.output_numbers), "explained other outputs"),
    "nan": (lambda part: replace(part, values=with_nan(part.values)), "gave values that are not all numbers"),
    "negative": (lambda part: replace(part, errors=part.errors - 1), "gave errors below 0, in rows 0 to 11"),
    "no rows": (
        lambda part: replace(part, values=part.values[:0]),
        "gave 0 rows from row 0 on, of which 12 are left to explain",
    ),
    "more rows": (
        lambda part: replace(part, values=np.concatenate([part.values, part.values])),
        "gave 24 rows from row 0 on",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), SPOILT.values(), ids=SPOILT)
def test_a_part_that_does_not_fit_is_refused(
    spoil: Spoil, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BUILT_IN, "plugged", plug_in(lambda parts: map(spoil, parts)))
    with pytest.raises(JobError) as caught:
        lay(tmp_path / "job", monkeypatch, method="plugged").run()
    assert (caught.value.code, caught.value.place) == ("part_does_not_fit", "plugged")
    assert caught.value.detail.startswith(f"The explainer 'plugged' {words}")
    assert caught.value.detail.endswith(".")


def test_an_explainer_that_ends_too_early_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def first_only(parts: Iterator[Attribution]) -> Iterator[Attribution]:
        yield next(parts)

    monkeypatch.setitem(BUILT_IN, "plugged", plug_in(first_only))
    with pytest.raises(JobError, match="'plugged' ended at row 16 of 40"):
        lay(tmp_path / "job", monkeypatch, method="plugged", rows=40).run()


def test_parts_of_other_sizes_and_of_float32_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def one_by_one(parts: Iterator[Attribution]) -> Iterator[Attribution]:
        for part in parts:
            for row in range(part.row_count):
                fields: dict[str, Any] = {
                    name: getattr(part, name)[row : row + 1]
                    for name in ("values", "errors", "base_values", "data", "output_numbers", "evaluations")
                }
                yield replace(part, **{**fields, "errors": fields["errors"].astype(np.float32)})

    plain = lay(tmp_path / "plain", monkeypatch)
    plain.run()
    monkeypatch.setitem(BUILT_IN, "plugged", plug_in(one_by_one))
    folder = lay(tmp_path / "job", monkeypatch, method="plugged")
    folder.run()
    np.testing.assert_array_equal(folder.arrays()["values"], plain.arrays()["values"])
    assert folder.arrays()["errors"].dtype == np.float64


def test_a_hierarchy_is_kept_of_the_first_part_also_by_a_later_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = np.arange(20.0).reshape(5, 4)
    parts = plug_in(lambda parts: (replace(part, hierarchy=tree) for part in parts))
    monkeypatch.setitem(BUILT_IN, "plugged", parts)
    folder = lay(tmp_path / "job", monkeypatch, method="plugged", rows=40)
    with cut_after(1, monkeypatch, "plugged"), pytest.raises(Cut):
        folder.run()
    folder.run(attempt=2)
    np.testing.assert_array_equal(folder.arrays()["hierarchy"], tree)


class TestProgress:
    def test_the_share_that_is_done_grows_to_all_and_never_falls(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = lay(tmp_path / "job", monkeypatch, rows=50)
        folder.run()
        done = [done for done, _, _ in folder.told]
        assert {total for _, total, _ in folder.told} == {50}
        assert done == sorted(done)
        assert done[-1] == 50
        assert [number for number in done if number == 50] == [50], "all is done at the end only"

    def test_it_tells_rows_and_then_what_follows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = lay(tmp_path / "job", monkeypatch, rows=50)
        folder.run()
        messages = [message for _, _, message in folder.told]
        assert any(re.match(r"\d+ of 50 rows; sweep 1, background row \d+ of 20", message) for message in messages)
        for words in ("stability under small noise", "importance over all rows", "writing the attributions", "drawing"):
            assert words in messages
        assert messages[-1] == "done"

    def test_within_the_first_rows_it_moves_too(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = lay(tmp_path / "job", monkeypatch, rows=5, background_rows=60, tolerance=0.0)
        folder.run()
        explaining = [done for done, _, message in folder.told if "sweep" in message]
        assert len(set(explaining)) > 10
        assert explaining[0] < 0.5
