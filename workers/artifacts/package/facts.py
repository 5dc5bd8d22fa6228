"""What the weights of a package are known by: how many numbers they hold and their digest, read from the file alone."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from workers.artifacts import strict_toml
from workers.artifacts.archive import Archive
from workers.artifacts.hdf5.datatypes import RAW_2
from workers.artifacts.hdf5.tree import Array, array_pieces
from workers.artifacts.hdf5.weights import read_weights
from workers.artifacts.keras.archive import WEIGHTS, open_weights
from workers.artifacts.limits import Limits
from workers.artifacts.package import manifest as assay_toml
from workers.artifacts.package.archive import open_payload
from workers.artifacts.package.manifest import Manifest
from workers.artifacts.source import Source
from workers.artifacts.weights.facts import facts_of_tensors
from workers.frameworks.weights import WeightsDigest

#: Groups of a Keras file that hold state and no weights: of the optimizer, and of layers that draw random numbers.
_OPTIMIZER, _SEED = "optimizer", "seed_generator"


def facts_of_package(path: Path, limits: Limits) -> dict[str, Any]:
    """Return ``parameter_count`` and ``weights_digest`` of a canonical package, of which nothing is run.

    Weights of PyTorch are told by their names, as in every other format of tensors. Those of Keras are told by the
    paths of their arrays in the file, without the state of the optimizer and of random layers: the names that a loaded
    model gives them are up to the package's code.
    """
    with path.open("rb") as stream:
        source = Source(stream, limits, Archive(stream, limits))
        manifest = Manifest.read(source.entries.read(assay_toml.NAME, strict_toml.MAX_BYTES))
        with open_payload(source, manifest.payload) as payload:
            facts = _facts_of_keras(payload) if manifest.model else facts_of_tensors(payload, tempfile.gettempdir())
    return {name: facts[name] for name in ("parameter_count", "weights_digest")}


def _facts_of_keras(payload: Source) -> dict[str, Any]:
    digest = WeightsDigest()
    count = 0
    with open_weights(payload) as stream:
        arrays = read_weights(stream, WEIGHTS, payload.limits).arrays
        for path in sorted(filter(_is_weight, arrays)):
            array = arrays[path]
            digest.add(
                path.removeprefix("/"),
                dtype=_dtype(array),
                shape=array.shape,
                size_bytes=array.size_bytes,
                pieces=array_pieces(stream, array),
            )
            count += array.size_bytes // array.datatype.size
    return {"parameter_count": count, "weights_digest": digest.hexadecimal()}


def _is_weight(path: str) -> bool:
    parts = path.removeprefix("/").split("/")
    return parts[0] != _OPTIMIZER and _SEED not in parts


def _dtype(array: Array) -> str:
    return "bfloat16" if array.datatype.name == RAW_2 else array.datatype.name
