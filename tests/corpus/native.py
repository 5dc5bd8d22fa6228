"""The smallest compiled library that does something when it is loaded: it makes a file.

Source: the System V ABI's ELF-64 object format; the system calls of Linux on x86-64 and on 64-bit ARM.
"""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable
from pathlib import Path

_ALIGNED = 0x1000
_HEADERS = 64 + 3 * 56
_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_HASH, _STRTAB, _SYMTAB, _STRSZ, _SYMENT, _INIT = 4, 5, 6, 10, 11, 12
_CREATE_TO_WRITE, _MODE = 0x41, 0o600


def _x86(distance: int) -> bytes:
    """Return open, close and return; ``distance`` is the path's place behind the first instruction."""
    return (
        b"\x48\x8d\x3d" + struct.pack("<i", distance - 7)  # lea rdi, path
        + b"\xb8\2\0\0\0\xbe" + struct.pack("<I", _CREATE_TO_WRITE)  # mov eax, open; mov esi, flags
        + b"\xba" + struct.pack("<I", _MODE) + b"\x0f\x05"  # mov edx, mode; syscall
        + b"\x89\xc7\xb8\3\0\0\0\x0f\x05\xc3"  # mov edi, eax; mov eax, close; syscall; ret
    )  # fmt: skip


def _arm(distance: int) -> bytes:
    """Return the same for 64-bit ARM, where every instruction is four bytes."""
    address = 0x10000001 | (distance & 3) << 29 | (distance >> 2) << 5  # adr x1, path
    call, back = 0xD4000001, 0xD65F03C0
    set_0, set_2, set_3, set_8 = 0x92800000, 0xD2800002, 0xD2800003, 0xD2800008
    opened = [set_0 | 99 << 5, set_2 | _CREATE_TO_WRITE << 5, set_3 | _MODE << 5, set_8 | 56 << 5, call]
    return struct.pack("<9I", address, *opened, set_8 | 57 << 5, call, back)


_MACHINES: dict[str, tuple[int, Callable[[int], bytes]]] = {"x86_64": (62, _x86), "aarch64": (183, _arm)}


def library(marker: Path) -> bytes:
    """Return a shared library of this machine whose initialisation makes the marker."""
    machine, code = _MACHINES[platform.machine()]
    length = len(code(0))
    tables = _HEADERS + 7 * 16
    # One empty symbol, one empty hash table of it, and one empty name.
    symbols, hashes, names = tables, tables + 24, tables + 44
    begins = names + 4
    path = begins + length
    stated = {_HASH: hashes, _STRTAB: names, _SYMTAB: symbols, _STRSZ: 1, _SYMENT: 24, _INIT: begins, 0: 0}
    dynamic = b"".join(struct.pack("<2Q", key, value) for key, value in stated.items())
    body = dynamic + bytes(24) + struct.pack("<5I", 1, 1, 0, 0, 0) + bytes(4) + code(length) + bytes(marker) + b"\0"
    size = _HEADERS + len(body)
    identity = b"\x7fELF\2\1\1" + bytes(9)
    head = identity + struct.pack("<2HI3QI6H", 3, machine, 1, 0, 64, 0, 0, 64, 56, 3, 64, 0, 0)
    assert path + len(bytes(marker)) + 1 == size
    segments = [
        (_LOAD, 7, 0, size, _ALIGNED),
        (_DYNAMIC, 6, _HEADERS, len(dynamic), 8),
        (_STACK, 6, 0, 0, 16),
    ]
    listed = [
        struct.pack("<2I6Q", kind, flags, place, place, place, extent, extent, aligned)
        for kind, flags, place, extent, aligned in segments
    ]
    return head + b"".join(listed) + body
