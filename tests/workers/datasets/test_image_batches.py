"""Images that are measured together are measured as each alone, in order, whatever lies between them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from tests.workers.datasets.pictures import encoded, noise
from tests.workers.datasets.uploads import profile_of_table
from workers.datasets.canonical import tensor_array
from workers.datasets.images import columns, measures
from workers.datasets.images.columns import measured

SHAPE = (12, 10, 3)
FILES = [
    encoded(noise(seed=1)),
    encoded(noise(20, 30, 3, seed=2)),
    encoded(noise(seed=3))[:60],
    encoded(noise(12, 10, 1, seed=4)),
    b"",
    encoded(noise(200, 200, 3, seed=5)),
    encoded(noise(seed=6)),
]


@pytest.mark.parametrize("resize", [True, False])
def test_together_is_as_each_alone(resize: bool) -> None:
    together = measured(FILES, SHAPE, resize=resize)
    alone = [measured([content], SHAPE, resize=resize)[0] for content in FILES]
    assert [(row.was, row.measures, row.problem) for row in together] == [
        (row.was, row.measures, row.problem) for row in alone
    ]
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.pixels, other.pixels) if one.pixels is not None else other.pixels is None
    assert [row.pixels is not None for row in together] == [
        True, resize, False, resize, False, resize, True
    ]  # fmt: skip


def test_what_does_not_decode_has_a_problem_and_no_measures() -> None:
    cut, empty = (measured(FILES, SHAPE, resize=True)[place] for place in (2, 4))
    assert (cut.was, cut.measures, empty.was, empty.measures) == (None, {}, None, {})
    assert cut.problem
    assert empty.problem == "It is empty."


def test_small_images_are_measured_once_for_all_and_large_ones_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []

    def telling(luma: np.ndarray) -> dict[str, np.ndarray]:
        seen.append(luma.shape)
        return measures.measure(luma)

    monkeypatch.setattr(columns, "measure", telling)
    measured(FILES, SHAPE, resize=False)
    assert sorted(seen) == [(1, 20, 30), (1, 200, 200), (3, 12, 10)]


def test_one_file_is_read_after_the_other_was_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(
        columns.shaping, "fitted", lambda picture, shape, **_: done.append("fitted") or np.zeros(shape, np.uint8)
    )

    def reading() -> Iterator[bytes]:
        for content in (FILES[0], FILES[6]):
            done.append("read")
            yield content

    measured(reading(), SHAPE, resize=False)
    assert done == ["read", "fitted", "read", "fitted"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int32, np.int64])
def test_the_mean_of_a_column_of_small_integers_is_exact(dtype: type[np.integer]) -> None:
    limits = np.iinfo(dtype)
    values = np.full((50, 4, 4), limits.max, dtype=dtype)
    values[:, 0] = limits.min
    found = profile_of_table(pa.table({"x": tensor_array(values)}))["x"]
    assert (found["lowest"], found["highest"]) == (limits.min, limits.max)
    assert found["mean"] == (int(limits.min) + 3 * int(limits.max)) / 4
