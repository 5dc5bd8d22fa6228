"""Readers of NumPy files and safetensors: the reference, and what people write by hand in twenty lines."""

from __future__ import annotations

import json
import math
import re
import struct
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.corpus.trusting.documents import Pairs, first_wins, without_case
from tests.corpus.trusting.loader import Loader, reading

#: An array as every reader tells of it: type, shape, bytes.
Array = tuple[str, tuple[int, ...], bytes]


# -------------------------------------------------------------------------------------------------------- NumPy
def _load(path: Path) -> None:
    import numpy as np

    loaded = np.load(path, allow_pickle=True)
    if hasattr(loaded, "files"):
        for name in loaded.files:
            loaded[name]


def _by_numpy(path: Path, name: str) -> Array:
    import numpy as np

    with np.load(path, allow_pickle=False) as archive:
        array = archive[name.removesuffix(".npy")]
        return array.dtype.str.lstrip("<|"), array.shape, array.tobytes("A")


def _by_hand(content: bytes, _: Path) -> Array:
    """Read an array as small C++ readers do (cnpy): to the end of the header's line, in 64 bits, unchecked.

    ``content`` begins with the array and goes on to the end of the file, as it does for who reads from a file.
    """
    end = content.index(b"\n") + 1
    header = content[10:end].decode("latin-1")
    descr = re.search(r"'descr': '[<|]?([A-Za-z]\d+)'", header)
    sizes = tuple(int(size) for size in re.findall(r"\d+", header[header.find("(") + 1 : header.find(")")]))
    if descr is None:
        raise ValueError("The header has no type.")
    count = math.prod(sizes) % 2**64
    return descr[1], sizes, content[end : end + count * int(descr[1][1:])]


def _header_as_python(path: Path) -> None:
    """Evaluate headers as Python, which is what they look like."""
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            content = archive.read(name)
            if content.startswith(b"\x93NUMPY"):
                eval(content[10 : content.index(b"\n")])


def _two_arrays(path: Path) -> dict[str, Any]:
    """Read each stored member by its directory with numpy, and from its place in the file by hand."""
    content = path.read_bytes()
    by_numpy, by_hand = {}, {}
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            lengths = struct.unpack_from("<2H", content, entry.header_offset + 26)
            begins = entry.header_offset + 30 + sum(lengths)
            rest = archive.read(entry) if entry.compress_type else content[begins:]
            by_numpy[entry.filename] = reading(partial(_by_numpy, name=entry.filename), path)
            by_hand[entry.filename] = reading(partial(_by_hand, rest), path)
    return {"numpy": by_numpy, "by hand": by_hand}


# -------------------------------------------------------------------------------------------------- safetensors
def _by_library(path: Path) -> dict[str, Array]:
    import safetensors

    read: list[tuple[str, dict[str, Any]]] = safetensors.deserialize(path.read_bytes())
    return {name: (stated["dtype"], tuple(stated["shape"]), bytes(stated["data"])) for name, stated in read}


def _header(path: Path, pairs: Callable[[Pairs], Any] = dict) -> tuple[dict[str, Any], int]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return json.loads(file.read(length), object_pairs_hook=pairs), 8 + length


def _by_seeking(pairs: Callable[[Pairs], Any]) -> Callable[[Path], dict[str, Array]]:
    """Return the reader that the format's own description suggests: parse the header, seek, read."""

    def read(path: Path) -> dict[str, Array]:
        header, begins = _header(path, pairs)
        header.pop("__metadata__", None)
        arrays = {}
        with path.open("rb") as file:
            for name, stated in header.items():
                first, end = stated["data_offsets"]
                file.seek(begins + first)
                arrays[name] = stated["dtype"], tuple(stated["shape"]), file.read(end - first)
        return arrays

    return read


def _four_readers(path: Path) -> dict[str, Any]:
    return {
        "library": reading(_by_library, path),
        "last key": reading(_by_seeking(dict), path),
        "first key": reading(_by_seeking(first_wins), path),
        "key without case": reading(_by_seeking(without_case), path),
    }


LOADERS = {
    "numpy": Loader(_load),
    "numpy.room": Loader(_load, "exhausts"),
    "npy.eval": Loader(_header_as_python),
    "npy.two": Loader(_two_arrays, "disagrees"),
    "safetensors.two": Loader(_four_readers, "disagrees"),
    "safetensors.header": Loader(_by_seeking(dict), "exhausts"),
}
