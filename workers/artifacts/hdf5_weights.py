"""The weights of a ``.keras`` file: an HDF5 file of plain arrays in groups, walked and written anew.

HDF5 can say much more than that: links to other files, arrays whose bytes lie in other files, filters that are loaded
as plug-ins, arrays of references, shapes for which no bytes are stored. None of it is taken. h5py is used through its
low level, so that nothing is followed or converted before it was looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.artifacts.findings import refusal, shown

_MAX_DEPTH = 32
_MAX_OBJECTS = 200_000
_MAX_ATTRIBUTE_TEXT = 400
_PIECE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class _Member:
    """A group or a dataset of the file; ``attributes`` are the two texts that Keras writes."""

    path: str
    is_dataset: bool
    attributes: dict[str, str]


def check_weights(path: Path, place: str) -> int:
    """Walk an HDF5 file and return the number of its arrays.

    Raises:
        RefusalError: ``ART-02.hdf5`` with the path inside the file.
    """
    with _opened(path, place) as file:
        return sum(member.is_dataset for member in _members(file, place))


def rewrite_weights(source: Path, target: Path, place: str) -> None:
    """Write a new HDF5 file with the same groups, arrays and names, in their order, and nothing else."""
    import h5py

    # The earliest version of the format keeps no times of groups, so that the same arrays give the same bytes.
    with _opened(source, place) as file, h5py.File(target, "w", libver="earliest") as out:
        for member in _members(file, place):
            if member.is_dataset:
                _copy(file[member.path], out, member.path)
            elif member.path != "/":
                out.require_group(member.path)
            for name, text in member.attributes.items():
                out[member.path].attrs[name] = text


def _copy(dataset: Any, out: Any, path: str) -> None:
    copied = out.create_dataset(path, shape=dataset.shape, dtype=dataset.dtype, track_times=False)
    if not dataset.shape:
        copied[()] = dataset[()]
        return
    row_bytes = max(1, dataset.dtype.itemsize * math.prod(dataset.shape[1:]))
    step = max(1, _PIECE_BYTES // row_bytes)
    for start in range(0, dataset.shape[0], step):
        copied[start : start + step] = dataset[start : start + step]


class _Opened:
    def __init__(self, path: Path, place: str) -> None:
        self._path, self._place, self._file = path, place, None

    def __enter__(self) -> Any:
        import h5py

        if not h5py.h5f.is_hdf5(str(self._path).encode()):
            raise refusal("ART-02.hdf5", "The entry is not an HDF5 file.", self._place)
        try:
            self._file = h5py.File(self._path, "r")
        except (OSError, RuntimeError, ValueError) as error:
            raise refusal("ART-02.hdf5", f"The HDF5 file does not open: {shown(str(error))}.", self._place) from None
        return self._file

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


def _opened(path: Path, place: str) -> _Opened:
    return _Opened(path, place)


def _members(file: Any, place: str) -> Iterator[_Member]:
    """Yield every group and dataset once, parents first, in the order of the names."""
    try:
        yield from _Walk(place).walk(file)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise refusal("ART-02.hdf5", f"The HDF5 file is damaged: {shown(str(error))}.", place) from None


class _Walk:
    def __init__(self, place: str) -> None:
        self._place = place
        self._addresses: set[Any] = set()

    def refused(self, why: str, path: str) -> Exception:
        return refusal("ART-02.hdf5", why, f"{self._place}: {path}")

    def walk(self, file: Any) -> Iterator[_Member]:
        yield _Member("/", False, self._attributes(file, "/"))
        stack = [(file, "", 0)]
        while stack:
            group, prefix, depth = stack.pop()
            if depth > _MAX_DEPTH:
                raise self.refused(f"The groups are nested deeper than {_MAX_DEPTH}.", prefix)
            inner = []
            for name in sorted(group.keys()):
                path = f"{prefix}/{name}"
                child, is_dataset = self._child(group, name, path)
                yield _Member(path, is_dataset, self._attributes(child, path))
                if not is_dataset:
                    inner.append((child, path, depth + 1))
            stack.extend(reversed(inner))

    def _child(self, group: Any, name: str, path: str) -> tuple[Any, bool]:
        import h5py

        if len(path) > 2000 or not name.isprintable() or name in (".", ".."):
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

    def _attributes(self, item: Any, path: str) -> dict[str, str]:
        import h5py

        attributes = {}
        for name in item.attrs:
            kind = item.attrs.get_id(name)
            if name not in ("name", "dtype") or kind.shape != () or kind.get_type().get_class() != h5py.h5t.STRING:
                raise self.refused(f"The attribute {shown(name)} is not one that Keras writes.", path)
            text = item.attrs[name]
            if not isinstance(text, str) or len(text) > _MAX_ATTRIBUTE_TEXT:
                raise self.refused(f"The attribute {shown(name)} is not a short text.", path)
            attributes[name] = text
        return attributes


def _is_numeric(kind: Any) -> bool:
    """Tell whether an HDF5 type is integers, floats, h5py's bool, or the two raw bytes in which bfloat16 is kept."""
    import h5py

    code = kind.get_class()
    if code in (h5py.h5t.INTEGER, h5py.h5t.FLOAT):
        return bool(kind.get_size() <= 8)
    if code == h5py.h5t.ENUM:
        return bool(kind.get_size() == 1 and kind.get_nmembers() == 2)
    return bool(code == h5py.h5t.OPAQUE and kind.get_size() == 2)
