"""Changes files as an attacker would: bytes, the numbers of headers, and the structure inside archives.

Every choice comes from a random generator that is passed in: hypothesis shrinks what it finds, and a seed repeats it.
"""

from __future__ import annotations

import io
import json
import pickletools
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from tests.corpus.zips import Entry, zip_bytes

#: Numbers at which parsers go wrong.
_NUMBERS = (0, 1, 2, 7, 8, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)
_VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2**63, 10**30, 0.5),
    *("", "a", "__import__('os')", "../x", "\u0000"),
    *([], {}, [[]], {"a": {}}, [None]),
)
_MOST_CHANGES = 4
#: What zipfile raises of an archive that was damaged before.
_UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    NotImplementedError,
    RuntimeError,
    OSError,
    ValueError,
    EOFError,
    MemoryError,
)
_LONGEST_PIECE = 64


def mutate(content: bytes, rng: random.Random) -> bytes:
    """Return a changed copy of a file: mostly inside its structure where it has one, else byte by byte."""
    if content.startswith(b"PK\x03\x04") and rng.random() < 0.7:
        return _inside_archive(content, rng)
    return _bytes(content, rng)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, _MOST_CHANGES)):
        rng.choice(_ON_BYTES)(changed, rng)
    return bytes(changed)


def _place(changed: bytearray, rng: random.Random) -> int:
    return rng.randint(0, max(0, len(changed) - 1))


def _flip(changed: bytearray, rng: random.Random) -> None:
    if changed:
        changed[_place(changed, rng)] ^= 1 << rng.randint(0, 7)


def _put(changed: bytearray, rng: random.Random) -> None:
    if changed:
        changed[_place(changed, rng)] = rng.randint(0, 255)


def _number(changed: bytearray, rng: random.Random) -> None:
    """Write a number where a field of a header may be: aligned, in 1 to 8 bytes."""
    width = rng.choice((1, 2, 4, 8))
    place = _place(changed, rng) // width * width
    number = rng.choice(_NUMBERS) if rng.random() < 0.7 else len(changed) + rng.randint(-9, 9)
    changed[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")


def _cut(changed: bytearray, rng: random.Random) -> None:
    place = _place(changed, rng)
    del changed[place : place + rng.randint(1, _LONGEST_PIECE)]


def _repeat(changed: bytearray, rng: random.Random) -> None:
    place = _place(changed, rng)
    piece = changed[place : place + rng.randint(1, _LONGEST_PIECE)]
    changed[place:place] = piece * rng.randint(1, 8)


def _move(changed: bytearray, rng: random.Random) -> None:
    length = rng.randint(1, _LONGEST_PIECE)
    source, target = _place(changed, rng), _place(changed, rng)
    changed[target : target + length] = changed[source : source + length]


def _truncate(changed: bytearray, rng: random.Random) -> None:
    del changed[_place(changed, rng) :]


_ON_BYTES: Sequence[Callable[[bytearray, random.Random], None]] = (
    _flip,
    _put,
    _number,
    _number,
    _cut,
    _repeat,
    _move,
    _truncate,
)


def _inside_archive(content: bytes, rng: random.Random) -> bytes:
    """Change one entry and write an archive that is canonical again, so that what reads the entry sees it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
    except _UNREADABLE:
        return _bytes(content, rng)
    if not entries:
        return _bytes(content, rng)
    name = rng.choice(list(entries))
    way = rng.random()
    if way < 0.05:
        del entries[name]
    elif way < 0.1:
        entries[f"{name}{rng.choice(['x', '/x', '.so', '0'])}"] = entries[name]
    else:
        entries[name] = _entry(entries[name], rng)
    return zip_bytes([Entry(name, piece) for name, piece in entries.items()])


def _entry(content: bytes, rng: random.Random) -> bytes:
    if content[:1] == b"{" and rng.random() < 0.8:
        return _json(content, rng)
    if content[:1] == b"\x80" and rng.random() < 0.8:
        return _pickle(content, rng)
    return _bytes(content, rng)


def _json(content: bytes, rng: random.Random) -> bytes:
    """Replace, remove or repeat one value of a document."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return _bytes(content, rng)
    places: list[tuple[Any, Any]] = []
    level = [document]
    while level:
        item = level.pop()
        keys = list(item) if isinstance(item, dict) else list(range(len(item)))
        places.extend((item, key) for key in keys)
        level.extend(item[key] for key in keys if isinstance(item[key], dict | list))
    if not places:
        return _bytes(content, rng)
    parent, key = rng.choice(places)
    way = rng.random()
    if way < 0.6:
        parent[key] = rng.choice(_VALUES)
    elif way < 0.8:
        other, place = rng.choice(places)
        parent[key] = json.loads(json.dumps(other[place] if place in other or isinstance(other, list) else None))
    elif isinstance(parent, dict):
        del parent[key]
    else:
        parent.append(parent[key])
    return json.dumps(document).encode()


def _pickle(content: bytes, rng: random.Random) -> bytes:
    """Remove, repeat, swap or spoil opcodes of a stream."""
    places = []
    try:
        places.extend(position for _, _, position in pickletools.genops(content) if position is not None)
    except Exception:  # noqa: BLE001 - what is read until then is enough
        if len(places) < 3:
            return _bytes(content, rng)
    pieces = [content[a:b] for a, b in zip(places, [*places[1:], len(content)], strict=True)]
    first, second = rng.randrange(len(pieces)), rng.randrange(len(pieces))
    way = rng.choice(("remove", "repeat", "swap", "spoil"))
    if way == "remove":
        del pieces[first]
    elif way == "repeat":
        pieces[first:first] = [pieces[second]] * rng.randint(1, 5)
    elif way == "swap":
        pieces[first], pieces[second] = pieces[second], pieces[first]
    else:
        pieces[first] = _bytes(pieces[first], rng)
    return b"".join(pieces)
