"""Comparisons of two versions, with a naive comparison in Python as the oracle."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tests.validators.engine.engine_jobs import schema_of
from tests.workers.job_folders import job
from validators.engine import comparison
from validators.engine.distances import kolmogorov_smirnov
from workers.datasets.arrays import write_table
from workers.datasets.canonical import digest_tree, tensor_array
from workers.protocol import JobError

NAME = 'a "quoted"\nname; DROP TABLE pairs --'


def compare(
    base: Path, before: pa.Table, after: pa.Table, *, key: str | None = "id"
) -> tuple[dict[str, Any], list[dict]]:
    """Return the value of a comparison job and the differences that it wrote."""
    schemas = {}
    for side, table in (("before", before), ("after", after)):
        write_table(table, base / f"{side}.parquet")
        schemas[f"{side}_schema"] = schema_of(table)
        if key:
            schemas[f"{side}_schema"]["columns"][key]["role"] = "id"
    context = job(
        base / f"job-{len(list(base.iterdir()))}",
        kind="comparison",
        inputs={side: base / f"{side}.parquet" for side in ("before", "after")},
        parameters=schemas,
    )
    value = comparison.run(context)
    json.dumps(value, allow_nan=False)
    return value, pq.read_table(context.folder / "outputs" / "differences.parquet").to_pylist()


def people(ids: list[int], **columns: list[Any]) -> pa.Table:
    return pa.table({"id": pa.array(ids, pa.int64()), **columns})


def test_rows_with_an_id_tell_the_cells_that_changed(tmp_path: Path) -> None:
    before = people([1, 2, 3, 4], x=[1.0, None, 3.0, 4.0], **{NAME: ["a", "b", "c", "d"]})
    after = people([4, 2, 3, 5], x=[4.0, 2.0, 3.0, 9.0], **{NAME: ["d", "b", "z", "e"]})

    value, differences = compare(tmp_path, before, after)

    assert value["matched_by"]["column"] == "id"
    assert value["rows"] == {
        "before": 4, "after": 4, "added": 1, "removed": 1, "changed": 2, "same": 1, "order_changed": True,
    }  # fmt: skip
    told = [tuple(entry.values()) for entry in differences]
    assert told == [
        ("removed", "1", 0, None, None, None, None),
        ("added", "5", None, 3, None, None, None),
        ("changed", "2", 1, 1, "x", None, "2.0"),
        ("changed", "3", 2, 2, NAME, "c", "z"),
    ]
    assert value["cells_changed"] == value["cells_listed"] == 2


def test_rows_without_an_id_are_matched_by_all_that_stands_in_them_as_often_as_it_does(tmp_path: Path) -> None:
    value, differences = compare(
        tmp_path, pa.table({"x": ["a", "a", "b", None]}), pa.table({"x": ["b", "a", None, "c", "c"]}), key=None
    )

    assert value["matched_by"]["column"] is None
    assert [(entry["change"], entry["row_before"], entry["row_after"]) for entry in differences] == [
        ("removed", 1, None),
        ("added", None, 3),
        ("added", None, 4),
    ]
    assert value["rows"]["same"] == 3


@pytest.mark.parametrize(("ids", "reason"), [([1, 1, 2], "come again"), ([1, None, 2], "1 rows have no id")])
def test_an_id_that_is_none_is_not_used_and_it_is_said_why(tmp_path: Path, ids: list[int | None], reason: str) -> None:
    value, _ = compare(tmp_path, people(ids, x=[1, 2, 3]), people([1, 2, 3], x=[1, 2, 3]))

    assert value["matched_by"]["column"] is None
    assert reason in value["matched_by"]["reason"]


def test_columns_that_came_went_or_hold_another_type_are_told(tmp_path: Path) -> None:
    value, _ = compare(
        tmp_path,
        people([1, 2], gone=[1, 2], kind=[1, 2], same=["a", "b"]),
        people([1, 2], kind=["1", "2"], same=["a", "b"], new=[1, 2]),
    )

    assert {entry["name"]: entry["status"] for entry in value["columns"]} == {
        "id": "same", "gone": "removed", "kind": "retyped", "same": "same", "new": "added",
    }  # fmt: skip
    assert value["rows"]["changed"] == 0


def test_names_that_differ_in_case_are_kept_apart(tmp_path: Path) -> None:
    value, differences = compare(tmp_path, people([1], age=[1], Age=[2]), people([1], age=[1], Age=[3]))

    assert [entry["column"] for entry in differences] == ["Age"]
    assert {entry["name"]: entry["cells_changed"] for entry in value["columns"]} == {"id": 0, "age": 0, "Age": 1}


def test_arrays_are_compared_whole(tmp_path: Path) -> None:
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    changed = images.copy()
    changed[1, 0, 0] = 99

    value, differences = compare(
        tmp_path, people([1, 2, 3], image=tensor_array(images)), people([1, 2, 3], image=tensor_array(changed))
    )

    assert [(entry["key"], entry["column"], entry["before"]) for entry in differences] == [("2", "image", "array")]
    assert next(entry for entry in value["columns"] if entry["name"] == "image")["distance"] is None


def test_a_changed_cell_is_located_by_the_digests_and_then_by_its_row(tmp_path: Path) -> None:
    numbers = np.arange(150_000)
    other = numbers.copy()
    other[140_001] = -1

    value, differences = compare(tmp_path, people(numbers, x=numbers), people(numbers, x=other))

    assert value["places"] == [{"column": "x", "chunk": 2}]
    assert [(entry["row_before"], entry["before"], entry["after"]) for entry in differences] == [
        (140_001, "140001", "-1")
    ]


def test_the_tree_of_a_file_is_that_of_its_table(tmp_path: Path) -> None:
    table = people(list(range(70_000)), x=[None if n % 7 else "é" for n in range(70_000)])
    pq.write_table(table, tmp_path / "odd.parquet", row_group_size=9_999)
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")

    assert comparison.tree_of(tmp_path / "odd.parquet") == digest_tree(table)
    assert comparison.tree_of(tmp_path / "empty.parquet") == digest_tree(table.slice(0, 0))


def test_a_column_that_is_spread_otherwise_lies_beyond_chance_and_one_of_the_same_source_does_not(
    tmp_path: Path,
) -> None:
    generator = np.random.default_rng(3)
    before, after = (
        {"x": generator.normal(0, 1, 4_000), "c": generator.choice(["a", "b", "c"], 4_000)} for _ in range(2)
    )
    after["y"], before["y"] = generator.normal(0.5, 1, 4_000), generator.normal(0, 1, 4_000)
    after["d"] = ["new" if n % 3 == 0 else "old" for n in range(4_000)]
    before["d"] = ["old"] * 4_000

    value, _ = compare(tmp_path, pa.table(before), pa.table(after), key=None)

    found = {entry["name"]: entry["distance"] for entry in value["columns"]}
    assert found["x"]["value"] < found["x"]["chance"]
    assert found["c"]["value"] < 2 * found["c"]["chance"]
    assert found["y"]["value"] > 4 * found["y"]["chance"]
    assert found["d"]["value"] == pytest.approx(1334 / 4000)
    assert (found["d"]["gained"], found["d"]["lost"]) == (["new"], [])


@settings(max_examples=40, deadline=None)
@given(*[st.lists(st.floats(-5, 5).map(lambda value: round(value, 1)), min_size=3, max_size=30) for _ in range(2)])
def test_the_statistic_is_that_of_scipy(before: list[float], after: list[float]) -> None:
    found = kolmogorov_smirnov(np.array(before), np.array(after))

    assert found is not None
    assert found.value == pytest.approx(stats.ks_2samp(before, after, method="asymp").statistic)


CELLS = st.one_of(st.none(), st.sampled_from(["a", "b", ""]))


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(st.integers(0, 12), CELLS, min_size=1), st.dictionaries(st.integers(0, 12), CELLS, min_size=1))
def test_the_differences_are_those_that_a_naive_comparison_finds(tmp_path_factory, one: dict, other: dict) -> None:
    base = tmp_path_factory.mktemp("naive")

    rows = [people(list(side), x=pa.array(side.values(), pa.string())) for side in (one, other)]
    _, differences = compare(base, *rows)

    assert {int(entry["key"]) for entry in differences if entry["change"] == "added"} == other.keys() - one.keys()
    assert {int(entry["key"]) for entry in differences if entry["change"] == "removed"} == one.keys() - other.keys()
    changed = {int(e["key"]): (e["before"], e["after"]) for e in differences if e["change"] == "changed"}
    assert changed == {key: (one[key], other[key]) for key in one.keys() & other.keys() if one[key] != other[key]}
    by_content, _ = compare(base, *[table.select(["x"]) for table in rows], key=None)
    assert by_content["rows"]["same"] == (Counter(one.values()) & Counter(other.values())).total()


@pytest.mark.parametrize("shuffled", [False, True])
def test_blocks_of_rows_change_nothing_but_the_order_of_what_is_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffled: bool
) -> None:
    generator = np.random.default_rng(0)
    ids, x, word = np.arange(300), generator.normal(size=300), generator.choice(["a", "b", ""], 300)
    order = generator.permutation(300) if shuffled else np.arange(300)
    order = order[generator.random(300) < 0.9]
    later_x = np.where(generator.random(300) < 0.2, 9.0, x)
    later_word = np.where(ids // 100 == 1, word, "c")
    before = people(ids.tolist(), x=x.tolist(), word=word.tolist())
    after = people(ids[order].tolist(), x=later_x[order].tolist(), word=later_word[order].tolist())

    whole, listed_whole = compare(tmp_path, before, after)
    monkeypatch.setattr("validators.engine.paired_rows.BLOCK_BYTES", 1_500)
    value, listed = compare(tmp_path, before, after)

    told = [tuple(entry.values()) for entry in listed]
    assert value["rows"]["changed"] == int(((later_x != x) | (later_word != word))[order].sum())
    assert (value["rows"], value["cells_changed"]) == (whole["rows"], whole["cells_changed"])
    assert sorted(told, key=str) == sorted((tuple(entry.values()) for entry in listed_whole), key=str)
    changed = [entry["row_before"] for entry in listed if entry["column"] == "x"]
    assert changed == sorted(changed)
    assert told != [tuple(entry.values()) for entry in listed_whole]


def test_progress_goes_on_block_by_block_while_cells_are_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("validators.engine.paired_rows.BLOCK_BYTES", 1_500)
    rows = people(list(range(300)), x=np.arange(300.0).tolist())
    compare(tmp_path, rows, rows)
    (messages,) = tmp_path.glob("job-*/messages")
    told = [json.loads(line) for line in messages.read_text().splitlines()]
    assert [entry["done"] for entry in told] == sorted(entry["done"] for entry in told)
    shares = [entry["done"] - 1 for entry in told if entry["message"] == "comparing the cells"]
    assert len(shares) > 3
    assert (shares[0], shares[-1]) == (0, 1)


def test_cells_beyond_the_limit_are_counted_and_not_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MOST_CELLS", 3)

    value, differences = compare(
        tmp_path, people([1, 2], x=[1, 2], y=[1, 2], z=[1, 2]), people([1, 2], x=[3, 4], y=[3, 4], z=[3, 2])
    )

    assert (value["cells_changed"], value["cells_listed"]) == (5, 2)
    assert [entry["column"] for entry in differences] == ["x", "x"]


def test_the_digest_trees_that_are_kept_are_used_and_not_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = people([1, 2, 3], x=[1.0, 2.0, 3.0]), people([1, 2, 3], x=[1.0, 2.0, 4.0])
    inputs = {}
    for side, table in (("before", before), ("after", after)):
        write_table(table, tmp_path / f"{side}.parquet")
        (tmp_path / f"{side}.json").write_text(json.dumps(digest_tree(table)))
        inputs |= {side: tmp_path / f"{side}.parquet", f"{side}_tree": tmp_path / f"{side}.json"}
    schemas = {f"{side}_schema": schema_of(before) for side in ("before", "after")}
    anew = comparison.run(
        job(
            tmp_path / "anew",
            kind="comparison",
            inputs={side: inputs[side] for side in ("before", "after")},
            parameters=schemas,
        )
    )

    def never(path: Path) -> None:
        raise AssertionError(f"{path} was digested although its tree is kept")

    monkeypatch.setattr(comparison, "tree_of", never)
    kept = comparison.run(job(tmp_path / "kept", kind="comparison", inputs=inputs, parameters=schemas))
    assert kept["places"] == anew["places"] == [{"column": "x", "chunk": 0}]

    (tmp_path / "after.json").write_text("{")
    with pytest.raises(JobError, match="digest tree of the version after cannot be read") as refused:
        comparison.run(job(tmp_path / "damaged", kind="comparison", inputs=inputs, parameters=schemas))
    assert refused.value.code == "tree_damaged"
