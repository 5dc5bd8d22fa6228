"""The near-miss of each bite: a file for the same loader, of the same family, without the trick or the payload."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

from tests.corpus import arrays, bombs, cases, checkpoints, containers, graphs, keras_files, pt2_files
from tests.corpus.case import Benign, Workshop
from tests.corpus.gadgets import bytecode
from tests.corpus.host import lay_classes_beside
from tests.corpus.masquerades import onnx
from tests.corpus.native import library
from tests.corpus.packers import rar, seven_zip
from tests.corpus.pickles import plain

Make = Callable[[Workshop], Path]


def _bytes(ending: str, content: Callable[[Workshop], bytes]) -> Make:
    def make(shop: Workshop) -> Path:
        path = shop.path(ending)
        path.write_bytes(content(shop))
        return path

    return make


def _onnx(shop: Workshop) -> bytes:
    beside = shop.folder / "beside"
    beside.write_bytes(bytes(32))
    return onnx(shop, beside.name)


def _user_block(shop: Workshop) -> Path:
    """Return weights behind a script that does nothing."""
    path = shop.path(".weights.h5")
    content = (shop.samples / "model.weights.h5").read_bytes()
    path.write_bytes(b"#!/bin/sh\nexit\n".ljust(1024, b"\0") + content)
    return path


def _beside_classes(make: Make) -> Make:
    """Return a maker that also lays the host's compiled classes beside the file, which does not use them."""

    def lay(shop: Workshop) -> Path:
        lay_classes_beside(shop)
        return make(shop)

    return lay


_CHECKPOINT, _KERAS, _LOOKUP = containers.BENIGN[0].make, keras_files.BENIGN[0].make, keras_files.BENIGN[1].make
_TAR: Make = lambda shop: checkpoints.tar_checkpoint(shop, {shop.word(): 1})  # noqa: E731
_ZEROS = bombs.BENIGN[0].make
_GGUF = struct.pack("<IQQQ", 3, 1, 1, 4)

#: What stands for a family that has no harmless file which the loader takes: by family, or by family and loader.
_OWN: dict[str, Make] = {
    "spelling": _CHECKPOINT,
    "legacy": checkpoints.BENIGN[1].make,
    "pickle:pickles": _bytes(".pkl", lambda shop: plain({"a": 1}) + plain([shop.word()])),
    "tar": _TAR,
    "safetensors:zip.directory": _CHECKPOINT,
    "keras:keras.words": _LOOKUP,
    "keras_weights": _KERAS,
    "hdf5:shell": _user_block,
    "hdf5:zip.directory": _CHECKPOINT,
    "bomb": _ZEROS,
    "bomb:json": _KERAS,
    "bomb:safetensors.header": arrays.BENIGN[2].make,
    "bomb:zip.inflate": _KERAS,
    "masquerade": _CHECKPOINT,
    "masquerade:joblib": _bytes(".pt", lambda shop: gzip.compress(plain([shop.word()]))),
    "masquerade:tar.pickle": _TAR,
    "masquerade:7z.pickle": _bytes(".pt", lambda shop: seven_zip("data.pkl", plain([shop.word()]))),
    "masquerade:rar.pickle": _bytes(".pt", lambda shop: rar("data.pkl", plain([shop.word()]))),
    "masquerade:tflite": _bytes(".pt", lambda shop: (shop.samples / "small.tflite").read_bytes()),
    "pt2:torch.export.classes": _beside_classes(pt2_files.BENIGN[0].make),
    "torchscript:torch.jit.classes": _beside_classes(graphs.BENIGN[1].make),
    "masquerade:library": _bytes(".pt", lambda shop: library(shop.folder / "elsewhere")),
    "masquerade:shell": _bytes(".pt", lambda shop: b"#!/bin/sh\ntrue\n"),
    "masquerade:python": _bytes(".pt", lambda shop: bytecode("words = 1")),
    "masquerade:gguf": _bytes(".pt", lambda shop: b"GGUF" + _GGUF + b"name" + shop.rng.randbytes(80)),
    "masquerade:onnx": _bytes(".pt", _onnx),
}


def twins() -> dict[str, tuple[Benign, str]]:
    """Return the twin of each pair of a family and a loader that a case bites by, and the loader."""
    found = {}
    for family, loader in sorted({(case.family, case.bite) for case in cases.CASES}):
        name = f"{family}:{loader}"
        own = _OWN.get(name) or _OWN.get(family)
        make = own or next(benign.make for benign in cases.BENIGN if benign.family == family)
        found[name] = Benign(f"{family}/{loader}", "The same without the trick.", make, ""), loader
    return found
