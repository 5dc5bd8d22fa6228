"""Object headers of version 1: a list of messages, which may go on in further blocks."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from workers.artifacts.hdf5.file_map import FileMap

NIL, DATASPACE, DATATYPE, FILL_VALUE, LAYOUT = 0x00, 0x01, 0x03, 0x05, 0x08
ATTRIBUTE, CONTINUATION, SYMBOL_TABLE, MODIFICATION_TIME = 0x0C, 0x10, 0x11, 0x12

#: Messages that are known and refused, by what they would do.
_REFUSED = {
    0x02: "links in the newer form: to other files, or under names that are not ASCII",
    0x04: "a fill value in the older form",
    0x06: "a soft, external or newer link",
    0x07: "a list of other files, in which the bytes of the array lie",
    0x0A: "links in the newer form",
    0x0B: "filters; a filter may load a plug-in",
    0x0D: "a comment",
    0x0E: "a time in the older form",
    0x0F: "a table of shared messages",
    0x13: "sizes of tree nodes",
    0x14: "a driver",
    0x15: "attributes in the newer form",
    0x16: "a count of references, so that it has more than one name",
}
_PREFIX = struct.Struct("<BBHIII")
_MESSAGE = struct.Struct("<HHB3s")
_BLOCK = struct.Struct("<QQ")
_MAX_HEADER_BYTES = 1024 * 1024
_CONSTANT, _SHARED, _COMMITTED = 0x01, 0x02, 0x04


@dataclass(frozen=True)
class Message:
    """One message of an object header; ``offset`` is the byte of the file at which its body begins."""

    kind: int
    body: bytes
    offset: int


def read_messages(file: FileMap, address: int, path: str) -> list[Message]:
    """Return the messages of the object header at an address; continuations are followed and empty ones left out.

    Raises:
        RefusalError: a message that is not taken, a wrong count, or a block that is not filled by its messages.
    """
    prefix = file.read(address, _PREFIX.size, "object header", path)
    version, reserved, count, references, size, padding = _PREFIX.unpack(prefix)
    if prefix.startswith(b"OHDR"):
        why = "The object header has the newer form; write the file with the default settings of h5py."
        raise file.refused(why, path, address)
    if version != 1 or reserved or padding:
        raise file.refused(f"The object header has version {version}; h5py writes version 1.", path, address)
    if references != 1:
        why = f"The object states that {references} names lead to it; each object has one."
        raise file.refused(why, path, address, "ART-02.hdf5")
    blocks = [(address + _PREFIX.size, size)]
    messages: list[Message] = []
    total = 0
    for offset, length in blocks:
        total += length
        if total > _MAX_HEADER_BYTES or length % 8 or length < 8:
            why = f"A block of the object header has {length:,} bytes, and all of them have at most 1 MiB."
            raise file.refused(why, path, offset)
        block = file.read(offset, length, "block of the object header", path)
        for message in _split(file, block, offset, path):
            messages.append(message)
            if message.kind == CONTINUATION:
                blocks.append(_BLOCK.unpack(message.body))
    if len(messages) != count:
        raise file.refused(f"The object header states {count} messages and has {len(messages)}.", path, address)
    return [message for message in messages if message.kind not in (NIL, CONTINUATION)]


def _split(file: FileMap, block: bytes, start: int, path: str) -> list[Message]:
    messages = []
    at = 0
    while at < len(block):
        kind, size, flags, reserved = _MESSAGE.unpack_from(block, at)
        at += _MESSAGE.size
        message = Message(kind, block[at : at + size], start + at)
        if len(message.body) != size or size % 8:
            raise file.refused(f"A message of {size} bytes does not fit its block.", path, message.offset)
        _check(file, message, flags, reserved, path)
        messages.append(message)
        at += size
        if len(block) - at < _MESSAGE.size and at != len(block):
            raise file.refused("Bytes are left behind the last message of a block.", path, start + at)
    return messages


def _check(file: FileMap, message: Message, flags: int, reserved: bytes, path: str) -> None:
    if flags & _SHARED:
        why = "A message is shared: what it says is stored elsewhere, like a committed type."
        raise file.refused(why, path, message.offset, "ART-02.hdf5")
    if flags & _COMMITTED:
        why = "The object is a type with a name of its own, which arrays may share."
        raise file.refused(why, path, message.offset, "ART-02.hdf5")
    if message.kind in _REFUSED:
        raise file.refused(f"The object has {_REFUSED[message.kind]}.", path, message.offset, "ART-02.hdf5")
    if flags & ~_CONSTANT or any(reserved):
        raise file.refused(f"A message has the flags {flags:#x}, which h5py does not write.", path, message.offset)
    if message.kind == NIL and any(message.body):
        raise file.refused("An empty message holds bytes that are not zero.", path, message.offset)
    if message.kind == CONTINUATION and len(message.body) != _BLOCK.size:
        raise file.refused("A continuation does not hold one address and one length.", path, message.offset)
