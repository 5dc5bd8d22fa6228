"""Weights files for tests: written by the libraries that people use, inspected and rewritten by us, read back."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workers.artifacts.findings import Finding
from workers.artifacts.inspection import Inspection, inspect
from workers.artifacts.rewrite import rewrite


def save(path: Path, value: Any, **options: Any) -> Path:
    """Save a value as PyTorch does."""
    import torch

    torch.save(value, path, **options)
    return path


def carried(path: Path) -> tuple[Inspection, dict[str, Any]]:
    """Return the inspection of a file that is taken, and the tensors of its canonical copy."""
    from safetensors.torch import load_file

    inspection = inspect(path, filename=path.name)
    assert inspection.verdict == "registered", inspection.reason
    target = path.with_suffix(".rewritten.safetensors")
    rewrite(path, inspection, target)
    return inspection, load_file(target)


def refused(path: Path) -> Finding:
    """Return the one finding for which a file is rejected."""
    inspection = inspect(path, filename=path.name)
    assert inspection.verdict == "rejected", inspection.verdict
    (finding,) = (entry for entry in inspection.findings if entry.decides())
    return finding


def archive(path: Path, entries: Mapping[str, bytes], *, method: int = zipfile.ZIP_STORED) -> Path:
    """Write a zip archive with these entries."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name, content in entries.items():
            file.writestr(zipfile.ZipInfo(name), content, method)
    return path


def entries_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def array(values: Any, **options: Any) -> bytes:
    """Return a ``.npy`` as NumPy writes it."""
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, values, **options)
    return buffer.getvalue()


def text(value: str) -> bytes:
    """Return the opcode that pushes a text in protocol 2."""
    raw = value.encode()
    return b"X" + struct.pack("<I", len(raw)) + raw


FLOATS = b"ctorch\nFloatStorage\n"
HOOKS = b"ccollections\nOrderedDict\n)R"
REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"


def storage(key: str = "0", *, kind: bytes = FLOATS, count: bytes = b"K\x02", device: str = "cpu") -> bytes:
    """Return the opcodes that ask for a storage."""
    return b"(" + text("storage") + kind + text(key) + text(device) + count + b"tQ"


def tensor(
    *,
    of: bytes | None = None,
    offset: bytes = b"K\x00",
    size: bytes = b"K\x02\x85",
    stride: bytes = b"K\x01\x85",
    gradient: bytes = b"\x89",
    hooks: bytes = HOOKS,
    more: bytes = b"",
) -> bytes:
    """Return the opcodes that make a tensor of two floats."""
    return REBUILD + b"(" + (of or storage()) + offset + size + stride + gradient + hooks + more + b"tR"


def checkpoint(path: Path, body: bytes, storages: Mapping[str, bytes] | None = None, *, end: bytes = b".") -> Path:
    """Write torch's zip format around the opcodes of one value."""
    given = {"0": bytes(8)} if storages is None else storages
    entries = {"m/data.pkl": b"\x80\x02" + body + end, "m/byteorder": b"little"}
    entries |= {f"m/data/{key}": content for key, content in given.items()}
    return archive(path, {**entries, "m/version": b"3\n"})
