"""Zip archives that two readers understand differently, around a checkpoint that bites.

torch's reader (miniz) ignores checksums, compares names without case and looks for the end from behind; Python's
``zipfile`` does none of this. A scanner that uses one of them sees another file than the loader.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.corpus.case import Benign, Case, Workshop
from tests.corpus.checkpoints import tensor, zip_entries
from tests.corpus.gadgets import GADGETS
from tests.corpus.pickles import plain
from tests.corpus.zips import Entry, write_zip, zip_bytes

_SUFFIXES = (".pt", ".pth", ".bin")
_UNIX = 3


def _hostile(shop: Workshop) -> list[Entry]:
    gadget = GADGETS[shop.rng.choice(["system", "eval", "open", "subprocess", "attrgetter"])]
    return zip_entries(plain({shop.word(): gadget(shop)}), shop.rng)


def _harmless(shop: Workshop) -> list[Entry]:
    return zip_entries(plain({shop.word(): tensor()}), shop.rng)


def _with(change: Callable[[list[Entry], Workshop], Any], **options: Any) -> Callable[[Workshop], Path]:
    """Return a maker of a hostile checkpoint whose entries were changed in place."""

    def make(shop: Workshop) -> Path:
        entries = _hostile(shop)
        change(entries, shop)
        path = shop.path(*_SUFFIXES)
        path.write_bytes(zip_bytes(entries, **options))
        return path

    return make


def _around(change: Callable[[bytes, Workshop], bytes]) -> Callable[[Workshop], Path]:
    """Return a maker of a hostile checkpoint whose bytes were changed as a whole."""

    def make(shop: Workshop) -> Path:
        path = shop.path(*_SUFFIXES)
        path.write_bytes(change(zip_bytes(_hostile(shop)), shop))
        return path

    return make


def _wrong_checksum(entries: list[Entry], shop: Workshop) -> None:
    entries[0].checksum = zlib.crc32(entries[0].content) ^ shop.rng.randrange(1, 2**32)


def _local_checksum(entries: list[Entry], shop: Workshop) -> None:
    entries[0].local_checksum = zlib.crc32(entries[0].content) ^ shop.rng.randrange(1, 2**32)


def _encrypted_in_front(entries: list[Entry], shop: Workshop) -> None:
    entries[0].local_bits = shop.rng.choice([0x1, 0x41, 0x2001])


def _other_name_in_front(entries: list[Entry], shop: Workshop) -> None:
    # As long as the true one: miniz finds the content by the lengths that stand in front of it.
    entries[0].local_name = shop.word().ljust(len(entries[0].name), "x")[: len(entries[0].name)]


def _other_method_in_front(entries: list[Entry], shop: Workshop) -> None:
    entries[0].local_method = shop.rng.choice([8, 12, 14, 99])


def _other_case(entries: list[Entry], shop: Workshop) -> None:
    root = entries[0].name.rpartition("/")[0]
    entries[0].name = f"{root}/{shop.rng.choice(['DATA.PKL', 'Data.pkl', 'data.PKL'])}"


def _other_case_behind(entries: list[Entry], shop: Workshop) -> None:
    other = Entry(entries[0].name, plain({}))
    _other_case(entries, shop)
    # Which of several equal names is found hangs on miniz's sorting: most of them are hostile.
    entries[:0] = [other, replace(entries[0]), replace(entries[0])]


def _hidden_payload_twice(entries: list[Entry], shop: Workshop) -> None:
    other = Entry(entries[0].name, plain({shop.word(): tensor()}))
    entries[:0] = [other, replace(entries[0]), replace(entries[0])]


def _comment(entries: list[Entry], shop: Workshop) -> None:
    entries[0].comment = shop.word().encode()


def _extra_field(entries: list[Entry], shop: Workshop) -> None:
    content = shop.word().encode()
    entries[0].extra = struct.pack("<2H", shop.rng.choice([0x7075, 0x9901, 0x5455]), len(content)) + content


def _extra_in_front(entries: list[Entry], shop: Workshop) -> None:
    content = shop.word().encode()
    entries[0].local_extra = struct.pack("<2H", shop.rng.choice([0x7075, 0x9901]), len(content)) + content


def _link(entries: list[Entry], shop: Workshop) -> None:
    entries[0].made_by, entries[0].attributes = _UNIX, 0o120777 << 16


def _traversal(entries: list[Entry], shop: Workshop) -> None:
    root = entries[0].name.partition("/")[0]
    entries.append(Entry(f"{root}/../../../marker", b"x"))


def _absolute(entries: list[Entry], shop: Workshop) -> None:
    entries.append(Entry(str(shop.marker), b"x"))


def _backslash(entries: list[Entry], shop: Workshop) -> None:
    root = entries[0].name.partition("/")[0]
    entries.append(Entry(f"{root}/..\\..\\{shop.word()}", b"x"))


def _control_characters(entries: list[Entry], shop: Workshop) -> None:
    root = entries[0].name.partition("/")[0]
    entries.append(Entry(f"{root}/{shop.word()}\x1b[2K\r{shop.word()}", b"x"))


def _gap(entries: list[Entry], shop: Workshop) -> None:
    entries[1].before = b"hidden between two entries"


def _unlisted_entry(entries: list[Entry], shop: Workshop) -> None:
    entries.insert(1, Entry(shop.word(), b"in front of its place, and in no directory", hidden=True))


def _deflated(entries: list[Entry], shop: Workshop) -> None:
    entries[0].deflated = True


def _deflate_tail(entries: list[Entry], shop: Workshop) -> None:
    entries[0].deflated = True
    entries[0].stored = entries[0].raw + b"behind the end of the stream"


def _nested(entries: list[Entry], shop: Workshop) -> None:
    entries.append(Entry(entries[0].name.replace("data.pkl", shop.word() + ".zip"), zip_bytes(_hostile(shop))))


def _extra_file(entries: list[Entry], shop: Workshop) -> None:
    entries.append(Entry(entries[0].name.replace("data.pkl", f"{shop.word()}.py"), b"import os"))


def _nothing(entries: list[Entry], shop: Workshop) -> None:
    """The archive around the entries is what differs."""


def _behind(content: bytes, shop: Workshop) -> bytes:
    return content + shop.word().encode() * shop.rng.randint(1, 50)


def _in_front(content: bytes, shop: Workshop) -> bytes:
    # Another archive in front: the file begins like an archive, and its directory belongs to the second.
    return zip_bytes(_harmless(shop)) + content


def _two_directories(content: bytes, shop: Workshop) -> bytes:
    first = zip_bytes(_harmless(shop))
    return first + zip_bytes(_hostile(shop), offset=len(first))


def _count_lies(content: bytes, shop: Workshop) -> bytes:
    return content[:-22] + content[-22:-14] + struct.pack("<2H", 4, 5) + content[-10:]


def _several_disks(content: bytes, shop: Workshop) -> bytes:
    return content[:-18] + struct.pack("<2H", 1, 1) + content[-14:]


def _cut(content: bytes, shop: Workshop) -> bytes:
    return content[: -shop.rng.randint(1, 60)]


_ARCHIVE = ("ART-02.archive",)
_MISMATCH = ("ART-02.header_mismatch",)
_NAME = ("ART-02.entry_name",)

#: name: what it is, maker, rules, and what bites: torch, or a reader by the directory or by the stream of entries.
_TRICKS: dict[str, tuple[str, Callable[[Workshop], Path], tuple[str, ...], str]] = {
    "checksum": ("A wrong checksum, which torch ignores.", _with(_wrong_checksum), ("ART-02.checksum",), "torch"),
    "local_checksum": ("Two checksums that differ.", _with(_local_checksum), _MISMATCH, "torch"),
    "encrypted_in_front": ("One header says encrypted.", _with(_encrypted_in_front), _MISMATCH, "torch"),
    "name_in_front": ("Two names for one entry.", _with(_other_name_in_front), _MISMATCH, "torch"),
    "method_in_front": ("Two methods for one entry.", _with(_other_method_in_front), _MISMATCH, "torch"),
    "other_case": (
        "data.pkl in capital letters.",
        _with(_other_case),
        ("ART-02.unknown_entry", "ART-02.missing_entry", "ART-01.pickle", "ART-02.name_and_content"),
        "torch",
    ),
    "two_cases": (
        "Two entries that differ by case.",
        _with(_other_case_behind),
        ("ART-02.duplicate_name",),
        "torch",
    ),
    "twice": (
        "The name that is loaded stands twice.",
        _with(_hidden_payload_twice),
        ("ART-02.duplicate_name",),
        "torch",
    ),
    "entry_comment": ("An entry has a comment.", _with(_comment), _ARCHIVE, "torch"),
    "extra_field": ("An extra field of another name.", _with(_extra_field), _ARCHIVE, "torch"),
    "extra_in_front": ("An extra field in one header only.", _with(_extra_in_front), _ARCHIVE, "torch"),
    "link": ("The pickle is said to be a link.", _with(_link), ("ART-02.link",), "torch"),
    "traversal": ("A name leaves the folder.", _with(_traversal), _NAME, "zipfile"),
    "absolute": ("A name is absolute.", _with(_absolute), _NAME, "zipfile"),
    "backslash": ("A name with backslashes.", _with(_backslash), _NAME, "torch"),
    "control_characters": ("A name rewrites the line of a log.", _with(_control_characters), _NAME, "torch"),
    "gap": ("Data between two entries.", _with(_gap), _ARCHIVE, "torch"),
    "unlisted": ("An entry that no directory lists.", _with(_unlisted_entry), _ARCHIVE, "torch"),
    "directory_gap": ("Data in front of the directory.", _with(_nothing, gap=b"hidden"), _ARCHIVE, "torch"),
    "deflated": ("The pickle is deflated.", _with(_deflated), ("ART-01.pickle", "ART-02.archive"), "torch"),
    "deflate_tail": ("Data behind the deflated pickle.", _with(_deflate_tail), _ARCHIVE, "torch"),
    "nested": ("An archive in the archive.", _with(_nested), ("ART-02.unknown_entry", "ART-01.pickle"), "torch"),
    "extra_file": (
        "A file that torch did not write.",
        _with(_extra_file),
        ("ART-02.unknown_entry", "ART-01.pickle"),
        "torch",
    ),
    "comment": (
        "The archive has a comment.",
        _with(_nothing, comment=b"a comment"),
        ("ART-02.suffix_data",),
        "torch",
    ),
    "behind": ("Data behind the archive.", _around(_behind), ("ART-02.suffix_data",), "torch"),
    "in_front": ("A harmless archive in front.", _around(_in_front), _ARCHIVE, "zip.directory"),
    "two_directories": (
        "Two archives in one file.",
        _around(_two_directories),
        ("ART-02.prefix_data", "ART-02.archive"),
        "torch",
    ),
    "count_lies": ("The end record states two counts.", _around(_count_lies), _ARCHIVE, "zip.directory"),
    "disks": ("The archive is one of several disks.", _around(_several_disks), _ARCHIVE, "zip.directory"),
    "cut": ("The archive is cut off.", _around(_cut), ("ART-02.truncated",), "zip.stream"),
}

CASES: tuple[Case, ...] = tuple(
    Case(f"zip/{name}", says, make, rules, "state_dict", bite) for name, (says, make, rules, bite) in _TRICKS.items()
)


def _plain(shop: Workshop) -> Path:
    return write_zip(shop.path(*_SUFFIXES), _harmless(shop))


BENIGN = (Benign("zip/plain", "The same archive without a trick.", _plain, "state_dict"),)
