"""A program for Windows that a shell of any other system runs as a script.

Source: Microsoft's PE format; the form in which Cosmopolitan builds its "actually portable" programs.
"""

from __future__ import annotations

import struct

_ALIGNED, _PAGE = 0x200, 0x1000
_PLACE_OF_HEADER, _HEADER = 0x3C, 0x40
_X86_64, _CONSOLE, _RUNS, _CODE = 0x8664, 3, 0x22, 0x60000020
_DIRECTORIES = 16


def program(command: str) -> bytes:
    """Return a console program that ends at once on Windows, and whose bytes are a script that runs ``command``.

    Its first bytes open a quoted text in which the headers lie, and which the script ends before the command: an empty
    assignment for a shell.
    """
    script = b"'\n" + command.encode() + b"\nexit\n"
    section_table = _HEADER + 24 + 112 + 8 * _DIRECTORIES
    headers = -(-(section_table + 40 + len(script)) // _ALIGNED) * _ALIGNED
    stub = b"MZqFpD='\n".ljust(_PLACE_OF_HEADER, b"\0") + struct.pack("<I", _HEADER)
    file = struct.pack("<4s2H3I2H", b"PE\0\0", _X86_64, 1, 0, 0, 0, section_table - _HEADER - 24, _RUNS)
    optional = struct.pack(
        "<H2B5IQ2I6H4I2H4Q2I",
        *(0x20B, 0, 0, _ALIGNED, 0, 0, _PAGE, _PAGE),
        *(0x1_4000_0000, _PAGE, _ALIGNED, 6, 0, 0, 0, 6, 0),
        *(0, 2 * _PAGE, headers, 0, _CONSOLE, 0),
        *(2**20, _PAGE, 2**20, _PAGE, 0, _DIRECTORIES),
    )
    section = struct.pack("<8s6I2HI", b".text", 3, _PAGE, _ALIGNED, headers, 0, 0, 0, 0, _CODE)
    quoted = stub + file + optional.ljust(112 + 8 * _DIRECTORIES, b"\0") + section
    assert b"'" not in quoted[len(b"MZqFpD='") :]
    # xor eax, eax; ret
    return (quoted + script).ljust(headers, b"\n") + b"\x31\xc0\xc3".ljust(_ALIGNED, b"\0")
