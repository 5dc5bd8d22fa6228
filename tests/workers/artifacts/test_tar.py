"""The strict tar reader: plain files in ustar headers, or a refusal with its reason and place."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.artifacts.crafting import outcome
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import open_source
from workers.artifacts.limits import Limits
from workers.artifacts.tar import TarArchive

CONTENT = {"model/saved_model.pb": b"graph" * 300, "model/variables/index": bytes(512), "model/empty": b""}
LONG = "folder/" * 15 + "file"


def make(
    entries: dict[str, bytes] | None = None,
    *,
    format: int = tarfile.USTAR_FORMAT,
    change: Callable[[tarfile.TarInfo], Any] = lambda _: None,
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as file:
        for name, content in (CONTENT if entries is None else entries).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            change(info)
            file.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def read(content: bytes, limits: Limits | None = None) -> dict[str, bytes]:
    archive = TarArchive(io.BytesIO(content), limits or Limits())
    assert all(content[archive.offset_of(name) :].startswith(archive.read(name, 1 << 30)) for name in archive.entries)
    return {name: archive.read(name, 1 << 30) for name in archive.entries}


def refused(content: bytes, limits: Limits | None = None) -> Finding:
    _, finding = outcome(lambda: read(content, limits))
    assert finding is not None
    return finding


def patched(content: bytes, offset: int, piece: bytes, *, mend: bool = True) -> bytes:
    """Write over a piece of the first header, and mend its checksum."""
    content = content[:offset] + piece + content[offset + len(piece) :]
    if not mend:
        return content
    total = sum(content[:148]) + 8 * 32 + sum(content[156:512])
    return content[:148] + f"{total:06o}\0 ".encode() + content[156:]


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT], ids=["ustar", "gnu"])
def test_plain_files_are_read_whole(format: int) -> None:
    assert read(make(format=format)) == CONTENT


def test_long_names_in_the_prefix_and_folders_are_read() -> None:
    assert read(make({LONG: b"1"})) == {LONG: b"1"}

    def folder(info: tarfile.TarInfo) -> None:
        info.type = tarfile.DIRTYPE if not info.size else tarfile.REGTYPE

    assert read(make({"model": b"", "model/a": b"1"}, change=folder)) == {"model/a": b"1"}


def test_content_of_several_pieces_is_read_whole() -> None:
    large = {"large": bytes(range(256)) * 10_000, "next": b"1"}
    assert read(make(large)) == large


def test_an_upload_that_is_a_tar_has_it_as_its_container() -> None:
    source = open_source(io.BytesIO(make()), Limits())
    assert set(source.entries.entries) == set(CONTENT)
    assert b"".join(source.entries.chunks("model/saved_model.pb")) == CONTENT["model/saved_model.pb"]


@pytest.mark.parametrize(
    ("kind", "identifier"),
    [
        (tarfile.SYMTYPE, "ART-02.link"),
        (tarfile.LNKTYPE, "ART-02.link"),
        (tarfile.CHRTYPE, "ART-02.archive"),
        (tarfile.FIFOTYPE, "ART-02.archive"),
        (tarfile.CONTTYPE, "ART-02.archive"),
        (tarfile.GNUTYPE_SPARSE, "ART-02.archive"),
        (tarfile.GNUTYPE_LONGNAME, "ART-02.archive"),
        (tarfile.XHDTYPE, "ART-02.archive"),
        (tarfile.XGLTYPE, "ART-02.archive"),
        (b"\0", "ART-02.archive"),
        (b"Z", "ART-02.archive"),
    ],
)
def test_anything_but_files_and_folders_is_refused(kind: bytes, identifier: str) -> None:
    assert refused(patched(make({"a": b"1"}), 156, kind)).id == identifier


def test_extensions_that_change_what_follows_are_refused() -> None:
    assert "GNU long name" in refused(make({"x" * 200: b"1"}, format=tarfile.GNU_FORMAT)).detail
    assert "pax header" in refused(make({"größe" * 30: b"1"}, format=tarfile.PAX_FORMAT)).detail

    def renamed(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"path": "../evil", "size": "9"}

    assert "pax header" in refused(make({"a": b"1"}, format=tarfile.PAX_FORMAT, change=renamed)).detail


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../b", "a//b", "./a", "C:/a", "a\\b", "a\nb", ""])
def test_a_name_that_is_no_plain_relative_path_is_refused(name: str) -> None:
    raw = name.encode().ljust(100, b"\0")
    assert refused(patched(make({"a": b"1"}), 0, raw)).id == "ART-02.entry_name"


@pytest.mark.parametrize("second", ["model/a", "MODEL/A", "model/ａ"])
def test_a_name_that_stands_twice_is_refused(second: str) -> None:
    content = make({"model/a": b"1"})[:1024] + make({second: b"2"})
    assert refused(content).id == "ART-02.duplicate_name"


@pytest.mark.parametrize(
    ("offset", "piece", "identifier"),
    [
        (148, b"0000000\0", "ART-02.checksum"),
        (0, b"b", "ART-02.checksum"),
        (100, b"\x80000000\0", "ART-02.archive"),
        (124, b"\x80\0\0\0\0\0\0\0\0\0\0\x01", "ART-02.archive"),
        (124, b"0000000000x\0", "ART-02.archive"),
        (124, b"-0000000001\0", "ART-02.archive"),
        (157, b"target", "ART-02.link"),
        (257, b"ustar\x0001", "ART-02.archive"),
        (500, b"hidden", "ART-02.archive"),
        (2, b"hidden", "ART-02.archive"),
        (513, b"hidden", "ART-02.archive"),
        (124, b"77777777777\0", "ART-02.truncated"),
    ],
)
def test_a_header_says_one_thing(offset: int, piece: bytes, identifier: str) -> None:
    mend = identifier != "ART-02.checksum"
    assert refused(patched(make({"a": b"1"}), offset, piece, mend=mend)).id == identifier


def test_the_end_is_blocks_of_zeros_and_nothing_follows() -> None:
    whole = make({"a": b"1"})
    assert len(whole) == 20 * 512
    assert read(whole[: 4 * 512]) == {"a": b"1"}
    assert refused(whole[: 3 * 512]).id == "ART-02.truncated"
    assert refused(whole[:1024]).id == "ART-02.truncated"
    assert refused(whole[:600]).id == "ART-02.truncated"
    assert refused(whole + b"x").id == "ART-02.suffix_data"
    assert refused(whole + make({"b": b"2"})).id == "ART-02.suffix_data"
    assert refused(whole + bytes(512 * 300)).id == "ART-02.suffix_data"
    assert refused(make({})).id == "ART-02.archive"


def test_limits_hold() -> None:
    for limits in (Limits(entries=2), Limits(total_bytes=1600), Limits(name_bytes=10)):
        assert refused(make(), limits).id in ("ART-02.too_large", "ART-02.entry_name")
    archive = TarArchive(io.BytesIO(make()), Limits())
    _, finding = outcome(lambda: archive.read("model/saved_model.pb", 10))
    assert finding is not None
    assert finding.id == "ART-02.too_large"


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_bytes_are_changed_python_reads_the_same_or_it_is_refused(data: st.DataObject) -> None:
    content = bytearray(make({"a": b"1" * 600, "b/c": b"2"})[: 9 * 512])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    found, finding = outcome(lambda: read(bytes(content)))
    if finding is None:
        with tarfile.open(fileobj=io.BytesIO(bytes(content))) as peer:
            theirs = {member.name: peer.extractfile(member).read() for member in peer if member.isfile()}  # type: ignore[union-attr]
        assert found == theirs
