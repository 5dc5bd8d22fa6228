"""Attributes: a few texts and numbers beside a group or an array."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

from workers.artifacts.findings import shown
from workers.artifacts.hdf5.datatypes import Datatype, bytes_of, read_datatype, read_shape
from workers.artifacts.hdf5.file_map import FileMap
from workers.artifacts.hdf5.global_heap import GlobalHeap
from workers.artifacts.hdf5.object_headers import Message

_HEAD = struct.Struct("<BBHHH")
_VARIABLE = struct.Struct("<IQI")


@dataclass(frozen=True)
class Attribute:
    """An attribute that was read to its end.

    Attributes:
        shape: in elements; empty for a single one.
        texts: the elements of an attribute of texts, in order; empty for one of numbers.
    """

    name: str
    datatype: Datatype
    shape: tuple[int, ...]
    texts: tuple[bytes, ...] = ()


def read_attribute(file: FileMap, heap: GlobalHeap, message: Message, path: str) -> Attribute:
    """Return an attribute with its texts.

    Raises:
        RefusalError: a newer version, a name that is not plain, a type that is not taken, or bytes left over.
    """
    body = _Body(file, message, path)
    version, reserved, name_size, type_size, space_size = _HEAD.unpack(body.take(_HEAD.size))
    if version != 1 or reserved:
        raise body.refused(f"An attribute has version {version}; h5py writes version 1.")
    name = _name(body, body.take_padded(name_size))
    place = f"{path}@{name}"
    datatype = read_datatype(file, body.take_padded(type_size), place, message.offset)
    shape = read_shape(file, body.take_padded(space_size), place, message.offset)
    content = body.take_padded(bytes_of(datatype, shape))
    body.demand_no_rest()
    count = math.prod(shape)
    if datatype.kind == "number":
        return Attribute(name, datatype, shape)
    elements = (content[index * datatype.size : (index + 1) * datatype.size] for index in range(count))
    if datatype.kind == "text":
        return Attribute(name, datatype, shape, tuple(_fixed_text(body, element) for element in elements))
    texts = []
    for element in elements:
        length, address, index = _VARIABLE.unpack(element)
        empty = not (length or address or index)
        text = b"" if empty else heap.take(address, index, length, place)
        if b"\0" in text:
            raise body.refused("A text of an attribute goes on behind its end.")
        texts.append(text)
    return Attribute(name, datatype, shape, tuple(texts))


class _Body:
    """The body of the message, taken from the front; each part is padded with zeros to a multiple of 8."""

    def __init__(self, file: FileMap, message: Message, path: str) -> None:
        self._file = file
        self._message = message
        self._path = path
        self._at = 0

    def take(self, size: int) -> bytes:
        part = self._message.body[self._at : self._at + size]
        if len(part) != size:
            raise self.refused(f"An attribute is cut off: {size:,} bytes are stated, {len(part):,} are there.")
        self._at += size
        return part

    def take_padded(self, size: int) -> bytes:
        part = self.take(size)
        if any(self.take(-size % 8)):
            raise self.refused("An attribute holds bytes without a meaning.")
        return part

    def demand_no_rest(self) -> None:
        if self._at != len(self._message.body):
            raise self.refused("An attribute holds more bytes than its type and shape say.")

    def refused(self, why: str) -> Exception:
        return self._file.refused(why, self._path, self._message.offset + self._at)


def _name(body: _Body, raw: bytes) -> str:
    try:
        name = raw[:-1].decode("utf-8")
    except UnicodeDecodeError:
        name = ""
    if raw[-1:] != b"\0" or not name.isprintable() or not name:
        raise body.refused(f"The name {shown(raw)} of an attribute is not plain.")
    return name


def _fixed_text(body: _Body, element: bytes) -> bytes:
    text = element.rstrip(b"\0")
    if b"\0" in text:
        raise body.refused("A text of an attribute goes on behind its end.")
    return text
