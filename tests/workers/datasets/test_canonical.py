"""The content digest: the same for every writer, another for every change, and it says where."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.datasets import canonical
from workers.datasets.arrays import read_table, write_table
from workers.datasets.canonical import CHUNK_ROWS, content_digest, differing_chunks, digest_of_rows, digest_tree
from workers.protocol import JobError

ROWS = CHUNK_ROWS + 100


def table_of(rows: int = 7) -> pa.Table:
    """Return one column of each type, with missing values."""
    numbers = np.arange(rows)
    return pa.table(
        {
            "whole": pa.array(numbers, mask=numbers % 3 == 1),
            "number": pa.array(numbers / 7, mask=numbers % 4 == 1),
            "yes": pa.array(numbers % 2 == 0),
            "text": pa.array([None if n % 5 == 2 else f"é{n}" for n in numbers.tolist()]),
            "moment": pa.array(numbers * 1_000_000, pa.timestamp("us")),
            "image": canonical.tensor_array(np.arange(rows * 6, dtype=np.float32).reshape(rows, 2, 3)),
        }
    )


def rewritten(table: pa.Table, **options: object) -> pa.Table:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    stream.seek(0)
    return pq.read_table(stream)


@pytest.mark.parametrize(
    "options",
    [
        {"row_group_size": 2},
        {"compression": "zstd", "use_dictionary": False},
        {"compression": "none", "version": "1.0"},
        {"data_page_version": "2.0", "use_dictionary": True},
    ],
)
def test_the_way_a_file_is_written_does_not_change_the_digest(options: dict[str, object]) -> None:
    table = table_of(50)
    assert content_digest(rewritten(table, **options)) == content_digest(table)


def test_widths_dictionaries_chunks_and_column_order_do_not_change_the_digest() -> None:
    table = table_of(50)
    other = pa.table(
        {
            "image": table["image"],
            "moment": table["moment"].cast(pa.timestamp("ms")),
            "text": table["text"].dictionary_encode(),
            "yes": table["yes"],
            "whole": table["whole"].cast(pa.uint8()),
            "number": table["number"],
        }
    )
    assert content_digest(pa.concat_tables([other.slice(0, 13), other.slice(13)])) == content_digest(table)


def test_what_lies_under_a_missing_value_does_not_count() -> None:
    ones, twos = np.array([1, 1, 1]), np.array([1, 2, 1])
    mask = np.array([False, True, False])
    assert content_digest(pa.table({"a": pa.array(ones, mask=mask)})) == content_digest(
        pa.table({"a": pa.array(twos, mask=mask)})
    )


def test_every_nan_is_the_same_and_is_not_a_missing_value() -> None:
    payload = np.frombuffer(np.uint64(0x7FF8000000000123).tobytes(), dtype=np.float64)
    plain = content_digest(pa.table({"a": pa.array([float("nan")], from_pandas=False)}))
    assert content_digest(pa.table({"a": pa.array(payload, from_pandas=False)})) == plain
    assert content_digest(pa.table({"a": pa.array([None], pa.float64())})) != plain


def changed_cell(name: str, row: int, value: object) -> pa.Table:
    table = table_of()
    cells = table[name].to_pylist()
    cells[row] = value
    return table.set_column(table.column_names.index(name), name, pa.array(cells, table[name].type))


@pytest.mark.parametrize(
    "table",
    [
        changed_cell("whole", 0, 99),
        changed_cell("whole", 1, 0),
        changed_cell("number", 0, 1e-300),
        changed_cell("yes", 0, False),
        changed_cell("text", 0, "e0"),
        changed_cell("text", 2, ""),
        table_of().rename_columns(["whole", "number", "yes", "text", "moment", "picture"]),
        table_of().take(pa.array([1, 0, 2, 3, 4, 5, 6])),
        table_of().slice(0, 6),
        table_of().drop_columns(["yes"]),
        table_of().set_column(0, "whole", table_of()["whole"].cast(pa.float64())),
    ],
)
def test_any_change_of_content_changes_the_digest(table: pa.Table) -> None:
    assert content_digest(table) != content_digest(table_of())


def test_a_pixel_changes_the_digest() -> None:
    values = np.arange(42, dtype=np.float32).reshape(7, 2, 3)
    values[6, 1, 2] += 1
    assert content_digest(pa.table({"image": canonical.tensor_array(values)})) != content_digest(
        table_of().select(["image"])
    )


def test_texts_that_flow_together_differ() -> None:
    assert content_digest(pa.table({"a": ["ab", "c"]})) != content_digest(pa.table({"a": ["a", "bc"]}))


def test_a_difference_is_located_by_column_and_chunk() -> None:
    numbers = np.arange(ROWS)
    table = pa.table({"a": numbers, "b": numbers})
    other = numbers.copy()
    other[CHUNK_ROWS + 3] = 0
    changed = pa.table({"a": numbers, "b": other})
    assert differing_chunks(digest_tree(table), digest_tree(changed)) == [("b", 1)]
    assert differing_chunks(digest_tree(table), digest_tree(table)) == []
    assert differing_chunks(digest_tree(table), digest_tree(table.select(["a"]))) == [("b", None)]
    assert differing_chunks(digest_tree(table), digest_tree(table.slice(0, CHUNK_ROWS))) == [("a", 1), ("b", 1)]


def test_the_stored_table_has_the_digest_of_what_was_stored(tmp_path: Path) -> None:
    table = table_of(50)
    write_table(table, tmp_path / "table.parquet")
    read = read_table(tmp_path / "table.parquet")
    assert read.equals(canonical.canonical_table(table))
    assert content_digest(read) == content_digest(table)
    assert read["image"].type == pa.fixed_shape_tensor(pa.float32(), [2, 3])


def test_rows_have_digests_of_their_own_whatever_the_order_of_columns() -> None:
    table = table_of()
    digests = digest_of_rows(table)
    assert len(set(digests)) == table.num_rows
    backwards = table.take(pa.array([6, 5, 4, 3, 2, 1, 0])).select(table.column_names[::-1])
    assert digest_of_rows(backwards) == digests[::-1]
    assert digest_of_rows(pa.concat_tables([table, table])) == digests * 2
    assert digest_of_rows(changed_cell("text", 3, "other"))[:3] == digests[:3]
    assert digest_of_rows(changed_cell("text", 3, "other"))[3] != digests[3]


def test_types_that_no_data_set_holds_are_refused_by_name() -> None:
    with pytest.raises(JobError) as refused:
        content_digest(pa.table({"nested": [{"a": 1}]}))
    assert (refused.value.code, refused.value.place) == ("type_not_supported", "nested")


def test_an_integer_beyond_64_bits_with_sign_is_refused() -> None:
    with pytest.raises(JobError) as refused:
        content_digest(pa.table({"big": pa.array([2**64 - 1], pa.uint64())}))
    assert (refused.value.code, refused.value.place) == ("value_does_not_fit_type", "big, row 0")


texts = st.none() | st.text(max_size=5)
wholes = st.none() | st.integers(-(2**63), 2**63 - 1)
floats = st.none() | st.floats()


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(texts, wholes, floats), min_size=1, max_size=30), at=st.integers(0, 29))
def test_any_slicing_gives_one_digest_and_any_other_cell_another(
    rows: list[tuple[str | None, int | None, float | None]], at: int
) -> None:
    columns = list(zip(*rows, strict=True))
    table = pa.table(
        {
            "text": pa.array(columns[0], pa.string()),
            "whole": pa.array(columns[1], pa.int64()),
            "number": pa.array(columns[2], pa.float64(), from_pandas=False),
        }
    )
    cut = at % len(rows)
    pieces = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert content_digest(pieces) == content_digest(table)
    assert content_digest(rewritten(pieces)) == content_digest(table)
    changed = list(columns[0])
    changed[cut] = "x" if changed[cut] is None else None
    assert content_digest(table.set_column(0, "text", pa.array(changed, pa.string()))) != content_digest(table)
