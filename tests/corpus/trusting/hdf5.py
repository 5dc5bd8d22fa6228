"""Readers of HDF5: a plain walk, a walk of objects, a map of bytes, a list of names, and a search for texts."""

from __future__ import annotations

import contextlib
import re
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.corpus.case import DECOY
from tests.corpus.trusting.arrays import Array
from tests.corpus.trusting.loader import Loader, reading, touch

_NUMBERS = "biuf"
#: Attributes that Keras writes.
_KNOWN = {"backend", "keras_version", "layer_names", "model_config", "name", "training_config", "weight_names"}
_TEXT = re.compile(rb"[\x20-\x7e]{24,}")


def _weights(path: Path) -> Path:
    """Return the HDF5 file, which may lie in a Keras archive."""
    if path.suffix != ".keras":
        return path
    with zipfile.ZipFile(path) as archive:
        return Path(archive.extract("model.weights.h5", path.parent))


def _read_what_can_be_read(path: Path) -> None:
    """Read every array that a plain walk reaches; what was read of the host's decoy touches the marker."""
    import h5py

    def read(group: Any) -> None:
        for name in group:
            with contextlib.suppress(Exception):
                item = group[name]
                if isinstance(item, h5py.Group):
                    read(item)
                elif DECOY in item[()].tobytes():
                    touch(path)

    with h5py.File(_weights(path), "r") as file:
        read(file)


def _walk(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Go through members by their names, as most tools do."""
    import h5py

    for name in group:
        item = group[name]
        if isinstance(item, h5py.Group):
            yield from _walk(item, f"{path}/{name}")
        else:
            yield f"{path}/{name}", item


def _read_everything(path: Path) -> None:
    """Read every array and keep none."""
    import h5py

    with h5py.File(_weights(path), "r") as file:
        for _, item in _walk(file):
            item[()]


def _by_walk(path: Path) -> dict[str, Array]:
    import h5py

    with h5py.File(path, "r") as file:
        read = {name: item[()] for name, item in _walk(file)}
    return {name: (str(array.dtype), array.shape, array.tobytes()) for name, array in read.items()}


def _by_map(path: Path) -> dict[str, Array]:
    """Read each object once, from where its bytes lie in the file, as readers that copy nothing do."""
    import h5py
    import numpy as np

    content, read = path.read_bytes(), {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        begins = item.id.get_offset()
        if item.dtype.kind not in _NUMBERS or (begins is None and item.size):
            raise ValueError(f"{name} is no array of numbers in one piece.")
        array = np.frombuffer(content, item.dtype, item.size, begins or 0)
        read[f"/{name}"] = str(item.dtype), item.shape, array.tobytes()

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return read


def _two_walks(path: Path) -> dict[str, Any]:
    weights = _weights(path)
    return {"walk": reading(_by_walk, weights), "map": reading(_by_map, weights)}


def _names(path: Path) -> list[str]:
    """Return the names of all objects; h5py gives bytes for those that are no UTF-8."""
    import h5py

    names: list[str | bytes] = []
    with h5py.File(path, "r") as file:
        file.visit(names.append)
    return [name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name for name in names]


def _two_lists(path: Path) -> dict[str, Any]:
    """List names as they are, and as they are read back from the lines that a terminal or a log shows."""
    names = _names(_weights(path))
    shown = "".join(sign for sign in "\n".join(names) if sign == "\n" or unicodedata.category(sign)[0] != "C")
    return {"names": names, "lines": shown.splitlines()}


def _attributes(known: Callable[[str], bool], path: Path) -> dict[str, str]:
    import h5py

    found = {}

    def visit(name: str, item: Any) -> None:
        found.update({f"{name}@{key}": repr(value) for key, value in item.attrs.items() if known(key)})

    with h5py.File(path, "r") as file:
        visit("", file)
        file.visititems(visit)
    return found


def _two_views(path: Path) -> dict[str, Any]:
    """Read the attributes that Keras knows, and all."""
    weights = _weights(path)
    return {"known": _attributes(_KNOWN.__contains__, weights), "all": _attributes(lambda key: True, weights)}


def _two_contents(path: Path) -> dict[str, Any]:
    """Search the texts of the file's bytes, and those in what its objects say."""
    import h5py

    weights = _weights(path)
    told = [array for _, _, array in _by_walk(weights).values()]
    with h5py.File(weights, "r") as file:
        told += [str(value).encode() for value in file.attrs.values()]
    found = _TEXT.findall(weights.read_bytes())
    return {"bytes": found, "objects": [text for text in found if any(text in content for content in told)]}


LOADERS = {
    "h5py": Loader(_read_what_can_be_read),
    "h5py.all": Loader(_read_everything, "exhausts"),
    "h5py.two": Loader(_two_walks, "disagrees"),
    "h5py.names": Loader(_two_lists, "disagrees"),
    "h5py.attributes": Loader(_two_views, "disagrees"),
    "h5py.texts": Loader(_two_contents, "disagrees"),
}
