"""The background: as the classes are, from the middle of clusters, or the rows that were named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from audits.engine.explainers import background as module
from audits.engine.explainers.background import Background, choose_background
from workers.datasets.arrays import write_table
from workers.datasets.schema import Schema
from workers.protocol import JobError
from workers.signature import Signature

SIGNATURE = Signature.from_json(
    {
        "inputs": [{"name": "x", "shape": [-1, 2], "dtype": "float32", "columns": ["a", "b"]}],
        "outputs": [{"name": "y", "shape": [-1, 2], "dtype": "float32", "kind": "logits", "classes": ["no", "yes"]}],
    }
)
COUNT = 400

Choose = Callable[..., Background]


def schema(target: dict[str, str] | None = None, **columns: Any) -> Schema:
    of_target = {} if target is None else {"label": target}
    plain = {"role": "feature", "type": "float"}
    return Schema.from_json({"modality": "tabular", "columns": {"a": plain, "b": plain, **columns, **of_target}})


def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Four clusters of 10, 30, 100 and 260 rows, far apart; the second column is in other units."""
    sizes = (10, 30, 100, 260)
    centres = np.repeat(np.array([[0, 0], [50, 0], [0, 5000], [50, 5000]]), sizes, axis=0)
    spread = np.random.default_rng(0).normal(size=(COUNT, 2)) * [1, 100]
    return centres + spread, np.repeat(np.arange(4), sizes)


@pytest.fixture
def choose(tmp_path: Path) -> Choose:
    points, _ = clusters()
    labels = np.where(np.arange(COUNT) % 10 == 0, "rare", "common")
    table = pa.table({"a": points[:, 0], "b": points[:, 1], "label": labels, "worth": np.arange(COUNT, dtype=float)})
    write_table(table, tmp_path / "table.parquet")

    def run(numbers: Any = None, **choice: Any) -> Background:
        part = np.arange(COUNT) if numbers is None else np.asarray(numbers)
        given = {"rows": 20, "method": "sample", "schema": schema(), "signature": SIGNATURE, "seed": 3, **choice}
        return choose_background(tmp_path / "table.parquet", part, **given)

    return run


def test_a_sample_has_each_class_at_its_share(choose: Choose) -> None:
    labelled = schema({"role": "target", "type": "string"})
    for seed in range(5):
        numbers = choose(schema=labelled, seed=seed).numbers
        assert (numbers % 10 == 0).sum() == 2
        assert numbers.tolist() == sorted(set(numbers.tolist()))
    assert not np.array_equal(choose(schema=labelled).numbers, choose(schema=labelled, seed=4).numbers)


def test_a_sample_without_a_target_is_drawn_evenly_from_all_rows(choose: Choose) -> None:
    counts = np.zeros(COUNT)
    for seed in range(300):
        counts[choose(seed=seed).numbers] += 1
    assert counts.sum() == 300 * 20
    assert counts.min() > 2
    assert counts.max() < 35


def test_a_sample_of_a_numeric_target_covers_its_range(choose: Choose) -> None:
    plain = {"role": "feature", "type": "float"}
    worth = Schema.from_json(
        {"modality": "tabular", "columns": {"a": plain, "b": plain, "worth": {"role": "target", "type": "float"}}}
    )
    numbers = choose(schema=worth).numbers
    assert (numbers // 20).tolist() == list(range(20))


def test_more_rows_than_there_are_gives_all(choose: Choose) -> None:
    for method in ("sample", "clusters"):
        assert choose(numbers=[2, 5, 9], rows=20, method=method).numbers.tolist() == [2, 5, 9]


def test_clusters_have_their_share_of_the_background(choose: Choose) -> None:
    _, of_cluster = clusters()
    for seed in range(5):
        found = choose(rows=40, method="clusters", seed=seed)
        np.testing.assert_allclose(np.bincount(of_cluster[found.numbers], minlength=4), [1, 3, 10, 26], atol=1)
        assert found.numbers.tolist() == sorted(set(found.numbers.tolist()))
    np.testing.assert_array_equal(choose(rows=40, method="clusters", seed=4).numbers, found.numbers)


def test_the_base_value_of_clusters_is_the_mean_of_the_data(choose: Choose) -> None:
    """Centres alone, each counted once, would put it 0.4 of the range away."""
    points, _ = clusters()
    scores = points[:, 0] / 50 + points[:, 1] / 5000
    means = [scores[choose(rows=40, method="clusters", seed=seed).numbers].mean() for seed in range(20)]
    assert np.abs(np.array(means) - scores.mean()).max() < 0.1
    assert abs(np.mean(means) - scores.mean()) < 0.02


def test_a_draw_by_clusters_prefers_no_row(choose: Choose) -> None:
    counts = np.zeros(COUNT)
    for seed in range(200):
        counts[choose(rows=40, method="clusters", seed=seed).numbers] += 1
    assert counts.min() > 3
    assert counts.max() < 45


def test_few_different_rows_are_drawn_as_often_as_they_are_there(tmp_path: Path) -> None:
    values = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 3.0] * 5)
    write_table(pa.table({"a": values, "b": [0.0] * 30}), tmp_path / "few.parquet")
    found = choose_background(
        tmp_path / "few.parquet",
        np.arange(30),
        rows=12,
        method="clusters",
        schema=schema(),
        signature=SIGNATURE,
        seed=0,
    )
    np.testing.assert_allclose(np.bincount(values[found.numbers].astype(int))[1:], [6, 4, 2], atol=1)
    assert len(set(found.numbers.tolist())) == 12


def test_a_search_for_clusters_looks_at_no_more_rows_than_it_may(
    choose: Choose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CLUSTERED_ROWS", 50)
    found = choose(numbers=np.arange(100, 400), rows=5, method="clusters")
    assert found.looked_at == 50
    assert found.numbers.min() >= 100


def test_named_rows_are_taken_and_checked(choose: Choose) -> None:
    found = choose(rows=(9, 4), method="rows")
    assert found.numbers.tolist() == [4, 9]
    for rows, code in (((4, 400), "row_not_there"), ((4, 4), "row_named_twice")):
        with pytest.raises(JobError) as caught:
            choose(rows=rows, method="rows")
        assert caught.value.code == code
        assert "Row 4" in caught.value.detail


def test_token_ids_have_no_distance(choose: Choose) -> None:
    tokens = schema(a={"role": "feature", "type": "tokens"})
    with pytest.raises(JobError) as caught:
        choose(rows=4, method="clusters", schema=tokens)
    assert (caught.value.code, caught.value.place) == ("background_not_clustered", "background_method")
