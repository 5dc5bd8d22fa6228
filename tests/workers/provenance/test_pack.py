"""Packs: the same files give the same bytes, and what is no canonical pack is not read."""

from __future__ import annotations

import io
import zipfile

import pytest

from tests.workers.provenance import evidence
from workers.provenance import pack as layout
from workers.provenance.pack import Pack, PackError


def zipped(names: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, value in names.items():
            archive.writestr(name, value)
    return content.getvalue()


def read(content: bytes) -> Pack:
    return Pack.read(io.BytesIO(content))


def test_the_same_files_give_the_same_bytes_whatever_their_order():
    files = evidence.pack().files
    turned = dict(reversed(list(files.items())))

    assert Pack(files).to_bytes() == Pack(turned).to_bytes()


def test_a_pack_comes_back_whole():
    assert read(evidence.pack().to_bytes()) == evidence.pack()


def test_a_pack_that_was_compressed_anew_is_the_same_pack():
    assert read(zipped(dict(evidence.pack().files), compression=zipfile.ZIP_DEFLATED)) == evidence.pack()


@pytest.mark.parametrize(
    "name",
    [
        "../report.json",
        "/report.json",
        "report.exe",
        "statements/a/b.json",
        "keys/short.pem",
        "REPORT.JSON",
        "statements/",
    ],
)
def test_a_name_that_no_pack_has_is_refused(name):
    with pytest.raises(PackError):
        read(zipped({name: b"x"}))


WHOLE = evidence.pack().to_bytes()


@pytest.mark.parametrize(
    "content",
    [b"", b"PK", WHOLE[:-1], WHOLE + b"x", b"x" + WHOLE, WHOLE[:2000] + b"\xff" + WHOLE[2001:]],
    ids=["empty", "no zip", "cut", "data behind", "data before", "a damaged byte"],
)
def test_what_is_no_canonical_zip_is_refused(content):
    with pytest.raises(PackError):
        read(content)


def test_a_bomb_is_refused_by_its_size(monkeypatch):
    monkeypatch.setattr(layout, "MAX_FILE_BYTES", 1000)

    with pytest.raises(PackError, match="the limit for it is 1,000"):
        read(zipped({"report.html": b"0" * 1001}, compression=zipfile.ZIP_DEFLATED))
