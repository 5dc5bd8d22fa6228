"""Parquet and NPZ: what is read, what is refused, and a file that is not what its name says."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.datasets.uploads import read_upload
from workers.datasets.formats import limits
from workers.protocol import JobError


def parquet_bytes(columns: Mapping[str, Any] | pa.Table) -> bytes:
    stream = io.BytesIO()
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(dict(columns)), stream)
    return stream.getvalue()


def npz_bytes(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def read(folder: Path, content: bytes, filename: str) -> pa.Table:
    path = folder / "upload"
    path.write_bytes(content)
    return read_upload(path, filename=filename)


def refusal(folder: Path, content: bytes, filename: str) -> JobError:
    with pytest.raises(JobError) as refused:
        read(folder, content, filename)
    return refused.value


def test_parquet_keeps_integers_beside_missing_values(tmp_path: Path) -> None:
    table = pa.table(
        {
            "whole": pa.array([2**53 + 1, None], pa.int64()),
            "small": pa.array([1, 2], pa.uint8()),
            "kind": pa.array(["a", "b"]).dictionary_encode(),
            "vector": pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float32(), 2)),
        }
    )
    read_table = read(tmp_path, parquet_bytes(table), "data.parquet")
    assert read_table["whole"].to_pylist() == [2**53 + 1, None]
    assert read_table["small"].type == pa.int64()
    assert read_table["kind"].to_pylist() == ["a", "b"]
    assert read_table["vector"].type == pa.fixed_shape_tensor(pa.float32(), [2])


@pytest.mark.parametrize("keep", [6, 60, -1, -9])
def test_a_cut_parquet_is_told(tmp_path: Path, keep: int) -> None:
    error = refusal(tmp_path, parquet_bytes({"a": list(range(100))})[:keep], "data.parquet")
    assert error.code == "parquet_cut"
    assert error.place.startswith("byte ")


def test_a_parquet_damaged_inside_is_told(tmp_path: Path) -> None:
    content = bytearray(parquet_bytes({"a": [str(number) for number in range(1000)]}))
    content[40:90] = b"\xff" * 50
    assert refusal(tmp_path, bytes(content), "data.parquet").code == "parquet_damaged"
    footer = bytearray(parquet_bytes({"a": [1]}))
    footer[-8:-4] = b"\xff\xff\xff\x7f"
    assert refusal(tmp_path, bytes(footer), "data.parquet").code == "parquet_damaged"


def test_texts_of_a_parquet_that_are_not_utf8_are_refused(tmp_path: Path) -> None:
    array = pa.array([b"M\xfcller"], pa.binary())
    texts = pa.StringArray.from_buffers(1, array.buffers()[1], array.buffers()[2])
    error = refusal(tmp_path, parquet_bytes({"name": texts}), "data.parquet")
    assert error.code == "parquet_damaged"


@pytest.mark.parametrize("filename", ["data.parquet", "data.npz"])
def test_any_damage_is_told_or_harmless(tmp_path: Path, filename: str) -> None:
    generator = np.random.default_rng(1)
    columns = {"a": np.arange(50), "b": np.array([f"text {n}" for n in range(50)]), "c": generator.normal(size=50)}
    content = parquet_bytes(columns) if filename == "data.parquet" else npz_bytes(**columns)
    refused = 0
    for _ in range(400):
        damaged = bytearray(content)
        for at in generator.integers(4, len(content), size=3):
            damaged[at] = generator.integers(256)
        try:
            read(tmp_path, bytes(damaged), filename)
        except JobError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("column", "data_type"),
    [([{"x": 1}], None), ([[1], [1, 2]], None), ([b"x"], pa.binary()), ([1], pa.duration("s"))],
)
def test_a_parquet_column_that_no_data_set_holds_is_named(tmp_path: Path, column: list[Any], data_type: Any) -> None:
    error = refusal(tmp_path, parquet_bytes({"odd": pa.array(column, data_type)}), "data.parquet")
    assert (error.code, error.place) == ("type_not_supported", "odd")


def test_parquet_names_are_checked(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    assert refusal(tmp_path, parquet_bytes(twice), "data.parquet").code == "duplicate_columns"
    assert refusal(tmp_path, parquet_bytes({"": [1]}), "data.parquet").code == "empty_column_name"
    assert refusal(tmp_path, parquet_bytes({"a": pa.array([], pa.int64())}), "data.parquet").code == "no_rows"


def test_limits_hold_before_the_values_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_COLUMNS", 2)
    monkeypatch.setattr(pq.ParquetFile, "read", lambda file: pytest.fail("the rows were read"))
    assert refusal(tmp_path, parquet_bytes({"a": [1], "b": [1], "c": [1]}), "x.parquet").code == "too_many_columns"
    assert refusal(tmp_path, npz_bytes(a=[1], b=[1], c=[1]), "x.npz").code == "too_many_columns"
    monkeypatch.setattr(limits, "MAX_UNPACKED_BYTES", 1000)
    assert refusal(tmp_path, parquet_bytes({"a": list(range(1000))}), "x.parquet").code == "too_large"
    assert refusal(tmp_path, npz_bytes(a=np.zeros(1000)), "x.npz").code == "too_large"


def test_arrays_become_columns(tmp_path: Path) -> None:
    table = read(
        tmp_path,
        npz_bytes(
            image=np.arange(8, dtype=np.uint8).reshape(2, 2, 2),
            turned=np.asfortranarray(np.arange(8, dtype=">f4").reshape(2, 4)),
            name=np.array(["é", ""]),
            raw=np.array(["é".encode(), b"b"]),
            when=np.array(["2024-01-01", "NaT"], dtype="datetime64[D]"),
            count=np.array([1, 2], dtype=">i2"),
            yes=np.array([True, False]),
        ),
        "data.npz",
    )
    assert table["image"].type == pa.fixed_shape_tensor(pa.uint8(), [2, 2])
    assert table["turned"].combine_chunks().to_numpy_ndarray().tolist() == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert table["name"].to_pylist() == ["é", ""]
    assert table["raw"].to_pylist() == ["é", "b"]
    assert [str(value) for value in table["when"].to_pylist()] == ["2024-01-01 00:00:00", "None"]
    assert table["count"].to_pylist() == [1, 2]
    assert table["yes"].to_pylist() == [True, False]


def test_an_object_array_is_never_unpickled(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "run",))

    error = refusal(tmp_path, npz_bytes(a=[1], b=np.array([Evil()], dtype=object)), "data.npz")
    assert (error.code, error.place) == ("object_array", "b")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arrays", "code", "place"),
    [
        ({"a": np.zeros(3), "b": np.zeros(2)}, "array_shape", "b"),
        ({"a": np.float64(1)}, "array_shape", "a"),
        ({"a": np.zeros((2, 0))}, "array_shape", "a"),
        ({"a": np.array([["x"]])}, "array_shape", "a"),
        ({"a": np.zeros(2, dtype=complex)}, "type_not_supported", "a"),
        ({"a": np.zeros(2, dtype=[("x", "f4")])}, "type_not_supported", "a"),
        ({"a": np.array([b"\xff"])}, "unknown_encoding", "a, row 0"),
        ({"a": np.zeros(0)}, "no_rows", "data.npz"),
    ],
)
def test_an_array_that_is_no_column_is_named(tmp_path: Path, arrays: dict[str, Any], code: str, place: str) -> None:
    error = refusal(tmp_path, npz_bytes(**arrays), "data.npz")
    assert (error.code, error.place) == (code, place)


@pytest.mark.parametrize("keep", [10, 100, -1, -30])
def test_a_cut_npz_is_told(tmp_path: Path, keep: int) -> None:
    assert refusal(tmp_path, npz_bytes(a=np.arange(1000))[:keep], "data.npz").code == "npz_cut"


def test_an_npz_damaged_inside_is_told(tmp_path: Path) -> None:
    content = bytearray(npz_bytes(a=np.random.default_rng(0).normal(size=1000)))
    content[2000:2100] = bytes(100)
    assert refusal(tmp_path, bytes(content), "data.npz").code in ("npz_damaged", "npz_cut")


def archive_of(*entries: tuple[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return stream.getvalue()


def array_bytes(array: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("entries", "code"),
    [
        ([("a.npy", b"\x93NUMPY nothing")], "npz_damaged"),
        ([("a.npy", array_bytes([1, 2])[:-1])], "npz_damaged"),
        ([("a.npy", array_bytes([1, 2]) + b"more")], "npz_damaged"),
        ([("a.npy", array_bytes([1])), ("readme.txt", b"hello")], "format_not_supported"),
        ([], "empty_file"),
    ],
)
def test_an_archive_that_is_no_npz_is_refused(tmp_path: Path, entries: list[tuple[str, bytes]], code: str) -> None:
    assert refusal(tmp_path, archive_of(*entries), "data.npz").code == code


@pytest.mark.filterwarnings(
    "ignore:Duplicate name:UserWarning"
)  # zipfile warns the writer; the reader is what is tested
def test_the_same_array_twice_is_refused(tmp_path: Path) -> None:
    content = archive_of(("a.npy", array_bytes([1])), ("a.npy", array_bytes([2])))
    assert refusal(tmp_path, content, "data.npz").code == "duplicate_columns"


@pytest.mark.parametrize(
    ("content", "filename", "code"),
    [
        (b"a,b\n1,2\n", "data.parquet", "not_what_its_name_says"),
        (b"a,b\n1,2\n", "data.npz", "not_what_its_name_says"),
        (parquet_bytes({"a": [1]}), "data.csv", "not_what_its_name_says"),
        (npz_bytes(a=[1]), "data.PARQUET", "not_what_its_name_says"),
        (parquet_bytes({"a": [1]})[4:], "data.parquet", "not_what_its_name_says"),
        (array_bytes([1]), "data.npz", "format_not_supported"),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), "data.csv", "format_not_supported"),
        (bytes(range(256)), "data.csv", "unknown_encoding"),
        (b"", "data.npz", "empty_file"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(tmp_path: Path, content: bytes, filename: str, code: str) -> None:
    assert refusal(tmp_path, content, filename).code == code


def test_content_decides_where_the_name_says_nothing(tmp_path: Path) -> None:
    for content in (parquet_bytes({"a": [1]}), npz_bytes(a=[1]), b"a\n1\n"):
        assert read(tmp_path, content, "upload.data").column_names == ["a"]
