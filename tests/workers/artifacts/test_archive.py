"""The strict zip reader: one archive has one reading, or it is refused with the reason and the place."""

from __future__ import annotations

import io
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import outcome
from workers.artifacts.archive import Archive
from workers.artifacts.findings import RefusalError
from workers.artifacts.limits import Limits

CONTENT = {"first.json": b'{"a": 1}' * 10, "folder/second.bin": bytes(range(256)) * 8, "third": b""}


def make(*, method: int = zipfile.ZIP_STORED, entries: dict[str, bytes] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in (entries or CONTENT).items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def read(content: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    archive = Archive(io.BytesIO(content), limits)
    return {name: archive.read(name, 1 << 30) for name in archive.entries}


def refused(content: bytes, limits: Limits | None = None) -> tuple[str, str, str]:
    with pytest.raises(RefusalError) as caught:
        read(content, limits)
    finding = caught.value.finding
    return finding.id, finding.detail, finding.place


def patched(content: bytes, offset: int, piece: bytes) -> bytes:
    return content[:offset] + piece + content[offset + len(piece) :]


def central(content: bytes, index: int = 0) -> int:
    offset = -1
    for _ in range(index + 1):
        offset = content.index(b"PK\x01\x02", offset + 1)
    return offset


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_canonical_archive_is_read_whole(method: int) -> None:
    assert read(make(method=method)) == CONTENT


def test_content_of_several_chunks_is_read_whole() -> None:
    large = {
        "large": bytes(5 * 1024 * 1024 + 3),
        "random": b"".join(struct.pack("<I", n * 2654435761 % 2**32) for n in range(2**19)),
    }
    assert read(make(method=zipfile.ZIP_DEFLATED, entries=large)) == large


def test_the_archives_of_both_frameworks_are_canonical(keras_file: Path, pt2_file: Path) -> None:
    for path in (keras_file, pt2_file):
        with zipfile.ZipFile(path) as peer:
            assert read(path.read_bytes()) == {name: peer.read(name) for name in peer.namelist()}


def test_an_archive_written_as_a_stream_has_descriptors_and_is_read() -> None:
    class Unseekable(io.RawIOBase):
        def __init__(self) -> None:
            self.content = b""

        def writable(self) -> bool:
            return True

        def write(self, piece: bytes) -> int:  # type: ignore[override]
            self.content += bytes(piece)
            return len(piece)

    stream = Unseekable()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("entry", b"text " * 100)
    assert read(stream.content) == {"entry": b"text " * 100}


def test_every_truncation_is_named_or_refused() -> None:
    content = make()
    for length in range(len(content)):
        identifier, detail, place = refused(content[:length])
        assert identifier == "ART-02.truncated"
        assert f"{length:,} bytes" in detail
        assert place == f"byte {length:,}"


@pytest.mark.parametrize("extra", [b"\0", b"MZ and a program", b"PK\x03\x04"])
def test_data_behind_the_archive_is_refused(extra: bytes) -> None:
    content = make()
    identifier, detail, place = refused(content + extra)
    assert identifier == "ART-02.suffix_data"
    assert f"{len(extra):,} bytes" in detail
    assert place == f"byte {len(content):,}"


def test_a_comment_is_refused() -> None:
    buffer = io.BytesIO(make())
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.comment = b"anything"
    assert refused(buffer.getvalue())[0] == "ART-02.suffix_data"


def test_data_before_the_archive_is_refused_with_and_without_corrected_offsets() -> None:
    identifier, detail, _ = refused(b"#!/bin/sh\n" + make())
    assert identifier == "ART-02.archive"
    assert "10 bytes away" in detail
    buffer = io.BytesIO(b"#!/bin/sh\n")
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("entry", b"content")
    assert refused(buffer.getvalue())[::2] == ("ART-02.prefix_data", "entry")


def test_a_gap_between_entries_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("one", b"1")
        archive.fp.write(b"hidden")
        archive.start_dir = archive.fp.tell()
        archive.writestr("two", b"2")
    identifier, _, place = refused(buffer.getvalue())
    assert (identifier, place) == ("ART-02.archive", "two")


@pytest.mark.parametrize("second", ["entry", "ENTRY", "\uff45ntry"], ids=["same", "other case", "full-width letter"])
def test_a_name_that_stands_twice_is_refused(second: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("entry", b"1")
        info = zipfile.ZipInfo("other")
        info.filename = second
        if second == "entry":
            with pytest.warns(UserWarning, match="Duplicate name"):
                archive.writestr(info, b"2")
        else:
            archive.NameToInfo.pop(second, None)
            archive.writestr(info, b"2")
    assert refused(buffer.getvalue())[0] == "ART-02.duplicate_name"


@pytest.mark.parametrize(
    "name",
    [
        "../escape",
        "/absolute",
        "a/../../b",
        "a//b",
        "./a",
        "C:/windows",
        "back\\slash",
        "line\nbreak",
        "folder//",
        "../",
        "a/.",
    ],
)
def test_a_name_that_is_no_plain_relative_path_is_refused(name: str) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = name
        archive.writestr(info, b"")
    assert refused(buffer.getvalue())[0] == "ART-02.entry_name"


def test_a_packed_folder_is_read_with_its_folders_left_out(tmp_path: Path) -> None:
    for name, content in CONTENT.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_bytes(content)
    packed = Path(shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "root"))
    assert "folder/" in zipfile.ZipFile(packed).namelist()
    assert read(packed.read_bytes()) == CONTENT


def test_times_and_owners_that_zip_adds_are_taken_and_nothing_else_is() -> None:
    times = struct.pack("<2HBI", 0x5455, 5, 1, 1_700_000_000)
    owner = struct.pack("<2HBBIBI", 0x7875, 11, 1, 4, 1000, 4, 1000)
    for extra, is_taken in (
        (times + owner, True),
        (times + b"\x75\x70\x01\x00x", False),
        (times + times, False),
        (b"\x55\x54\x05\x00words", False),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            info = zipfile.ZipInfo("a")
            info.extra = extra
            archive.writestr(info, b"content")
        if is_taken:
            assert read(buffer.getvalue()) == {"a": b"content"}
        else:
            assert refused(buffer.getvalue())[0] == "ART-02.archive"


@pytest.mark.parametrize("names", [["a", "a/b"], ["a/b", "A"], ["a", "a/"], ["a/", "a"], ["a/", "a/"]])
def test_a_name_of_a_file_and_of_a_folder_is_refused(names: list[str]) -> None:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w") as archive:
        warnings.simplefilter("ignore", UserWarning)
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"")
    assert refused(buffer.getvalue())[0] == "ART-02.duplicate_name"


def test_a_folder_with_a_content_is_refused() -> None:
    assert refused(make(entries={"folder/": b"content", "a": b""}))[0] == "ART-02.archive"


@pytest.mark.parametrize("mode", [0o120777, 0o040755, 0o060600])
def test_links_devices_and_folders_without_a_slash_are_refused(mode: int) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("link")
        info.create_system = 3
        info.external_attr = mode << 16
        archive.writestr(info, b"/etc/passwd")
    assert refused(buffer.getvalue())[::2] == ("ART-02.link", "link")


def test_an_encryption_flag_in_the_directory_is_refused() -> None:
    content = make()
    offset = central(content) + 8
    assert refused(patched(content, offset, b"\x01\x00"))[::2] == ("ART-02.encrypted", "first.json")


@pytest.mark.parametrize(
    ("offset", "piece"),
    [
        (6, b"\x02\x00"),
        (8, b"\x08\x00"),
        (10, b"\x01\x00"),
        (14, b"\x01\x02\x03\x04"),
        (18, b"\x01\x00\x00\x00"),
        (30, b"F"),
    ],
    ids=["flags", "method", "time", "checksum", "size", "name"],
)
def test_a_local_header_that_differs_from_the_directory_is_refused(offset: int, piece: bytes) -> None:
    assert refused(patched(make(), offset, piece))[::2] == ("ART-02.header_mismatch", "first.json")


def test_a_wrong_checksum_in_both_headers_is_refused() -> None:
    content = make()
    wrong = struct.pack("<I", zlib.crc32(b"something else"))
    content = patched(patched(content, 14, wrong), central(content) + 16, wrong)
    assert refused(content)[::2] == ("ART-02.checksum", "first.json")


def test_a_local_extra_field_with_data_is_refused() -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("entry")
        info.extra = struct.pack("<2H", 0x7075, 6) + b"hidden"
        archive.writestr(info, b"1")
    assert refused(buffer.getvalue())[0] == "ART-02.archive"


def test_two_end_records_that_disagree_are_refused(pt2_file: Path) -> None:
    content = pt2_file.read_bytes()
    end = len(content) - 22
    assert content[end - 20 :].startswith(b"PK\x06\x07"), "torch writes a zip64 locator"
    fewer = struct.pack("<2H", 1, 1)
    assert refused(patched(content, end + 8, fewer))[0] == "ART-02.header_mismatch"


def test_a_bomb_is_refused_before_it_is_unpacked() -> None:
    bomb = make(method=zipfile.ZIP_DEFLATED, entries={"zeros": bytes(64 * 1024 * 1024)})
    assert len(bomb) < 100_000
    identifier, detail, _ = refused(bomb, Limits(total_bytes=32 * 1024 * 1024))
    assert identifier == "ART-02.too_large"
    assert "67,108,864" in detail


def test_a_bomb_that_lies_about_its_size_stops_at_the_stated_size() -> None:
    bomb = make(method=zipfile.ZIP_DEFLATED, entries={"zeros": bytes(64 * 1024 * 1024)})
    small = struct.pack("<I", 1000)
    bomb = patched(patched(bomb, 22, small), central(bomb) + 24, small)
    identifier, detail, place = refused(bomb)
    assert (identifier, place) == ("ART-02.too_large", "zeros")
    assert "1,000" in detail


def test_overlapping_entries_are_refused() -> None:
    content = make(entries={"one": b"1" * 50, "two": b"2" * 50})
    content = patched(content, central(content, 1) + 42, struct.pack("<I", 0))
    assert refused(content)[::2] == ("ART-02.archive", "one")


def test_too_many_entries_are_refused() -> None:
    many = make(entries={f"entry_{number}": b"" for number in range(101)})
    assert refused(many, Limits(entries=100))[0] == "ART-02.too_large"


def test_an_entry_larger_than_asked_for_is_refused() -> None:
    archive = Archive(io.BytesIO(make()))
    with pytest.raises(RefusalError) as caught:
        archive.read("first.json", 10)
    assert caught.value.finding.id == "ART-02.too_large"


@settings(max_examples=300, deadline=None)
@given(data=st.data(), method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_whatever_bytes_are_flipped_the_content_is_the_same_or_the_archive_is_refused(
    data: st.DataObject, method: int
) -> None:
    content = bytearray(make(method=method))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    found, finding = outcome(lambda: read(bytes(content)))
    if finding is None:
        # Only attributes that say nothing about names and content may differ (who made it, how it is dated).
        assert list(found.values()) == list(CONTENT.values())
        with zipfile.ZipFile(io.BytesIO(bytes(content))) as peer:
            assert found == {name: peer.read(name) for name in peer.namelist()}


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(content: bytes) -> None:
    assert refused(content)[0].startswith("ART-02.")


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_archives_with_pieces_cut_out_or_repeated_are_refused_or_read_like_a_peer_does(data: st.DataObject) -> None:
    content = make()
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    twice = data.draw(st.booleans())
    altered = content[:end] + content[start:] if twice else content[:start] + content[end:]
    found, finding = outcome(lambda: read(altered))
    assert found == CONTENT if finding is None else finding.id.startswith("ART-02.")
