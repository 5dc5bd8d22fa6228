"""Arrow IPC files and streams: what is read, and that hostile ones are refused."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from tests.workers.datasets.uploads import read_upload
from workers.datasets.canonical import content_digest, tensor_array
from workers.datasets.formats import limits
from workers.protocol import JobError

TABLE = pa.table(
    {
        "whole": pa.array([2**53 + 1, None, 3], pa.int64()),
        "kind": pa.array(["a", None, "b"]).dictionary_encode(),
        "large": pa.array(["x", "y", "z"], pa.large_string()),
        "view": pa.array(["x", "y", "z"], pa.string_view()),
        "vector": pa.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], pa.list_(pa.float32(), 2)),
        "picture": tensor_array(np.arange(12, dtype=np.uint8).reshape(3, 2, 2)),
    }
)


def file_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=max(2, len(table) // 2))
    return sink.getvalue()


def stream_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=2)
    return sink.getvalue()


def read(folder: Path, content: bytes, filename: str = "data.arrow") -> pa.Table:
    path = folder / "upload"
    path.write_bytes(content)
    return read_upload(path, filename=filename)


def refusal(folder: Path, content: bytes, filename: str = "data.arrow") -> JobError:
    with pytest.raises(JobError) as refused:
        read(folder, content, filename)
    return refused.value


@pytest.mark.parametrize("compression", [None, "lz4", "zstd"])
@pytest.mark.parametrize("write", [file_bytes, stream_bytes], ids=["file", "stream"])
def test_files_and_streams_hold_what_parquet_holds(write: Any, compression: str | None, tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "data.parquet")
    expected = read_upload(tmp_path / "data.parquet", filename="data.parquet")
    found = read(tmp_path, write(TABLE, compression=compression))
    assert found.schema == expected.schema
    assert content_digest(found) == content_digest(expected) == content_digest(TABLE)


@pytest.mark.parametrize("filename", ["data.feather", "data.ipc", "data.arrows", "data"])
def test_a_feather_file_is_one_by_any_of_its_names(filename: str, tmp_path: Path) -> None:
    pyarrow.feather.write_feather(TABLE.select(["whole", "kind"]), tmp_path / "source")
    assert read(tmp_path, (tmp_path / "source").read_bytes(), filename)["kind"].to_pylist() == ["a", None, "b"]


def test_a_dictionary_that_grows_in_a_stream_is_read(tmp_path: Path) -> None:
    sink = io.BytesIO()
    schema = pa.schema([("kind", pa.dictionary(pa.int8(), pa.string()))])
    options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
    with pa.ipc.new_stream(sink, schema, options=options) as writer:
        for words in (["a", "b"], ["a", "b", "c"], ["z"]):
            writer.write_batch(pa.record_batch([pa.array(words).dictionary_encode().cast(schema.types[0])], schema))
    assert read(tmp_path, sink.getvalue())["kind"].to_pylist() == ["a", "b", "a", "b", "c", "z"]


@pytest.mark.parametrize("write", [file_bytes, stream_bytes], ids=["file", "stream"])
def test_a_cut_file_is_refused_wherever_it_is_cut(write: Any, tmp_path: Path) -> None:
    content = write(TABLE.select(["whole", "large"]))
    for size in {8, 9, 16, 40, len(content) // 2, len(content) - 9, len(content) - 1}:
        assert refusal(tmp_path, content[:size]).code == "arrow_cut"


@pytest.mark.parametrize("write", [file_bytes, stream_bytes], ids=["file", "stream"])
def test_a_damaged_file_is_refused_or_read_as_something_and_never_breaks(write: Any, tmp_path: Path) -> None:
    content = write(TABLE.select(["whole", "kind", "large"]))
    random = np.random.default_rng(5)
    codes = set()
    for place in random.integers(8, len(content) - 8, 80):
        damaged = bytearray(content)
        damaged[place] ^= int(random.integers(1, 256))
        try:
            read(tmp_path, bytes(damaged))
        except JobError as error:
            codes.add(error.code)
    assert "arrow_damaged" in codes
    assert codes <= {"arrow_damaged", "arrow_cut", "too_large", "type_not_supported", "no_rows", "duplicate_columns"}


def test_texts_that_are_no_utf8_and_words_that_are_not_there_are_refused(tmp_path: Path) -> None:
    bad = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe")])
    assert refusal(tmp_path, file_bytes(pa.table({"x": bad}))).code == "arrow_damaged"
    words = pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int8()), pa.array(["a"]), safe=False)
    assert refusal(tmp_path, stream_bytes(pa.table({"x": words}))).code == "arrow_damaged"


@pytest.mark.parametrize(
    "values",
    [
        pa.array([[1, 2], [3]]),
        pa.array([{"a": 1}]),
        pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        pa.array([b"bytes"]),
        pa.array([[["x"]]]),
        pa.array([1, "x"][:1]).cast(pa.duration("s")),
        pa.array(["a", "a"]).cast(pa.binary()),
    ],
    ids=["list", "struct", "map", "binary", "nested", "duration", "bytes"],
)
def test_nested_and_strange_types_are_refused(values: pa.Array, tmp_path: Path) -> None:
    error = refusal(tmp_path, file_bytes(pa.table({"strange": values})))
    assert (error.code, error.place) == ("type_not_supported", "strange")


def test_columns_of_one_name_are_refused_and_names_that_differ_in_case_are_two(tmp_path: Path) -> None:
    assert refusal(tmp_path, file_bytes(pa.table([[1], [2]], names=["a", "a"]))).code == "duplicate_columns"
    assert read(tmp_path, file_bytes(pa.table([[1], [2]], names=["a", "A"]))).to_pydict() == {"a": [1], "A": [2]}


def test_a_pickle_in_the_metadata_of_a_column_is_not_opened(tmp_path: Path) -> None:
    class Opened:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "opened",)

    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Opened()),
    }
    schema = pa.schema([pa.field("n", pa.int64(), metadata=metadata)])
    table = pa.table([[1]], schema=schema)
    assert read(tmp_path, file_bytes(table)).to_pydict() == {"n": [1]}
    pq.write_table(table, tmp_path / "data.parquet")
    assert read_upload(tmp_path / "data.parquet", filename="data.parquet").to_pydict() == {"n": [1]}
    assert not (tmp_path / "opened").exists()


def test_values_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = file_bytes(pa.table({"zeros": np.zeros(100_000)}), compression="zstd")
    assert len(content) < 10_000
    monkeypatch.setattr(limits, "MAX_UNPACKED_BYTES", 100_000)
    assert refusal(tmp_path, content).code == "too_large"


def test_a_buffer_that_says_that_it_unpacks_to_more_than_there_is_is_refused(tmp_path: Path) -> None:
    zeros = pa.table({"zeros": np.zeros(1_000)})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, zeros.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(zeros)
    content = sink.getvalue()
    size = (8_000).to_bytes(8, "little") + b"\x28\xb5\x2f\xfd"  # in front of a Zstandard frame
    assert content.count(size) == 1
    error = refusal(tmp_path, content.replace(size, (2**50).to_bytes(8, "little") + size[8:]))
    assert error.code in ("too_large", "arrow_damaged")


def test_what_is_named_like_another_format_and_what_is_empty_is_refused(tmp_path: Path) -> None:
    content = file_bytes(TABLE.select(["whole"]))
    assert refusal(tmp_path, content, "data.csv").code == "not_what_its_name_says"
    assert refusal(tmp_path, b"a,b\n1,2\n", "data.arrow").code == "not_what_its_name_says"
    assert refusal(tmp_path, b"FEA1" + content, "data.feather").code == "format_not_supported"
    assert refusal(tmp_path, file_bytes(TABLE.slice(0, 0))).code == "no_rows"
    assert refusal(tmp_path, stream_bytes(TABLE.slice(0, 0))).code == "no_rows"
