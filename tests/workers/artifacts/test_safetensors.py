"""safetensors: our reader and the library's agree on every file that is taken, and our copies are read by it."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from tests.workers.artifacts.weights_files import carried, refused
from workers.artifacts.inspection import inspect
from workers.artifacts.limits import Limits


def write(path: Path, header: Any, content: bytes = b"", *, padding: bytes = b"", length: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw += padding
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + content)
    return path


def entry(begin: int, end: int, *, dtype: Any = "F32", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


SHAPES = st.lists(st.integers(0, 4), max_size=3).map(tuple)
ARRAYS = st.tuples(st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u1", "u2", "b1", "c8"]), SHAPES).map(
    lambda kind: np.arange(int(np.prod(kind[1]))).reshape(kind[1]).astype(kind[0])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrays=st.dictionaries(st.text("abc.é", min_size=1, max_size=5), ARRAYS, min_size=1, max_size=6))
def test_what_the_library_writes_is_carried_over_unchanged(arrays: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(arrays, path, metadata={"format": "pt"})
    inspection, _ = carried(path)
    assert (inspection.format, inspection.framework, inspection.findings) == ("safetensors", "", ())
    copied = load_file(tmp_path / "w.rewritten.safetensors")
    assert set(copied) == set(arrays)
    for name, array in arrays.items():
        assert copied[name].dtype == array.dtype
        assert np.array_equal(copied[name], array)


def test_a_canonical_copy_is_its_own_canonical_copy(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"b": np.ones(3, "f2"), "a": np.ones(1), "c": np.ones((0, 2))}, path)
    carried(path)
    first = tmp_path / "w.rewritten.safetensors"
    carried(first)
    assert (tmp_path / "w.rewritten.rewritten.safetensors").read_bytes() == first.read_bytes()
    length = struct.unpack("<Q", first.read_bytes()[:8])[0]
    assert length % 8 == 0, "the first tensor is aligned"


def test_the_order_of_the_header_does_not_matter(tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", {"b": entry(4, 8), "a": entry(0, 4)}, struct.pack("<2f", 1, 2))
    _, tensors = carried(path)
    assert (tensors["a"].item(), tensors["b"].item()) == (1, 2)


@pytest.mark.parametrize("length", [60, 640, 8483, 23117, 35615, 0x0380, 0x0480, 0x0580])
def test_a_header_is_recognised_whatever_its_length_looks_like(tmp_path: Path, length: int) -> None:
    header = json.dumps({"a": entry(0, 4)}, separators=(",", ":")).encode()
    path = write(tmp_path / "w.safetensors", header, bytes(4), padding=b" " * (length - len(header)))
    assert int.from_bytes(path.read_bytes()[:8], "little") == length
    assert inspect(path, filename=path.name).verdict == "registered"


def test_metadata_is_left_out_and_said_so(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": np.ones(1)}, path, metadata={"format": "pt", "author": "<script>", "notes": "x"})
    inspection, _ = carried(path)
    (finding,) = inspection.findings
    assert (finding.id, finding.severity) == ("ART-03.left_out", "info")
    assert "'author'" in finding.detail
    with safe_open(tmp_path / "w.rewritten.safetensors", "numpy") as file:
        assert file.metadata() is None


GOOD = {"a": entry(0, 4), "b": entry(4, 8)}


@pytest.mark.parametrize(
    ("header", "content", "identifier", "place"),
    [
        ({"a": entry(0, 4), "b": entry(0, 4)}, bytes(4), "ART-02.tensors", "b"),
        ({"a": entry(0, 4), "b": entry(2, 6)}, bytes(6), "ART-02.tensors", "b"),
        ({"a": entry(0, 4), "b": entry(5, 9)}, bytes(9), "ART-02.tensors", "b"),
        ({"a": entry(1, 5)}, bytes(5), "ART-02.tensors", "a"),
        ({"a": entry(4, 0, shape=[1])}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, shape=[2])}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 8, shape=[1])}, bytes(8), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, shape=[-1])}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, shape=[1.0])}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, shape=[True])}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, shape=[2**64, 2**64])}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 0, shape=[2**62, 2**62, 0])}, b"", "", ""),
        ({"a": entry(0, 4, shape=[1] * 100)}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, shape=1)}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, dtype="F4")}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, dtype="f32")}, bytes(4), "ART-02.tensors", "a"),
        ({"a": entry(0, 4, dtype=["F32"])}, bytes(4), "ART-02.tensors", "a"),
        ({"a": {**entry(0, 4), "extra": 1}}, bytes(4), "ART-02.tensors", "a"),
        ({"a": {"dtype": "F32", "shape": [1]}}, bytes(4), "ART-02.tensors", "a"),
        ({"a": {**entry(0, 4), "data_offsets": [0, 4, 8]}}, bytes(4), "ART-02.tensors", "a"),
        ({"a": [0, 4]}, bytes(4), "ART-02.tensors", "a"),
        (GOOD, bytes(7), "ART-02.truncated", "byte"),
        (GOOD, bytes(9), "ART-02.suffix_data", "byte"),
        (GOOD, bytes(8) + b"PK\x05\x06", "ART-02.suffix_data", "byte"),
        ({"__metadata__": {"a": 1}, "a": entry(0, 4)}, bytes(4), "ART-02.tensors", "header: __metadata__"),
        ({"__metadata__": [], "a": entry(0, 4)}, bytes(4), "ART-02.tensors", "header: __metadata__"),
        ({"__metadata__": {"a": "b"}}, b"", "ART-02.tensors", ""),
        ({"a\nb": entry(0, 4)}, bytes(4), "ART-02.tensors", "'a\\nb'"),
        ({"a\0b": {**entry(0, 4), "extra": 1}}, bytes(4), "ART-02.tensors", "a\\x00b"),
        ({"x" * 600: entry(0, 4)}, bytes(4), "ART-02.tensors", "'xxx"),
        (b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]}, "a": 1}', bytes(4), "ART-02.json", "header"),
        (b'{"a": {"dtype":"F32","shape":[1],"shape":[1],"data_offsets":[0,4]}}', bytes(4), "ART-02.json", "header"),
        (b'{"a": {"dtype":"F32","shape":[1],"data_offsets":[0,4]},}', bytes(4), "ART-02.json", "header"),
        (b'{"a": NaN}', b"", "ART-02.json", "header"),
        (b'{"\xff": 1}', b"", "ART-02.json", "header"),
        (b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", b"", "ART-02.json", "header"),
    ],
)
def test_a_header_that_does_not_describe_every_byte_once_is_refused(
    tmp_path: Path, header: Any, content: bytes, identifier: str, place: str
) -> None:
    path = write(tmp_path / "w.safetensors", header, content)
    if not identifier:
        assert inspect(path, filename=path.name).verdict == "registered"
        return
    finding = refused(path)
    assert finding.id == identifier
    assert finding.place.startswith(place)


@pytest.mark.parametrize("padding", [b"\n", b"\t ", b"\0", b" \0 ", b"{}", b" x"])
def test_only_spaces_pad_the_header(tmp_path: Path, padding: bytes) -> None:
    assert refused(write(tmp_path / "w.safetensors", GOOD, bytes(8), padding=padding)).id in (
        "ART-02.tensors",
        "ART-02.json",
    )
    assert carried(write(tmp_path / "v.safetensors", GOOD, bytes(8), padding=b"   "))


@pytest.mark.parametrize("length", [99_000_000, 10_000])
def test_a_length_beyond_the_file_or_the_limits_is_refused_before_it_is_read(tmp_path: Path, length: int) -> None:
    path = write(tmp_path / "w.safetensors", GOOD, bytes(8), length=length)
    assert refused(path).id in ("ART-02.too_large", "ART-02.truncated")


def test_limits_hold(tmp_path: Path) -> None:
    path = write(tmp_path / "w.safetensors", GOOD, bytes(8))
    for limits in (Limits(tensors=1), Limits(json_bytes=20), Limits(total_bytes=4)):
        (finding,) = inspect(path, filename=path.name, limits=limits).findings
        assert finding.id == "ART-02.too_large"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_what_is_taken_after_a_mutation_is_read_alike_by_the_library(data: st.DataObject, tmp_path: Path) -> None:
    path = write(tmp_path / "m.safetensors", GOOD, struct.pack("<2f", 1, 2))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    if inspect(path, filename=path.name).verdict != "registered":
        return
    try:
        theirs = load_file(path)
    except SafetensorError as error:
        pytest.fail(f"The library refuses what we take: {error}")
    _, ours = carried(path)
    assert set(ours) == set(theirs)
    assert all(ours[name].numpy().tobytes() == theirs[name].tobytes() for name in ours)
