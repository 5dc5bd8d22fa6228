"""Arrays of NumPy: one ``.npy`` is a header with a few words, and values; a ``.npz`` is a zip archive of them.

The header is a Python literal that NumPy evaluates. Here it is read by one pattern: three keys in the order in which
NumPy writes them, a dtype of plain numbers, and a shape. Objects (which are pickles), records and anything behind the
last value are refused.

Source: ``numpy/lib/format.py``, versions 1.0 to 3.0 of the format.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from workers.artifacts.findings import finding, refusal, shown
from workers.artifacts.source import Source
from workers.artifacts.weights.dtypes import BY_NUMPY
from workers.artifacts.weights.safetensors import Weights
from workers.artifacts.weights.tensors import Block, StoredTensor, TensorNames, row_strides

_MAGIC = b"\x93NUMPY"
_SUFFIX = ".npy"
#: A header: NumPy pads it to 64 bytes; the longest shapes need a few hundred.
_MAX_HEADER_BYTES = 64 * 1024
_HEADER = re.compile(
    r"\{'descr': ?'([<>|=]?)([a-zA-Z][0-9]{0,9})', ?'fortran_order': ?(True|False), ?"
    r"'shape': ?\(((?:[0-9]{1,19}, ?)*(?:[0-9]{1,19})?)\),? ?\} *\n"
)
_TEXT = re.compile(r"[US][0-9]{1,9}")
_MAX_DIMENSIONS = 32


@dataclass(frozen=True)
class ArrayHeader:
    """What the header of an array says.

    Attributes:
        code: kind and size, as ``f4``; texts have ``U`` or ``S``.
        data_offset: byte at which the values begin.
    """

    code: str
    is_swapped: bool
    is_fortran: bool
    shape: tuple[int, ...]
    data_offset: int

    @property
    def size_bytes(self) -> int:
        width = int(self.code[1:]) * (4 if self.code[0] == "U" else 1)
        return math.prod(self.shape) * width


def read_npz(source: Source) -> Weights:
    """Read every array of a ``.npz``.

    Raises:
        RefusalError: an entry that is no array of plain numbers or texts, with its name.
    """
    archive = source.entries
    stored = sum(entry.size_bytes for entry in archive.entries.values())
    names = TensorNames(source.limits, stored)
    left_out, pairs = [], []
    for entry_name, entry in archive.entries.items():
        if not entry_name.endswith(_SUFFIX):
            raise refusal("ART-02.unknown_entry", "A .npz holds .npy files and nothing else.", entry_name)
        head = b""
        for piece in archive.chunks(entry_name):
            head += piece
            if len(head) >= _MAX_HEADER_BYTES:
                break
        header = read_header(head, entry.size_bytes, entry_name)
        name = entry_name.removesuffix(_SUFFIX)
        kind = BY_NUMPY.get(header.code)
        if kind is None:
            left_out.append(name)
            continue
        if not kind.code:
            pairs.append(name)
        names.add(name, _tensor(header, entry_name, entry.size_bytes))
    if not names.tensors:
        raise refusal("ART-02.tensors", "The archive holds no array of numbers.")
    findings = []
    if left_out:
        detail = f"Arrays of texts are left out of the canonical copy; {len(left_out):,}: {shown(left_out[:5], 400)}."
        findings.append(finding("ART-03.left_out", detail))
    if pairs:
        detail = f"Arrays of complex128 are written as pairs of real numbers; {len(pairs):,}: {shown(pairs[:5], 400)}."
        findings.append(finding("ART-03.rearranged", detail))
    return Weights(names.tensors, tuple(findings), "npz")


def read_header(head: bytes, size_bytes: int, place: str) -> ArrayHeader:
    """Read the header of an array of ``size_bytes`` bytes, which has to be header and values and nothing else.

    Raises:
        RefusalError: ``ART-02.tensors``, or ``ART-01.pickle`` for an array of objects.
    """
    version = head[6:8]
    if not head.startswith(_MAGIC) or version not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise refusal("ART-02.tensors", "The entry is no array of NumPy (format 1.0 to 3.0).", place)
    start = 10 if version == b"\x01\x00" else 12
    length = int.from_bytes(head[8:start], "little")
    raw = head[start : start + length]
    if len(raw) != length or length > _MAX_HEADER_BYTES - start:
        raise refusal("ART-02.tensors", f"The header of {length:,} bytes is cut off, or too long.", place)
    found = _HEADER.fullmatch(raw.decode("latin1"))
    if found is None:
        raise refusal("ART-02.tensors", f"The header is not what NumPy writes: {shown(raw)}.", place)
    order, code, fortran, sizes = found.groups()
    if code[0] == "O":
        raise refusal("ART-01.pickle", "The array holds objects, which are pickled.", place)
    if code not in BY_NUMPY and not _TEXT.fullmatch(code):
        detail = f"The values are of type {shown(order + code)}; plain numbers are taken (records and times are not)."
        raise refusal("ART-02.tensors", detail, place)
    shape = tuple(int(size) for size in sizes.replace(" ", "").split(",") if size)
    if len(shape) > _MAX_DIMENSIONS or (sizes and not sizes.rstrip().endswith(",") and len(shape) == 1):
        raise refusal("ART-02.tensors", f"The shape ({sizes}) is not one that NumPy writes.", place)
    header = ArrayHeader(code, order == ">", fortran == "True", shape, start + length)
    if header.data_offset + header.size_bytes != size_bytes:
        detail = f"Shape and dtype need {header.size_bytes:,} bytes; there are {size_bytes - header.data_offset:,}."
        raise refusal("ART-02.tensors", detail, place)
    return header


def _tensor(header: ArrayHeader, entry: str, size_bytes: int) -> StoredTensor:
    kind, shape = BY_NUMPY[header.code], header.shape
    strides = tuple(reversed(row_strides(tuple(reversed(shape))))) if header.is_fortran and len(shape) > 1 else None
    block = Block(size_bytes - header.data_offset, header.data_offset, entry)
    if kind.code:
        return StoredTensor(kind.name, shape, block, 0, strides, is_swapped=header.is_swapped)
    strides = None if strides is None else (*(2 * step for step in strides), 1)
    return StoredTensor(kind.real, (*shape, 2), block, 0, strides, is_swapped=header.is_swapped)
