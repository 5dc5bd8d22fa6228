"""An HDF5 file that says more than groups and arrays, or says something twice, is refused by name, path and byte."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from tests.workers.artifacts import hdf5_files
from tests.workers.artifacts.hdf5_files import refusal_of, tree_of, written
from workers.artifacts.limits import Limits


def external_link(file: Any) -> None:
    file["outside"] = h5py.ExternalLink("/etc/passwd", "/secret")


def soft_link(file: Any) -> None:
    file["alias"] = h5py.SoftLink("/layers")


def hard_link(file: Any) -> None:
    file["again"] = file["layers"]


def cycle(file: Any) -> None:
    file["layers/dense/back"] = file["layers"]


def external_storage(file: Any) -> None:
    file.create_dataset("outside", (4,), "float32", external=[("/etc/passwd", 0, 16)])


def virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "float32")
    layout[:] = h5py.VirtualSource("/etc/passwd", "secret", (4,))
    file.create_virtual_dataset("outside", layout)


def chunked(file: Any) -> None:
    file.create_dataset("chunks", data=np.zeros(100), chunks=(10,))


def filtered(file: Any) -> None:
    file.create_dataset("filtered", data=np.zeros(100), compression="gzip")


def growing(file: Any) -> None:
    file.create_dataset("growing", data=np.zeros(100), maxshape=(None,))


def references(file: Any) -> None:
    file.create_dataset("objects", (1,), h5py.ref_dtype)


def records(file: Any) -> None:
    file["records"] = np.zeros(3, "complex64")


def texts(file: Any) -> None:
    file.create_dataset("words", data=["text"], dtype=h5py.string_dtype())


def fixed_texts(file: Any) -> None:
    file["words"] = np.array([b"text"])


def big_endian(file: Any) -> None:
    file["numbers"] = np.zeros(3, ">f4")


def committed_type(file: Any) -> None:
    file["type"] = np.dtype("float32")


def shared_type(file: Any) -> None:
    file["type"] = np.dtype("float32")
    file.create_dataset("an_array", (3,), file["type"])


def no_shape(file: Any) -> None:
    file["null"] = h5py.Empty("float32")


def shape_bomb(file: Any) -> None:
    file.create_dataset("bomb", (10**6, 10**6), "float64")


def empty_bomb(file: Any) -> None:
    file.create_dataset("bomb", (0, 2**60), "float64")


def fill_value(file: Any) -> None:
    file.create_dataset("filled", data=np.zeros(3), fillvalue=7.0)


def reference_attribute(file: Any) -> None:
    file.attrs["object"] = file["layers"].ref


def names_beyond_ascii(file: Any) -> None:
    file["größe"] = np.zeros(3)


@pytest.mark.parametrize(
    ("add", "words", "place"),
    [
        (external_link, "links in the newer form: to other files", "/ "),
        (soft_link, "soft link", "/ "),
        (hard_link, "2 names lead to it", "/again "),
        (cycle, "2 names lead to it", "/layers "),
        (external_storage, "other files, in which the bytes of the array lie", "/outside "),
        (virtual, "virtual", "/outside "),
        (chunked, "in chunks", "/chunks "),
        (filtered, "filters", "/filtered "),
        (growing, "may grow", "/growing "),
        (references, "references to other objects", "/objects "),
        (records, "records of several fields", "/records "),
        (texts, "holds texts", "/words "),
        (fixed_texts, "holds texts", "/words "),
        (big_endian, "floating-point numbers of an unusual form", "/numbers "),
        (committed_type, "a type with a name of its own", "/type "),
        (shared_type, "shared", "/an_array "),
        (no_shape, "an array without a shape", "/null "),
        (shape_bomb, "needs 8,000,000,000,000 bytes; 0 are stored", "/bomb "),
        (empty_bomb, "need more than", "/bomb "),
        (fill_value, "a fill value in the older form", "/filled "),
        (reference_attribute, "references to other objects", "@object"),
        (names_beyond_ascii, "names that are not ASCII", "/ "),
    ],
)
def test_what_h5py_can_write_and_keras_does_not_is_refused(add: Callable[[Any], None], words: str, place: str) -> None:
    def fill(file: Any) -> None:
        hdf5_files.weights(file)
        add(file)

    finding = refusal_of(written(fill))
    assert words in finding.detail
    assert place in finding.place
    assert finding.severity == "high"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"libver": "latest"}, "default settings of h5py"),
        ({"userblock_size": 512}, "no user block before it"),
        ({"track_order": True}, "newer form"),
        ({"fs_strategy": "page", "fs_persist": True}, "default settings of h5py"),
    ],
)
def test_a_file_that_was_made_with_other_settings_is_refused(options: dict[str, Any], words: str) -> None:
    assert words in refusal_of(written(hdf5_files.weights, **options)).detail


def test_what_a_deleted_object_leaves_behind_is_refused() -> None:
    def fill(file: Any) -> None:
        file["secret"], file["kept"] = np.arange(100), np.arange(3)

    buffer = io.BytesIO(written(fill))
    with h5py.File(buffer, "a") as file:
        del file["secret"]
    assert "ave the file anew" in refusal_of(buffer.getvalue()).detail


BASE = written(hdf5_files.weights)
ROOT = 96  # the header of the root group lies behind the superblock
TREE, TABLE, HEAP = BASE.index(b"TREE"), BASE.index(b"SNOD"), BASE.index(b"HEAP")
TEXTS = BASE.index(b"GCOL")
ARRAY = BASE.index(np.arange(12, dtype="float32").tobytes())
LAYOUT = BASE.index(struct.pack("<BBQQ", 3, 1, ARRAY, 48))
SHAPE = BASE.index(struct.pack("<BBBBIQQQQ", 1, 2, 1, 0, 0, 3, 4, 3, 4))
TYPE = BASE.index(struct.pack("<BBBBI", 0x11, 0x20, 31, 0, 4))
FILL = BASE.index(struct.pack("<BBBBI", 2, 2, 2, 1, 0))
NAME = BASE.index(struct.pack("<BBHHH", 1, 0, 5, 20, 8) + b"name\0")
NAMES = struct.unpack_from("<Q", BASE, HEAP + 24)[0]


def word(offset: int, value: int, size: int = 8) -> Callable[[bytearray], None]:
    """Return a change that writes a number over the bytes at an offset."""

    def change(content: bytearray) -> None:
        content[offset : offset + size] = value.to_bytes(size, "little")

    return change


def insert(content: bytearray, extra: bytes) -> None:
    """Add bytes to the end and say so in the superblock."""
    content += extra
    content[40:48] = len(content).to_bytes(8, "little")


def move_array(content: bytearray) -> None:
    """Put the array over its own header."""
    content[LAYOUT + 2 : LAYOUT + 10] = TYPE.to_bytes(8, "little")


def text_twice(content: bytearray) -> None:
    """Give the attribute's text another number, so that the heap holds one that nothing leads to."""
    content[TEXTS + 16 : TEXTS + 18] = (2).to_bytes(2, "little")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (word(8, 1, 1), "The superblock has version 1"),
        (word(13, 4, 1), "versions and sizes"),
        (word(16, 8, 2), "for the nodes of groups"),
        (word(20, 1, 4), "the flags 0x1"),
        (word(24, 8), "behind a user block"),
        (word(32, 8), "free space"),
        (word(40, len(BASE) - 8), "states that the file ends at"),
        (word(48, 8), "a driver"),
        (word(64, 2**64 - 1), "leads to no object"),
        (word(72, 7, 4), "unknown kind 7"),
        (word(76, 1, 4), "unknown kind 1"),
        (word(80, TREE + 8), "elsewhere than the entry says"),
        (word(ROOT, 2, 1), "The object header has version 2"),
        (word(ROOT + 2, 7, 2), "The object header states 7 messages"),
        (word(ROOT + 4, 0, 4), "0 names lead to it"),
        (word(ROOT + 8, 2**31, 4), "at most 1 MiB"),
        (word(ROOT + 12, 1, 4), "The object header has version 1"),
        (word(ROOT + 18, 4096, 2), "does not fit its block"),
        (word(ROOT + 20, 2, 1), "A message is shared"),
        (word(ROOT + 20, 0x80, 1), "the flags 0x80"),
        (word(ROOT + 16, 0x0B, 2), "filters"),
        (word(ROOT + 16, 0x55, 2), "kind 0x55, which does not belong there"),
        (word(ROOT + 24, ROOT), "elsewhere than the entry says"),
        (word(TREE, 0, 1), "not in a tree of names"),
        (word(TREE + 4, 1, 1), "not in a tree of names"),
        (word(TREE + 5, 200, 1), "200 levels"),
        (word(TREE + 6, 60, 2), "not in a tree of names"),
        (word(TREE + 8, TREE), "between its neighbours"),
        (word(TREE + 24, 8), "between its neighbours"),
        (word(TREE + 32, TREE), "over bytes that are something else already"),
        (word(TREE + 40, 0), "does not end at the name that the tree states"),
        (word(TREE + 80, 1), "holds bytes without a meaning"),
        (word(TABLE, 0, 1), "does not lead to a table of names"),
        (word(TABLE + 4, 2, 1), "does not lead to a table of names"),
        (word(TABLE + 6, 9, 2), "does not lead to a table of names"),
        (word(TABLE + 6, 0, 2), "holds bytes without a meaning"),
        (word(TABLE + 8, 3), "does not end at the name"),
        (word(TABLE + 24, 2, 4), "soft link"),
        (word(TABLE + 24, 0, 4), "bytes without a meaning"),
        (word(TABLE + 100, 1, 1), "holds bytes without a meaning"),
        (word(HEAP + 4, 1, 1), "does not lead to a heap"),
        (word(HEAP + 8, 2**40), "the limit is"),
        (word(HEAP + 8, 2**24), "would end at byte"),
        (word(HEAP + 8, 4), "The heap of names has 4 bytes"),
        (word(HEAP + 16, 3), "not a plain list"),
        (word(HEAP + 24, ROOT), "over bytes that are something else already"),
        (word(NAMES, 1, 1), "does not begin with the empty name"),
        (word(NAMES + 8, ord("/"), 1), "is not plain"),
        (word(NAMES + 8, 0xFF, 1), "is not plain"),
        (word(NAMES + 8, 0, 1), "does not lie at its place"),
        (word(NAMES + 15, 1, 1), "does not lie at its place"),
        (word(NAMES + 24, 2**30), "does not fit the heap"),
        (word(NAMES + 40, 1), "not zero"),
        (word(TYPE + 4, 3, 4), "floating-point numbers of an unusual form"),
        (word(TYPE, 0x31, 1), "floating-point numbers of an unusual form"),
        (word(SHAPE, 3, 1), "The shape has version"),
        (word(SHAPE + 1, 33, 1), "33 dimensions"),
        (word(SHAPE + 2, 3, 1), "2 dimensions is not stored"),
        (word(SHAPE + 8, 2**40), "may grow"),
        (word(FILL, 1, 1), "fill value of its own"),
        (word(FILL + 4, 8, 4), "fill value of its own"),
        (word(LAYOUT, 4, 1), "layout of the array has version 4"),
        (word(LAYOUT + 1, 9, 1), "in an unknown way"),
        (word(LAYOUT + 2, 2**64 - 1), "0 are stored"),
        (word(LAYOUT + 2, 2**63), "would end at byte"),
        (word(LAYOUT + 10, 44), "44 are stored"),
        (word(LAYOUT + 18, 1, 1), "holds bytes without a meaning"),
        (move_array, "The array lies over bytes that are something else already"),
        (word(NAME, 3, 1), "An attribute has version 3"),
        (word(NAME + 2, 600, 2), "cut off"),
        (word(NAME + 8, 0, 1), "is not plain"),
        (word(NAME + 13, 1, 1), "holds bytes without a meaning"),
        (word(TEXTS + 4, 2, 1), "does not lead to a global heap"),
        (word(TEXTS + 8, 2**30), "more than"),
        (word(TEXTS + 8, 1024), "does not lead to a global heap"),
        (word(TEXTS + 16, 2, 2), "there that is not taken yet"),
        (word(TEXTS + 24, 4), "one text behind the other"),
        (word(TEXTS + 24, 2**20), "one text behind the other"),
        (word(TEXTS + 48, 1, 1), "free space of the global heap"),
        (text_twice, "that is not taken yet"),
        (lambda content: insert(content, b"PK\x03\x04"), "belong to no object are not zero"),
        (lambda content: content.extend(b"x"), "states that the file ends at"),
        (lambda content: content.__delitem__(slice(-1, None)), "states that the file ends at"),
        (lambda content: content.__delitem__(slice(50, None)), "has 50 bytes"),
    ],
)
def test_a_structure_that_is_changed_is_refused(change: Callable[[bytearray], None], words: str) -> None:
    content = bytearray(BASE)
    change(content)
    finding = refusal_of(bytes(content))
    assert words in finding.detail
    assert "/" in finding.place


def test_zero_bytes_that_belong_to_nothing_are_a_gap_that_hdf5_leaves() -> None:
    content = bytearray(BASE)
    insert(content, bytes(2000))
    assert len(tree_of(bytes(content)).members) == 6


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(entries=3), "more than 3 members"),
        (Limits(total_bytes=50), "more than 50 bytes"),
        (Limits(name_bytes=3), "longer than 3"),
        (Limits(json_depth=2), "nested deeper than 2"),
        (Limits(json_bytes=3000), "more than 3,000 bytes"),
        (Limits(json_bytes=50), "the limit is 50"),
    ],
)
def test_a_file_larger_than_a_limit_is_refused(limits: Limits, words: str) -> None:
    assert words in refusal_of(BASE, limits).detail


def test_a_list_of_free_space_without_an_end_is_refused() -> None:
    content = bytearray(BASE)
    free = struct.unpack_from("<Q", BASE, HEAP + 16)[0]
    word(NAMES + free, free)(content)
    assert "not a plain list" in refusal_of(bytes(content)).detail


def test_two_names_of_a_tree_that_are_not_in_order_are_refused(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file["aaa"], file["bbb"] = 1, 2

    content = written(fill)
    swapped = content.replace(b"aaa\0", b"ccc\0")
    assert "is not behind the one before it" in refusal_of(swapped).detail
    same = content.replace(b"aaa\0", b"bbb\0")
    assert "is not behind the one before it" in refusal_of(same).detail


def test_a_name_that_no_member_has_is_refused() -> None:
    content = BASE.replace(b"layers\0\0", b"layers\0x")
    assert "does not lie at its place" in refusal_of(content).detail
    table = bytearray(BASE)
    heap = BASE.index(b"dense\0\0\0") + 8
    table[heap : heap + 8] = b"hidden\0\0"
    assert refusal_of(bytes(table)).id == "ART-02.hdf5_structure"
