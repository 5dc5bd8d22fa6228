"""HDF5 files for the tests: written by h5py, read back by h5py as the oracle, and changed byte by byte."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np

from workers.artifacts.findings import Finding, RefusalError
from workers.artifacts.hdf5.file_map import FileMap
from workers.artifacts.hdf5.tree import Array, Tree, read_tree
from workers.artifacts.limits import Limits

LIMITS = Limits()


def written(fill: Callable[[Any], None], **options: Any) -> bytes:
    """Return the bytes of a file that h5py wrote."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        fill(file)
    return buffer.getvalue()


def weights(file: Any) -> None:
    """Fill a file as Keras does with the weights of one layer."""
    group = file.create_group("layers/dense/vars")
    group.attrs["name"] = "dense"
    group["0"] = np.arange(12, dtype="float32").reshape(3, 4)
    group["1"] = np.arange(4, dtype="float32")


def tree_of(content: bytes, limits: Limits = LIMITS) -> Tree:
    return read_tree(io.BytesIO(content), "", limits)


def refusal_of(content: bytes, limits: Limits = LIMITS) -> Finding:
    """Return the finding with which a file is refused; it is a failure if it is taken."""
    try:
        tree_of(content, limits)
    except RefusalError as error:
        return error.finding
    raise AssertionError("The file is taken.")


def as_we_read(content: bytes, limits: Limits = LIMITS) -> dict[str, Any]:
    """Return the members of a file by path, as our reader has them."""
    stream = io.BytesIO(content)
    file = FileMap(stream, "", limits)
    members: dict[str, Any] = {}
    for member in read_tree(stream, "", limits).members:
        texts = {name: attribute.texts for name, attribute in member.attributes.items()}
        members[member.path] = texts
        if isinstance(member, Array):
            raw = b"".join(file.pieces(member.offset, member.size_bytes))
            members[member.path] = (texts, member.shape, member.datatype.name, raw)
    return members


def as_h5py_reads(content: bytes) -> dict[str, Any]:
    """Return the same as ``as_we_read``, as h5py has it."""
    members: dict[str, Any] = {}

    def visit(name: str, item: Any) -> None:
        texts = {key: _texts(value) for key, value in item.attrs.items()}
        path = f"/{name}" if name else ""
        members[path] = texts
        if isinstance(item, h5py.Dataset):
            dtype = "raw2" if item.dtype.kind == "V" else item.dtype.name
            members[path] = (texts, item.shape, dtype, item[()].tobytes())

    with h5py.File(io.BytesIO(content), "r") as file:
        visit("", file)
        file.visititems(visit)
    return members


def _texts(value: Any) -> tuple[bytes, ...]:
    items = np.atleast_1d(np.asarray(value, dtype=object) if isinstance(value, str | bytes) else value)
    if items.dtype.kind not in "OS":
        return ()
    return tuple(
        item.encode("utf-8", "surrogateescape") if isinstance(item, str) else bytes(item) for item in items.ravel()
    )
