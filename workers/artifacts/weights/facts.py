"""What a version of weights alone is known by: how many numbers, in which groups, and their digest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workers.artifacts.limits import Limits
from workers.artifacts.source import Source
from workers.artifacts.weights.safetensors import read_safetensors
from workers.artifacts.weights.tensors import TensorBytes
from workers.frameworks.weights import WeightsDigest

#: More groups than a person reads; where there are more, none is listed.
_MAX_GROUPS = 2000
#: The longest name that a result may hold.
_MAX_NAME = 300


def facts_of_weights(path: Path, limits: Limits) -> dict[str, Any]:
    """Return ``layers``, ``parameter_count`` and ``weights_digest`` of a canonical file of weights."""
    with path.open("rb") as stream:
        return facts_of_tensors(Source(stream, limits), str(path.parent))


def facts_of_tensors(source: Source, folder: str) -> dict[str, Any]:
    """Return ``layers``, ``parameter_count`` and ``weights_digest`` of an opened safetensors file.

    A layer is a group of tensors whose names differ in the last part alone. The digest follows the convention of
    ``workers.frameworks.weights``: the same tensors under the same names have it in every format. ``folder`` is for
    temporary files.
    """
    digest = WeightsDigest()
    groups: dict[str, int] = {}
    tensors = read_safetensors(source).tensors
    with TensorBytes(source, folder) as content:
        for name in sorted(tensors):
            tensor = tensors[name]
            digest.add(
                name,
                dtype=tensor.dtype,
                shape=tensor.shape,
                size_bytes=tensor.size_bytes,
                pieces=content.pieces(tensor),
            )
            group = name.rpartition(".")[0] or name
            groups[group] = groups.get(group, 0) + tensor.count
    return {
        "layers": [_layer(group, count) for group, count in groups.items()] if len(groups) <= _MAX_GROUPS else [],
        "parameter_count": sum(groups.values()),
        "weights_digest": digest.hexadecimal(),
    }


def _layer(group: str, count: int) -> dict[str, Any]:
    return {"name": group[:_MAX_NAME], "kind": "weights", "output_shape": None, "parameter_count": count}
