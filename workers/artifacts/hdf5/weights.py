"""The weights of a ``.keras`` file: an HDF5 file of plain arrays in groups, walked and written anew.

HDF5 can say much more than that: links to other files, arrays whose bytes lie in other files, filters that are loaded
as plug-ins, arrays of references, shapes for which no bytes are stored. None of it is taken. h5py is used through its
low level, so that nothing is followed or converted before it was looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.artifacts.findings import refusal, shown

_MAX_DEPTH = 32
_MAX_OBJECTS = 200_000
_PIECE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class _Member:
    """A group or a dataset of the file."""

    path: str
    is_dataset: bool


def check_weights(path: Path, place: str) -> int:
    """Walk an HDF5 file and return the number of its arrays.

    Raises:
        RefusalError: ``ART-02.hdf5`` with the path inside the file.
    """
    with _opened(path, place) as file:
        return sum(member.is_dataset for member in _members(file, place))


def rewrite_weights(source: Path, target: Path, place: str) -> None:
    """Write a new HDF5 file with the same groups and arrays, in the order of their names, and nothing else."""
    import h5py

    # The earliest version of the format keeps no times of groups, so that the same arrays give the same bytes.
    with _opened(source, place) as file, h5py.File(target, "w", libver="earliest") as out:
        for member in _members(file, place):
            if member.is_dataset:
                _copy(file, out, member.path, place)
            elif member.path != "/":
                out.require_group(member.path)


def _copy(file: Any, out: Any, path: str, place: str) -> None:
    with _damage_told(place):
        dataset = file[path]
        shape, dtype = dataset.shape, dataset.dtype
    copied = out.create_dataset(path, shape=shape, dtype=dtype, track_times=False)
    if dtype.kind == "V":
        copied.attrs["dtype"] = "bfloat16"
    row_bytes = max(1, dtype.itemsize * math.prod(shape[1:]))
    step = max(1, _PIECE_BYTES // row_bytes)
    parts: Iterable[Any] = [()] if not shape else (slice(at, at + step) for at in range(0, shape[0], step))
    for part in parts:
        with _damage_told(place):
            numbers = dataset[part]
        copied[part] = numbers


@contextmanager
def _damage_told(place: str) -> Iterator[None]:
    """Say what h5py raises on a damaged file as a finding."""
    try:
        yield
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise refusal("ART-02.hdf5", f"The HDF5 file is damaged: {shown(str(error))}.", place) from None


@contextmanager
def _opened(path: Path, place: str) -> Iterator[Any]:
    import h5py

    if not h5py.h5f.is_hdf5(str(path).encode()):
        raise refusal("ART-02.hdf5", "The entry is not an HDF5 file.", place)
    with _damage_told(place):
        file = h5py.File(path, "r")
    with file:
        yield file


def _members(file: Any, place: str) -> Iterator[_Member]:
    """Yield every group and dataset once, parents first, in the order of the names."""
    walk = _Walk(place).walk(file)
    while True:
        with _damage_told(place):
            member = next(walk, None)
        if member is None:
            return
        yield member


class _Walk:
    def __init__(self, place: str) -> None:
        self._place = place
        self._addresses: set[Any] = set()

    def refused(self, why: str, path: str) -> Exception:
        return refusal("ART-02.hdf5", why, f"{self._place}: {path}")

    def walk(self, file: Any) -> Iterator[_Member]:
        self._check_attributes(file.id, "/")
        yield _Member("/", False)
        stack = [(file, "", 0)]
        while stack:
            group, prefix, depth = stack.pop()
            if depth > _MAX_DEPTH:
                raise self.refused(f"The groups are nested deeper than {_MAX_DEPTH}.", prefix)
            inner = []
            for name in sorted(group.keys()):
                path = f"{prefix}/{name}"
                child, is_dataset = self._child(group, name, path)
                self._check_attributes(child.id, path)
                yield _Member(path, is_dataset)
                if not is_dataset:
                    inner.append((child, path, depth + 1))
            stack.extend(reversed(inner))

    def _child(self, group: Any, name: str | bytes, path: str) -> tuple[Any, bool]:
        import h5py

        # h5py gives a name that is not UTF-8 as bytes.
        if not isinstance(name, str) or len(path) > 2000 or not name.isprintable() or name in (".", ".."):
            raise self.refused(f"The name {shown(name)} is not plain.", path)
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise self.refused("The member is a soft or external link, which may point to another file.", path)
        identifier = h5py.h5o.open(group.id, name.encode())
        information = h5py.h5o.get_info(identifier)
        address = (information.fileno, information.addr)
        if address in self._addresses:
            raise self.refused("The member is the same object as another one.", path)
        self._addresses.add(address)
        if len(self._addresses) > _MAX_OBJECTS:
            raise self.refused(f"The file has more than {_MAX_OBJECTS:,} members.", path)
        if information.type == h5py.h5o.TYPE_GROUP:
            return h5py.Group(identifier), False
        if information.type != h5py.h5o.TYPE_DATASET:
            raise self.refused("The member is neither a group nor an array.", path)
        self._check_dataset(identifier, path)
        return h5py.Dataset(identifier), True

    def _check_dataset(self, identifier: Any, path: str) -> None:
        import h5py

        properties = identifier.get_create_plist()
        if properties.get_external_count():
            raise self.refused("The bytes of the array lie in another file.", path)
        if properties.get_layout() not in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT):
            raise self.refused("The array is virtual or stored in chunks; Keras writes it in one piece.", path)
        if properties.get_nfilters():
            raise self.refused("The array is filtered; a filter may load a plug-in.", path)
        if not _is_numeric(identifier.get_type()):
            raise self.refused("The array does not hold plain numbers.", path)
        space = identifier.get_space()
        needed = math.prod(space.get_simple_extent_dims()) * identifier.get_type().get_size()
        if space.get_simple_extent_type() not in (h5py.h5s.SCALAR, h5py.h5s.SIMPLE):
            raise self.refused("The array has no shape.", path)
        if identifier.get_storage_size() != needed:
            detail = f"The array needs {needed:,} bytes; {identifier.get_storage_size():,} are stored."
            raise self.refused(detail, path)

    def _check_attributes(self, identifier: Any, path: str) -> None:
        """Refuse attributes that Keras does not write, and read none.

        The text of an attribute lies in a heap whose stated size HDF5 believes. ``name`` says nothing that loading
        needs, and ``dtype`` says bfloat16 wherever an array has raw bytes.
        """
        import h5py

        for index in range(h5py.h5a.get_num_attrs(identifier)):
            name = h5py.h5a.open(identifier, index=index).name.decode(errors="replace")
            if name not in ("name", "dtype"):
                raise self.refused(f"The attribute {shown(name)} is not one that Keras writes.", path)


def _is_numeric(kind: Any) -> bool:
    """Tell whether an HDF5 type is integers, floats, h5py's bool, or the two raw bytes in which bfloat16 is kept."""
    import h5py

    code = kind.get_class()
    if code in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        return bool(kind.get_size() <= 8)
    if code == h5py.h5t.ENUM:
        return bool(kind.get_size() == 1 and kind.get_nmembers() == 2)
    return bool(code == h5py.h5t.OPAQUE and kind.get_size() == 2)
