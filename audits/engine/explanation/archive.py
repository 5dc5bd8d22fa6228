"""Write an ``.npz`` whose arrays are never in memory as a whole, and can be mapped one by one by whoever reads it."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

#: Where the header of an array begins in the file; NumPy's header is a multiple of it long, and so the numbers do too.
ALIGNMENT = 64
#: The extra field of a zip that holds nothing but padding (PKWARE's registry: Android's ``zipalign``).
_PADDING_FIELD = 0xD935
#: The fixed part of a local header, and the field with the 64-bit sizes that ``force_zip64`` puts in.
_LOCAL_HEADER_BYTES, _ZIP64_FIELD_BYTES = 30, 20
_WRITE_BYTES = 1024 * 1024


class ArrayArchive:
    """An ``.npz`` of stored members, written one after the other; the same arrays give the same bytes.

    Sources: NumPy's format, NEP 1; the zip format, PKWARE's APPNOTE, 4.3 to 4.5.
    """

    def __init__(self, path: Path) -> None:
        self._archive = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._archive.close()

    def add(self, name: str, array: NDArray[Any], *, let_go: Callable[[], None] | None = None) -> None:
        """Write an array; ``let_go`` is called now and then to give back the memory of one that lies in a file."""
        step = max(1, _WRITE_BYTES // max(1, array[:1].nbytes))
        blocks = (array[start : start + step] for start in range(0, len(array), step))
        self.add_blocks(name, array.shape, array.dtype, _each(blocks, let_go))

    def add_blocks(self, name: str, shape: Sequence[int], dtype: DTypeLike, blocks: Iterable[NDArray[Any]]) -> None:
        """Write an array that comes in blocks of rows.

        Raises:
            ValueError: the blocks do not make an array of that shape.
        """
        kind = np.dtype(dtype)
        left = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        with self._archive.open(self._entry(f"{name}.npy"), "w", force_zip64=True) as member:
            header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": tuple(shape)}
            np.lib.format.write_array_header_1_0(member, header)
            for block in blocks:
                content = np.ascontiguousarray(block, kind).tobytes()
                left -= len(content)
                member.write(content)
        if left:
            raise ValueError(f"The blocks of {name} do not have the shape {tuple(shape)}")

    def _entry(self, name: str) -> zipfile.ZipInfo:
        entry = zipfile.ZipInfo(name)
        assert self._archive.fp is not None
        at = self._archive.fp.tell() + _LOCAL_HEADER_BYTES + len(name.encode()) + _ZIP64_FIELD_BYTES + 4
        padding = -at % ALIGNMENT
        entry.extra = _PADDING_FIELD.to_bytes(2, "little") + padding.to_bytes(2, "little") + bytes(padding)
        entry.external_attr = 0o600 << 16
        return entry


def _each(blocks: Iterable[NDArray[Any]], let_go: Callable[[], None] | None) -> Iterable[NDArray[Any]]:
    for block in blocks:
        yield block
        if let_go is not None:
            let_go()
