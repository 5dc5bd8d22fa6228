"""Writes a new HDF5 file from a tree that was parsed: groups, arrays, and the few attributes that are asked for.

The library makes the structure of the new file and is given no byte of the old one; the bytes of the arrays are copied
to the places that it reserved for them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workers.artifacts.hdf5.datatypes import RAW_2
from workers.artifacts.hdf5.tree import Array, Group, array_pieces
from workers.artifacts.region import RandomAccess

#: The value of an attribute to write: a text, or a list of texts.
Value = bytes | list[bytes]


def write_members(
    source: RandomAccess,
    members: Iterable[Group | Array],
    target: Path,
    attributes: Mapping[str, Mapping[str, Value]],
) -> None:
    """Write groups and arrays in the order given, with the attributes of each path; the same input, the same bytes.

    Args:
        source: what the tree was read from.
        attributes: by path (empty for the root), then by name.
    """
    import h5py

    places: list[tuple[Array, int]] = []
    # The earliest version of the format keeps no times, so that the same arrays give the same bytes.
    with h5py.File(target, "w", libver="earliest") as file:
        for member in members:
            written = file["/"] if not member.path else _create(file, member)
            for name, value in attributes.get(member.path, {}).items():
                _write_attribute(written, name, value)
            if isinstance(member, Array) and member.size_bytes:
                places.append((member, written.id.get_offset()))
    with target.open("r+b") as out:
        for array, offset in places:
            out.seek(offset)
            for piece in array_pieces(source, array):
                out.write(piece)


def _create(file: Any, member: Group | Array) -> Any:
    import h5py
    import numpy as np

    if isinstance(member, Group):
        return file.create_group(member.path)
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    # Space is reserved now and filled by us.
    layout.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    layout.set_obj_track_times(False)
    dtype = np.dtype("V2" if member.datatype.name == RAW_2 else member.datatype.name)
    kind = h5py.h5t.py_create(dtype, logical=True)
    space = h5py.h5s.create_simple(member.shape) if member.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    return h5py.Dataset(h5py.h5d.create(file.id, member.path.encode(), kind, space, dcpl=layout))


def _write_attribute(written: Any, name: str, value: Value) -> None:
    """Write a text, or a list of texts; h5py makes a list of none a list of numbers, as Keras has it."""
    import h5py
    import numpy as np

    if isinstance(value, list) and not value:
        written.attrs.create(name, np.zeros(0))
    else:
        written.attrs.create(name, value, dtype=h5py.string_dtype("utf-8"))
