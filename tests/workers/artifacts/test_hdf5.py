"""What h5py writes for groups, arrays and attributes is read as h5py reads it, byte for byte."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.artifacts import hdf5_files
from tests.workers.artifacts.hdf5_files import as_h5py_reads, as_we_read, tree_of, written
from workers.artifacts.hdf5.weights import read_weights, rewrite_weights
from workers.artifacts.limits import Limits

DTYPES = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
]


def every_dtype(file: Any) -> None:
    for dtype in DTYPES:
        file[f"arrays/{dtype}"] = np.arange(6).reshape(2, 3).astype(dtype)
    file["arrays/raw"] = np.frombuffer(bytes(range(8)), "V2")


def odd_shapes(file: Any) -> None:
    file["scalar"] = np.float32(1.5)
    file["empty"] = np.zeros((3, 0, 2))
    file["many"] = np.zeros((1,) * 20)
    file.create_group("nothing")


def attributes(file: Any) -> None:
    file.attrs["variable"] = "käse"
    file.attrs["bytes"] = b"plain"
    file.attrs["nothing"] = ""
    file.attrs["fixed"] = np.bytes_(b"abc")
    file.attrs["fixed_list"] = np.array([b"a", b"long one", b""])
    file.attrs["list"] = ["one", "two", ""]
    file.attrs["numbers"] = np.arange(3)
    file.attrs["none"] = []
    file.attrs["config"] = "x" * 200_000
    for number in range(40):  # more than the first block of the header holds
        file.attrs[f"more_{number}"] = "y" * number


def many_members(file: Any) -> None:
    for number in np.random.default_rng(3).permutation(1500):
        file[f"group/{'x' * (int(number) % 37)}{number}"] = number


def with_times(file: Any) -> None:
    file.create_dataset("array", data=np.arange(4), track_times=True)


def compact(file: Any) -> None:
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_layout(h5py.h5d.COMPACT)
    kind, space = h5py.h5t.py_create(np.dtype("int16")), h5py.h5s.create_simple((3,))
    h5py.Dataset(h5py.h5d.create(file.id, b"small", kind, space, dcpl=layout))[...] = [1, 2, 3]


@pytest.mark.parametrize(
    "fill",
    [hdf5_files.weights, every_dtype, odd_shapes, attributes, many_members, with_times, compact, lambda file: None],
)
def test_a_file_is_read_as_h5py_reads_it(fill: Callable[[Any], None]) -> None:
    content = written(fill)
    assert as_we_read(content) == as_h5py_reads(content)


_NAMES = st.text(st.characters(codec="ascii", exclude_characters="/", exclude_categories=("C",)), min_size=1).filter(
    lambda name: name not in (".", "..")
)
_ARRAYS = st.tuples(st.sampled_from(DTYPES), st.lists(st.integers(0, 4), max_size=3), st.integers(0, 255))


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.tuples(_NAMES, _NAMES), _ARRAYS, max_size=30), st.dictionaries(_NAMES, st.text(max_size=99)))
def test_any_tree_is_read_as_h5py_reads_it(arrays: dict[Any, Any], texts: dict[str, str]) -> None:
    def fill(file: Any) -> None:
        for (group, name), (dtype, shape, value) in arrays.items():
            file[f"{group}/{name}"] = np.full(shape, value).astype(dtype)
        for name, text in texts.items():
            file.attrs[name] = text.replace("\0", "")

    content = written(fill)
    assert as_we_read(content) == as_h5py_reads(content)


def test_members_come_parents_first_and_in_the_order_of_their_names() -> None:
    paths = [member.path for member in tree_of(written(hdf5_files.weights)).members]
    assert paths == ["", "/layers", "/layers/dense", "/layers/dense/vars", *(f"/layers/dense/vars/{n}" for n in "01")]


def bfloat16(file: Any) -> None:
    hdf5_files.weights(file)
    file["raw"] = np.frombuffer(bytes(range(8)), "V2")
    file["raw"].attrs["dtype"] = "bfloat16"
    file["scalar"], file["empty"] = np.int64(7), np.zeros((0, 4), "float16")


def test_weights_are_written_anew_without_the_attributes_that_loading_does_not_need(tmp_path: Path) -> None:
    stream = io.BytesIO(written(bfloat16))
    target = tmp_path / "rewritten.h5"
    rewrite_weights(stream, read_weights(stream, "", Limits()), target)
    expected = as_h5py_reads(stream.getvalue())
    expected["/layers/dense/vars"] = {}
    assert as_h5py_reads(target.read_bytes()) == expected == as_we_read(target.read_bytes())


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    contents = [written(bfloat16), written(bfloat16, libver="earliest")]
    targets = [tmp_path / "first.h5", tmp_path / "second.h5"]
    for content, target in zip(contents, targets, strict=True):
        stream = io.BytesIO(content)
        rewrite_weights(stream, read_weights(stream, "", Limits()), target)
    again = io.BytesIO(targets[0].read_bytes())
    rewrite_weights(again, read_weights(again, "", Limits()), tmp_path / "again.h5")
    assert targets[0].read_bytes() == targets[1].read_bytes() == (tmp_path / "again.h5").read_bytes()


class CountingStream(io.BytesIO):
    """A stream that counts the bytes that were read from it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.read_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        content = super().read(size)
        self.read_bytes += len(content)
        return content


def test_no_array_is_read_by_an_inspection() -> None:
    def fill(file: Any) -> None:
        hdf5_files.weights(file)
        file["large"] = np.ones((1000, 1000))

    stream = CountingStream(written(fill))
    read_weights(stream, "", Limits())
    assert stream.read_bytes < 20_000
