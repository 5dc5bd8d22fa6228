"""Files that are something else than their name says."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.corpus.case import Case, Workshop
from tests.corpus.gadgets import shell
from tests.corpus.pickles import assemble, call

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


def _begins(head: bytes) -> Callable[[Workshop], bytes]:
    return lambda shop: head + shop.rng.randbytes(shop.rng.randint(100, 400))


def _pickle(shop: Workshop) -> bytes:
    return assemble(call("os:system", shell(shop)), shop.rng, protocol=shop.rng.randint(2, 5))


def _tar(shop: Workshop) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        content = _pickle(shop)
        information = tarfile.TarInfo("data.pkl")
        information.size = len(content)
        archive.addfile(information, io.BytesIO(content))
    return buffer.getvalue()


_KINDS: dict[str, tuple[str, Callable[[Workshop], bytes]]] = {
    "7z": ("A 7z archive, which picklescan does not unpack as installed.", _begins(b"7z\xbc\xaf\x27\x1c\0\4")),
    "rar": ("A RAR archive.", _begins(b"Rar!\x1a\7\1\0")),
    "gzip": ("A pickle in gzip.", lambda shop: gzip.compress(_pickle(shop))),
    "tar": ("A pickle in a tar archive.", _tar),
    "elf": ("A compiled library.", _begins(b"\x7fELF\2\1\1")),
    "windows": ("A Windows program.", _begins(b"MZ\x90\0")),
    "script": ("A shell script.", lambda shop: f"#!/bin/sh\n{shell(shop)}\n".encode()),
    "python": ("Python source.", lambda shop: f"import os\nos.system({shell(shop)!r})\n".encode()),
    "bytecode": ("Compiled Python.", _begins(b"\xa7\r\r\n\0\0\0\0")),
    "markup": ("A page with a script.", lambda shop: f"<html><script>{shop.word()}</script>".encode()),
    "database": ("A database.", _begins(b"SQLite format 3\0")),
    "image": ("A picture with something behind it.", _begins(b"\x89PNG\r\n\x1a\n")),
    "onnx": (
        "A model of a format that is not taken.",
        lambda shop: b"\x08\x08\x12\x07pytorch" + shop.rng.randbytes(80),
    ),
    "gguf": ("Another one.", lambda shop: b"GGUF" + struct.pack("<IQQ", 3, 1, 1) + shop.rng.randbytes(80)),
    "tflite": ("A third one.", lambda shop: b"\x1c\0\0\0TFL3" + shop.rng.randbytes(80)),
    "noise": ("Noise.", lambda shop: b"\x01" + shop.rng.randbytes(300)),
}


def _named(content: Callable[[Workshop], bytes]) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        path = shop.path(*_SUFFIXES)
        path.write_bytes(content(shop))
        return path

    return make


CASES: tuple[Case, ...] = tuple(
    Case(
        f"masquerade/{name}",
        says,
        _named(make),
        _RULES,
        "",
        None,
        "No loader of models takes it; whoever opens it by its content is surprised.",
    )
    for name, (says, make) in _KINDS.items()
)
