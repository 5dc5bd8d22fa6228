"""Readers of archives that trust names, sizes and order: each is a way in which tools are written."""

from __future__ import annotations

import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

from tests.corpus.case import DECOY
from tests.corpus.trusting.loader import Loader, touch

_LOCAL = struct.Struct("<4s5H3I2H")


def unpacked(path: Path) -> Path:
    """Unpack a zip or tar archive beside itself and return the folder."""
    folder = path.parent / "unpacked"
    folder.mkdir()
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    else:
        with tarfile.open(path) as members:
            members.extractall(folder, filter="fully_trusted")
    return folder


class _StandIn:
    """What stands for a class that this process does not have."""

    def __init__(self, *given: Any, **named: Any) -> None:
        self.state: Any = given, named

    def __setstate__(self, state: Any) -> None:
        self.state = state


class Unpickler(pickle.Unpickler):
    """Python's own, with empty storages and stand-ins: how tools look into checkpoints that they do not load."""

    def persistent_load(self, pid: Any) -> Any:
        return pid[1](pid[4])

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except ImportError:
            return _StandIn


def _extract_by_hand(path: Path) -> None:
    """Extract by hand, as many tools do: where a name leads out of the folder, so does the file."""
    inside = path.parent / "extracted" / "here"
    inside.mkdir(parents=True)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            target = inside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(archive.read(name))


def _extract_tar(path: Path) -> None:
    """Extract a tar archive as Python before 3.14 does, and read what came out of it."""
    inside = path.parent / "extracted" / "here"
    inside.mkdir(parents=True)
    with tarfile.open(path) as archive:
        archive.extractall(inside, filter="fully_trusted")
    if any(DECOY in file.read_bytes() for file in inside.rglob("*") if not file.is_dir()):
        touch(path)


def entries_by_directory(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read entries as ``zipfile`` finds them: from the directory at the end."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


def entries_by_stream(path: Path) -> Iterator[tuple[str, bytes]]:
    """Read entries as readers of streams find them: one local header after the other, and no directory."""
    content, begins = path.read_bytes(), 0
    while content.startswith(b"PK\3\4", begins):
        _, _, _, method, _, _, _, packed, _, name, extra = _LOCAL.unpack_from(content, begins)
        begins += _LOCAL.size
        title = content[begins : begins + name].decode()
        begins += name + extra
        raw = content[begins : begins + packed]
        yield title, zlib.decompress(raw, -zlib.MAX_WBITS) if method else raw
        begins += packed


def unpickle(entries: Iterator[tuple[str, bytes]]) -> None:
    """Unpickle what is called a pickle, whatever it holds."""
    for name, content in entries:
        if name.endswith(".pkl"):
            Unpickler(BytesIO(content)).load()


def _inflate_everything(path: Path) -> None:
    """Unpack each entry until its stream ends, whatever size it states, and keep it, as a scanner in memory does."""
    content, kept = path.read_bytes(), []
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            begins = (
                entry.header_offset + _LOCAL.size + sum(struct.unpack_from("<2H", content, entry.header_offset + 26))
            )
            raw = content[begins : begins + entry.compress_size]
            kept.append(zlib.decompress(raw, -zlib.MAX_WBITS) if entry.compress_type else raw)


def _make_room(path: Path) -> None:
    """Make room for each entry by the size that it states, as readers in C do."""
    with zipfile.ZipFile(path) as archive:
        room = [bytearray(entry.file_size) for entry in archive.infolist()]
        for entry, place in zip(archive.infolist(), room, strict=True):
            with archive.open(entry) as stream:
                stream.readinto(memoryview(place))  # type: ignore[attr-defined]


def _list_twice(path: Path) -> None:
    """Read the directory and keep it, beside a list of the names in small letters."""
    with zipfile.ZipFile(path) as archive:
        {entry.filename.casefold(): entry for entry in archive.infolist()}


LOADERS = {
    "zipfile": Loader(_extract_by_hand),
    "tarfile": Loader(_extract_tar),
    "zip.directory": Loader(lambda path: unpickle(entries_by_directory(path))),
    "zip.stream": Loader(lambda path: unpickle(entries_by_stream(path))),
    "zip.inflate": Loader(_inflate_everything, "exhausts"),
    "zip.room": Loader(_make_room, "exhausts"),
    "zip.list": Loader(_list_twice, "exhausts"),
}
