"""Files that are something else than their name says."""

from __future__ import annotations

import contextlib
import gzip
import io
import sqlite3
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.corpus.case import Case, Unfit, Workshop
from tests.corpus.checkpoints import zip_entries
from tests.corpus.gadgets import bytecode, code, shell
from tests.corpus.graphs import protobuf_number
from tests.corpus.native import library
from tests.corpus.packers import rar, seven_zip
from tests.corpus.pickles import assemble, call, plain
from tests.corpus.windows import program
from tests.corpus.zips import zip_bytes

_SUFFIXES = (".pt", ".pth", ".keras", ".pt2", ".h5", ".safetensors", ".npz", ".bin", ".zip")
_RULES = (
    "ART-02.name_and_content",
    "ART-02.not_a_model",
    "ART-03.format",
    "ART-01.pickle",
    "ART-02.prefix_data",
    "ART-02.hdf5_structure",
    "ART-02.safetensors",
    "ART-02.tensors",
    "ART-02.pickle",
    "ART-02.truncated",
)


def _pickle(shop: Workshop) -> bytes:
    return assemble(call("os:system", shell(shop)), shop.rng, protocol=shop.rng.randint(2, 5))


def _title(shop: Workshop) -> str:
    return f"{shop.word()}/data.pkl"


def _tar(shop: Workshop) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        content = _pickle(shop)
        information = tarfile.TarInfo("data.pkl")
        information.size = len(content)
        archive.addfile(information, io.BytesIO(content))
    return buffer.getvalue()


def _picture(shop: Workshop) -> bytes:
    """Return a picture with a checkpoint behind it."""
    picture = b"\x89PNG\r\n\x1a\n" + shop.rng.randbytes(shop.rng.randint(100, 400))
    return picture + zip_bytes(zip_entries(plain(call("os:system", shell(shop))), shop.rng), offset=len(picture))


def _message(*named: tuple[int, bytes]) -> bytes:
    """Return a protobuf message of fields that are counted bytes."""
    return b"".join(bytes([key << 3 | 2]) + protobuf_number(len(content)) + content for key, content in named)


def onnx(shop: Workshop, place: str) -> bytes:
    """Return a model in ONNX' format, one of whose tensors lies in another file."""
    location = _message((1, b"location"), (2, place.encode()))
    tensor = _message((8, shop.word().encode()), (13, location))
    return b"\x08\x08" + _message((2, b"pytorch"), (7, _message((5, tensor))))


def _database(shop: Workshop) -> bytes:
    path = shop.folder / "tables"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {shop.word()} (secret TEXT)")
    return path.read_bytes()


#: name: what it is, its bytes, and what bites.
_KINDS: dict[str, tuple[str, Callable[[Workshop], bytes], str]] = {
    "7z": (
        "A pickle in a 7z archive, which picklescan does not unpack as installed.",
        lambda shop: seven_zip(_title(shop), _pickle(shop)),
        "7z.pickle",
    ),
    "rar": ("A pickle in a RAR archive.", lambda shop: rar(_title(shop), _pickle(shop)), "rar.pickle"),
    "gzip": ("A pickle in gzip.", lambda shop: gzip.compress(_pickle(shop)), "joblib"),
    "tar": ("A pickle in a tar archive.", _tar, "tar.pickle"),
    "elf": ("A compiled library.", lambda shop: library(shop.marker), "library"),
    "windows": ("A Windows program, which is a shell script, too.", lambda shop: program(shell(shop)), "shell"),
    "script": ("A shell script.", lambda shop: f"#!/bin/sh\n{shell(shop)}\n".encode(), "shell"),
    "python": ("Python source.", lambda shop: f"import os\nos.system({shell(shop)!r})\n".encode(), "python"),
    "bytecode": ("Compiled Python.", lambda shop: bytecode(code(shop)), "python"),
    "markup": ("A page with a script.", lambda shop: f"<html><script>{shop.word()}</script>".encode(), "markup"),
    "database": ("A database.", _database, "sqlite"),
    "image": ("A picture with something behind it.", _picture, "zip.directory"),
    "onnx": (
        "A model of a format that is not taken, one of whose tensors lies in a file of the host.",
        lambda shop: onnx(shop, str(shop.decoy)),
        "onnx",
    ),
    "gguf": (
        "Another one, whose first key is longer than any memory.",
        lambda shop: b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**62) + shop.rng.randbytes(80),
        "gguf",
    ),
    "tflite": (
        "A third one, whose answer is of 4 GiB.",
        lambda shop: (shop.samples / "large.tflite").read_bytes(),
        "tflite",
    ),
}


def _named(content: Callable[[Workshop], bytes]) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        path = shop.path(*_SUFFIXES)
        path.write_bytes(content(shop))
        return path

    return make


CASES: tuple[Case, ...] = tuple(
    Case(f"masquerade/{name}", says, _named(make), _RULES, "", bite) for name, (says, make, bite) in _KINDS.items()
)

#: No program takes it for anything.
UNFIT: tuple[Unfit, ...] = (
    Unfit("masquerade/noise", "Noise.", _named(lambda shop: b"\x01" + shop.rng.randbytes(300)), _RULES, ""),
)
