"""Outputs are held against their names by their headers: what lies about its type or its shapes is not kept."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save

from governance import output_files
from workers.protocol import MAX_RESULT_BYTES, ProtocolError


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR" + struct.pack(">II", width, height) + b"rest"


def safetensors(header: Any, data: bytes = b"") -> bytes:
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + data


def tensor(shape: list[Any], begin: int, end: int, dtype: str = "F32", **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end], **more}


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2, 3]}), sink)
    return sink.getvalue()


def npz() -> bytes:
    sink = io.BytesIO()
    np.savez(sink, a=np.zeros(3))
    return sink.getvalue()


TRUE = {
    "a.parquet": parquet(),
    "a.npz": npz(),
    "a.png": png(640, 480),
    "a.json": b'{"rows": [1, 2]}',
    "a.safetensors": save({"weights": np.ones((2, 3), dtype="float32"), "bias": np.zeros(0, dtype="float64")}),
    "b.safetensors": safetensors(
        {"__metadata__": {"a": "b"}, "x": tensor([], 0, 4), "y": tensor([2], 4, 8, "F16")}, b"12345678"
    ),
    "c.safetensors": safetensors({}),
    "anything.txt": b"\x00",
    "no_suffix": b"",
}
LIES = {
    "empty.parquet": (b"", "does not begin as a Parquet file"),
    "begin.parquet": (b"NOPE" + parquet()[4:], "does not begin"),
    "cut.parquet": (parquet()[:-3], "does not end as a Parquet file"),
    "footer.parquet": (b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1", "does not end"),
    "cut.png": (png(1, 1)[:20], "does not begin as a PNG"),
    "flat.png": (png(0, 5), "0 by 5 pixels"),
    "huge.png": (png(2**31, 1), "2,147,483,648 by 1 pixels"),
    "text.npz": (b"text", "does not begin as an archive"),
    "nan.json": (b'{"a": NaN}', "is not JSON"),
    "deep.json": (b"[" * 100_000, "is not JSON"),
    "bytes.json": (b"\xff\xfe\x00", "is not JSON"),
    "large.json": (b" " * (MAX_RESULT_BYTES + 1), "at most 16,777,216 are kept"),
    "empty.safetensors": (b"", "its header is longer"),
    "long.safetensors": ((10**10).to_bytes(8, "little") + b"{}", "its header is longer"),
    "list.safetensors": (safetensors([]), "not that of safetensors"),
    "twice.safetensors": (
        safetensors(b'{"a": {"dtype": "U8", "shape": [], "data_offsets": [0, 1]}, "a": 1}', b"1"),
        "not that of safetensors",
    ),
    "shape.safetensors": (safetensors({"a": tensor([3], 0, 4)}, b"1234"), "the shape of a tensor is not true"),
    "negative.safetensors": (safetensors({"a": tensor([-1, -1], 0, 4)}, b"1234"), "not true"),
    "bool.safetensors": (safetensors({"a": tensor([True], 0, 4)}, b"1234"), "not true"),
    "dtype.safetensors": (safetensors({"a": tensor([1], 0, 4, "PICKLE")}, b"1234"), "not true"),
    "more.safetensors": (safetensors({"a": tensor([1], 0, 4, code="x")}, b"1234"), "not true"),
    "overlap.safetensors": (
        safetensors({"a": tensor([1], 0, 4), "b": tensor([1], 2, 6)}, b"123456"),
        "overlap, or leave a gap",
    ),
    "gap.safetensors": (safetensors({"a": tensor([1], 0, 4), "b": tensor([1], 6, 10)}, b"0123456789"), "leave a gap"),
    "slack.safetensors": (safetensors({"a": tensor([1], 0, 4)}, b"1234 and more"), "leave a gap"),
    "short.safetensors": (safetensors({"a": tensor([2], 0, 8)}, b"1234"), "leave a gap"),
}


def checked(folder: Path, name: str, content: bytes) -> int:
    """Check an output and return where its stream is left."""
    (folder / name).write_bytes(content)
    with (folder / name).open("rb") as stream:
        output_files.check(name, stream)
        return stream.tell()


@pytest.mark.parametrize("name", TRUE)
def test_what_is_as_it_is_called_is_read_from_its_beginning_afterwards(name: str, tmp_path: Path) -> None:
    assert checked(tmp_path, name, TRUE[name]) == 0


@pytest.mark.parametrize("name", LIES)
def test_what_lies_about_its_type_or_its_shapes_is_refused(name: str, tmp_path: Path) -> None:
    content, said = LIES[name]
    with pytest.raises(ProtocolError, match=f"The output {name} is not what its name says") as refusal:
        checked(tmp_path, name, content)
    assert said in str(refusal.value)
