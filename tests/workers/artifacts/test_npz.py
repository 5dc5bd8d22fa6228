"""Arrays of NumPy: what ``savez`` writes is carried over; a header is read by one pattern and never evaluated."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import outcome
from tests.workers.artifacts.weights_files import archive, array, carried, refused
from workers.artifacts.inspection import inspect
from workers.artifacts.limits import Limits
from workers.artifacts.weights.npy import read_header


def save(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def test_arrays_of_every_type_and_order_are_carried_over(tmp_path: Path) -> None:
    numbers = np.arange(24).reshape(2, 3, 4)
    codes = ("f8", ">f4", "<f2", "i8", ">i4", "i2", "i1", "u8", "u1", "?", "c8")
    arrays = {f"type_{number}": numbers.astype(code) for number, code in enumerate(codes)}
    arrays |= {
        "fortran": np.asfortranarray(numbers),
        "turned": np.asfortranarray(numbers.astype(">u2")),
        "größe": numbers[0],
    }
    arrays |= {"number": np.array(1.5), "empty": np.zeros((0, 3)), "folder/x": np.ones(1), "row": np.ones(3)}
    for path in (save(tmp_path / "a.npz", **arrays), tmp_path / "b.npz"):
        if path.name == "b.npz":
            np.savez_compressed(path, **arrays)
        inspection, tensors = carried(path)
        assert (inspection.format, inspection.framework, inspection.findings) == ("npz", "", ())
        assert set(tensors) == set(arrays)
        for name, expected in arrays.items():
            assert tensors[name].numpy().dtype == expected.dtype.newbyteorder("=")
            assert np.array_equal(tensors[name].numpy(), expected)


def test_texts_are_left_out_and_complex128_becomes_pairs(tmp_path: Path) -> None:
    arrays = {
        "w": np.ones(1),
        "names": np.array(["a", "b"]),
        "raw": np.array([b"x"]),
        "c": np.asfortranarray(np.ones((2, 3), "c16") * 2j),
    }
    inspection, tensors = carried(save(tmp_path / "a.npz", **arrays))
    assert set(tensors) == {"w", "c"}
    assert np.array_equal(tensors["c"].numpy()[..., 1], np.full((2, 3), 2.0))
    assert [entry.id for entry in inspection.findings] == ["ART-03.left_out", "ART-03.rearranged"]
    assert "'names'" in inspection.findings[0].detail


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_each_version_of_the_format_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.arange(3), version)
    _, tensors = carried(archive(tmp_path / "a.npz", {"x.npy": buffer.getvalue()}))
    assert tensors["x"].tolist() == [0, 1, 2]


def crafted(header: str | bytes, content: bytes = bytes(24), *, version: bytes = b"\x01\x00") -> bytes:
    raw = header.encode() if isinstance(header, str) else header
    size = len(raw).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    return b"\x93NUMPY" + version + size + raw + content


GOOD = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n"


def test_the_crafted_array_is_taken_when_nothing_is_wrong_with_it() -> None:
    assert read_header(crafted(GOOD), len(crafted(GOOD)), "x").shape == (3,)
    assert np.load(io.BytesIO(crafted(GOOD))).shape == (3,)


@pytest.mark.parametrize(
    "header",
    [
        GOOD.replace("(3,)", "(4,)"),
        GOOD.replace("(3,)", "(2,)"),
        GOOD.replace("(3,)", "(3)"),
        GOOD.replace("(3,)", "3"),
        GOOD.replace("(3,)", "[3]"),
        GOOD.replace("(3,)", "(-3,)"),
        GOOD.replace("(3,)", "(3L,)"),
        GOOD.replace("(3,)", "(1+2,)"),
        GOOD.replace("(3,)", "(0x3,)"),
        GOOD.replace("(3,)", "(3, 99999999999999999999)"),
        GOOD.replace("(3,)", "(" + "1, " * 40 + "3)"),
        GOOD.replace("False", "0"),
        GOOD.replace("False", "None"),
        GOOD.replace("'<f8'", "'<f'"),
        GOOD.replace("'<f8'", "'<U'"),
        GOOD.replace("'<f8'", "'<f16'"),
        GOOD.replace("'<f8'", "'<M8[s]'"),
        GOOD.replace("'<f8'", "'<m8'"),
        GOOD.replace("'<f8'", "'|V8'"),
        GOOD.replace("'<f8'", "'float64'"),
        GOOD.replace("'<f8'", "[('a', '<f8')]"),
        GOOD.replace("'<f8'", '"<f8"'),
        GOOD.replace("'descr'", "'descr': 1, 'descr'"),
        GOOD.replace("'shape'", "'extra': 1, 'shape'"),
        GOOD.replace("}", "}#"),
        GOOD.replace("\n", ""),
        GOOD + "x",
        GOOD + "\n",
        " " + GOOD,
        GOOD.replace("{", "dict(").replace("}", ")"),
        "__import__('os').system('true')\n",
        "",
        "{}\n",
    ],
)
def test_a_header_that_numpy_does_not_write_is_refused(tmp_path: Path, header: str) -> None:
    finding = refused(archive(tmp_path / "a.npz", {"x.npy": crafted(header)}))
    assert (finding.id, finding.place) == ("ART-02.tensors", "x.npy")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x04\x00" + crafted(GOOD)[8:],
        b"\x92NUMPY" + crafted(GOOD)[6:],
        b"\x93NUMPY\x01\x00\xff\xff" + GOOD.encode(),
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + GOOD.encode(),
        crafted(GOOD)[:-1],
        crafted(GOOD) + b"\0",
        crafted(b"{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\xa0\n"),
    ],
)
def test_an_array_that_is_damaged_is_refused(tmp_path: Path, content: bytes) -> None:
    finding = refused(archive(tmp_path / "a.npz", {"x.npy": content}))
    assert (finding.id, finding.place) == ("ART-02.tensors", "x.npy")


def test_an_array_of_objects_is_a_pickle(tmp_path: Path) -> None:
    content = array(np.array([print], dtype=object), allow_pickle=True)
    assert b"'|O'" in content
    finding = refused(archive(tmp_path / "a.npz", {"w.npy": array(np.ones(1)), "x.npy": content}))
    assert (finding.id, finding.severity, finding.place) == ("ART-01.pickle", "critical", "x.npy")


def test_other_entries_bombs_and_archives_without_numbers_are_refused(tmp_path: Path) -> None:
    good = array(np.ones(1))
    assert refused(archive(tmp_path / "b.npz", {"x.npy": array(np.array(["a"]))})).id == "ART-02.tensors"
    bomb = archive(tmp_path / "c.npz", {"x.npy": array(np.zeros(10**6))}, method=zipfile.ZIP_DEFLATED)
    (finding,) = inspect(bomb, filename="c.npz", limits=Limits(total_bytes=10**6)).findings
    assert finding.id == "ART-02.too_large"
    assert refused(archive(tmp_path / "d.npz", {"x.npy": good, "run.py": b""})).id == "ART-02.name_and_content"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=80) | st.text("{}'descrfotanhp_:,() <>f8FalseTru\n0123", max_size=90))
def test_arbitrary_headers_are_what_numpy_reads_or_refused(header: str) -> None:
    content = crafted(header, b"")
    found, finding = outcome(lambda: read_header(content, len(content), "x"))
    if finding is None:
        assert np.load(io.BytesIO(content)).shape == found.shape
