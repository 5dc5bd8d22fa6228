"""Reads and writes protobuf so that one message has one encoding: what two readers could read differently is refused.

A field that is unknown, a singular field or a map key that stands twice, two fields of one oneof, numbers that are
longer than they need to be or stand in pieces, text that is no UTF-8 and a length that reaches beside its message are
refused.
The order of fields is free, as it changes no value, and lost: what is written has them in the order of their numbers.

Source: protobuf.dev, "Encoding" (2026).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.saved_model.messages import FIXED_64, LENGTH, MESSAGES, VARINT, WIRE_TYPES, Field

#: A message that was read: field name -> value. Repeated fields are lists, maps dictionaries, many numbers ``Packed``.
Message = dict[str, Any]

#: What protobuf's own readers take.
_MAX_DEPTH = 100
_MAX_PACKED_BYTES = 8 * 1024**2
#: Fields of one file: an empty message has two bytes in it and a hundred times that in memory.
_MAX_FIELDS = 4_000_000
_FIXED = {"fixed64": "<u8", "double": "<f8", "fixed32": "<u4", "float": "<f4"}
_RANGES = {"int32": (-(2**31), 2**31), "enum": (-(2**31), 2**31), "uint32": (0, 2**32), "bool": (0, 2)}


@dataclass(frozen=True, slots=True)
class Packed:
    """Numbers that stand in one piece: as bytes, to be written again, and as an array."""

    raw: memoryview
    values: NDArray[Any]


def parse(content: bytes, name: str, place: str) -> Message:
    """Return a whole message, of which every byte was read.

    Raises:
        RefusalError: it does not follow its schema, or could be read in two ways.
    """
    return _Parser(content, place).message(name, 0, len(content), 0)


def encode(name: str, message: Message) -> bytes:
    """Return a message in its one encoding: fields by number, maps by key."""
    parts: list[bytes | memoryview] = []
    _append(parts, name, message)
    return b"".join(parts)


def read_varint(content: bytes | memoryview, position: int, end: int) -> tuple[int, int]:
    """Return an unsigned number of up to 64 bits and the position behind it.

    Raises:
        ValueError: it is cut off, too large, or longer than it needs to be.
    """
    value = shift = 0
    while True:
        if position >= end:
            raise ValueError("a number is cut off")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 10 bytes")
    if value >= 2**64 or (shift and not byte):
        raise ValueError("a number is larger than 64 bits or longer than it needs to be")
    return value, position


def write_varint(value: int) -> bytes:
    """Return the one encoding of an unsigned number."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _Parser:
    def __init__(self, content: bytes, place: str) -> None:
        self._content = content
        self._view = memoryview(content)
        self._place = place
        self._fields_left = _MAX_FIELDS

    def message(self, name: str, position: int, end: int, depth: int) -> Message:
        if depth > _MAX_DEPTH:
            raise self._refusal(f"Messages are nested deeper than {_MAX_DEPTH}.", name, position)
        fields = MESSAGES[name]
        found: Message = {}
        chosen: tuple[str, ...] = ()
        while position < end:
            start = position
            tag, position = self._varint(name, position, end)
            field = fields.get(tag >> 3)
            if field is None or tag & 7 != field.wire or field.kind == "refused":
                raise self._wrong_field(name, tag, field, start)
            if field.choice:
                if field.choice in chosen:
                    raise self._refusal(f"Two fields of the choice {field.choice!r} are set.", name, start)
                chosen += (field.choice,)
            if field.wire == LENGTH:
                length, position = self._varint(name, position, end)
                if length > end - position:
                    raise self._refusal(f"The field {field.name!r} reaches beside its message.", name, start)
                value = self._piece(field, position, position + length, depth)
                position += length
            else:
                value, position = self._number(field, name, position, end)
            self._store(found, field, value, name, start)
            self._fields_left -= 1
            if self._fields_left < 0:
                detail = f"The messages have more than {_MAX_FIELDS:,} fields."
                raise refusal("ART-02.too_large", detail, f"{self._place}: byte {start:,}")
        return found

    def _store(self, found: Message, field: Field, value: Any, name: str, start: int) -> None:
        if field.kind == "map":
            entries = found.setdefault(field.name, {})
            key, content = value
            if key in entries:
                raise self._refusal(f"The key {shown(key)} of {field.name!r} stands twice.", name, start)
            entries[key] = content
        elif field.repeated and not field.packed:
            found.setdefault(field.name, []).append(value)
        elif field.name in found:
            raise self._refusal(f"The field {field.name!r} stands twice.", name, start)
        else:
            found[field.name] = value

    def _piece(self, field: Field, start: int, end: int, depth: int) -> Any:
        """Return what stands in a piece of a stated length."""
        if field.kind == "message":
            return self.message(field.message, start, end, depth + 1)
        if field.kind == "map":
            return self._entry(field, start, end, depth + 1)
        if field.packed:
            return self._packed(field, start, end)
        if field.kind == "string":
            return self._text(field.name, start, end)
        return self._view[start:end]

    def _entry(self, field: Field, position: int, end: int, depth: int) -> tuple[Any, Any]:
        """Return key and value of an entry of a map: each there once, the key first."""
        found: list[Any] = []
        for number, kind in ((1, field.key), (2, field.message)):
            wire = WIRE_TYPES.get(kind, LENGTH)
            start = position
            tag, position = self._varint(field.name, position, end)
            if tag != number << 3 | wire:
                raise self._refusal("An entry of a map is a key and a value, each once.", field.name, start)
            if wire != LENGTH:
                value, position = self._number(
                    Field(number, field.name, kind, "", "", False, False, wire, ""), field.name, position, end
                )
            else:
                length, position = self._varint(field.name, position, end)
                if length > end - position:
                    raise self._refusal("An entry of a map reaches beside its message.", field.name, start)
                if kind == "string":
                    value = self._text(field.name, position, position + length)
                else:
                    value = self.message(kind, position, position + length, depth)
                position += length
            found.append(value)
        if position != end:
            raise self._refusal("An entry of a map is a key and a value, each once.", field.name, position)
        return found[0], found[1]

    def _text(self, name: str, start: int, end: int) -> str:
        try:
            return self._content[start:end].decode("utf-8")
        except UnicodeDecodeError:
            raise self._refusal("A text is not UTF-8.", name, start) from None

    def _number(self, field: Field, name: str, position: int, end: int) -> tuple[Any, int]:
        if field.wire == VARINT:
            start = position
            value, position = self._varint(name, position, end)
            return self._whole(field, value, start), position
        width = 8 if field.wire == FIXED_64 else 4
        if width > end - position:
            raise self._refusal(f"The field {field.name!r} is cut off.", name, position)
        # Kept as bytes, so that not even the payload of a NaN changes.
        return self._view[position : position + width], position + width

    def _whole(self, field: Field, value: int, start: int) -> int:
        if field.kind == "sint64":
            return value >> 1 ^ -(value & 1)
        if field.kind != "uint64" and field.kind != "uint32" and value >= 2**63:
            value -= 2**64
        low, high = _RANGES.get(field.kind, (-(2**63), 2**64))
        if not low <= value < high:
            raise self._refusal(f"{value} is no {field.kind}.", field.name, start)
        return value

    def _packed(self, field: Field, start: int, end: int) -> Packed:
        raw = self._view[start:end]
        if not raw:
            raise self._refusal(f"The field {field.name!r} holds no number.", field.name, start)
        if field.kind in _FIXED:
            dtype = np.dtype(_FIXED[field.kind])
            if len(raw) % dtype.itemsize:
                raise self._refusal(f"The last number of {field.name!r} is cut off.", field.name, start)
            return Packed(raw, np.frombuffer(raw, dtype))
        if len(raw) > _MAX_PACKED_BYTES:
            detail = f"The numbers of {field.name!r} take {len(raw):,} bytes; the limit is {_MAX_PACKED_BYTES:,}."
            raise refusal("ART-02.too_large", detail, f"{self._place}: byte {start:,}")
        values = _varints(raw)
        low, high = _RANGES.get(field.kind, (-(2**63), 2**63))
        signed = values.view("<i8")
        if values.size == 0 or (field.kind != "uint64" and not ((signed >= low) & (signed < high)).all()):
            raise self._refusal(
                f"A number of {field.name!r} is no {field.kind} in its shortest form.", field.name, start
            )
        return Packed(raw, values if field.kind == "uint64" else signed)

    def _varint(self, name: str, position: int, end: int) -> tuple[int, int]:
        if position < end and self._content[position] < 0x80:
            return self._content[position], position + 1
        try:
            return read_varint(self._content, position, end)
        except ValueError as error:
            raise self._refusal(f"In the encoding {error}.", name, position) from None

    def _wrong_field(self, name: str, tag: int, field: Field | None, start: int) -> RefusalError:
        if field is None:
            return self._refusal(f"The message has no field {tag >> 3}.", name, start)
        if field.kind == "refused":
            detail = f"The field {field.name!r} holds an object that only code can rebuild."
            return refusal("ART-01.custom_object", detail, f"{self._place}: {name}, byte {start:,}")
        return self._refusal(f"The field {field.name!r} has the wire type {tag & 7}; it is {field.wire}.", name, start)

    def _refusal(self, detail: str, name: str, position: int) -> RefusalError:
        return refusal("ART-02.protobuf", detail, f"{self._place}: {name}, byte {position:,}")


def _varints(raw: memoryview) -> NDArray[np.uint64]:
    """Return packed numbers; none, where one is cut off, too large, or longer than it needs to be."""
    nothing = np.zeros(0, np.uint64)
    content = np.frombuffer(raw, np.uint8)
    ends = np.flatnonzero(content < 0x80)
    if not ends.size or ends[-1] != len(content) - 1:
        return nothing
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts + 1
    last = content[ends]
    if lengths.max() > 10 or ((lengths > 1) & (last == 0)).any() or ((lengths == 10) & (last > 1)).any():
        return nothing
    values = np.zeros(len(ends), np.uint64)
    for index in range(int(lengths.max())):
        longer = lengths > index
        values[longer] |= (content[starts[longer] + index] & 0x7F).astype(np.uint64) << np.uint64(7 * index)
    return values


def _append(parts: list[bytes | memoryview], name: str, message: Message) -> int:
    """Append the encoding of a message and return its length."""
    size = 0
    for number, field in sorted(MESSAGES[name].items()):
        if field.name not in message:
            continue
        value = message[field.name]
        if field.kind == "map":
            for key in sorted(value):
                size += _append_entry(parts, field, key, value[key])
        elif field.packed:
            size += _append_piece(parts, number, [value.raw])
        else:
            for item in value if field.repeated else [value]:
                size += _append_value(parts, number, field.kind, field.message, item)
    return size


def _append_value(parts: list[bytes | memoryview], number: int, kind: str, message: str, value: Any) -> int:
    if kind == "message":
        inner: list[bytes | memoryview] = []
        _append(inner, message, value)
        return _append_piece(parts, number, inner)
    wire = WIRE_TYPES[kind]
    if wire == LENGTH:
        return _append_piece(parts, number, [value.encode() if kind == "string" else value])
    tag = write_varint(number << 3 | wire)
    if wire == VARINT:
        value = write_varint(_unsigned(kind, value))
    parts += (tag, value)
    return len(tag) + len(value)


def _unsigned(kind: str, value: int) -> int:
    if kind == "sint64":
        return value << 1 if value >= 0 else (-value << 1) - 1
    return value % 2**64


def _append_entry(parts: list[bytes | memoryview], field: Field, key: Any, value: Any) -> int:
    inner: list[bytes | memoryview] = []
    _append_value(inner, 1, field.key, "", key)
    scalar = field.message in WIRE_TYPES
    _append_value(inner, 2, field.message if scalar else "message", field.message, value)
    return _append_piece(parts, field.number, inner)


def _append_piece(parts: list[bytes | memoryview], number: int, content: Iterable[bytes | memoryview]) -> int:
    pieces = list(content)
    length = sum(map(len, pieces))
    head = write_varint(number << 3 | LENGTH) + write_varint(length)
    parts.append(head)
    parts.extend(pieces)
    return len(head) + length
