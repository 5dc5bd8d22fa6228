"""The canonical digest of a model's weights: what is equal when two trainings came to the same result."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.protocol import canonical_json


class WeightsDigest:
    """The digest in the making: tensors are told one after another, in the order of their names."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256(b"assay weights 1\n")

    def add(
        self, name: str, *, dtype: str, shape: Sequence[int], size_bytes: int, pieces: Iterable[bytes | memoryview]
    ) -> None:
        """Take one tensor: little-endian bytes in the order of rows, in pieces."""
        self._digest.update(canonical_json([name, dtype, list(shape), size_bytes]))
        self._digest.update(b"\n")
        for piece in pieces:
            self._digest.update(piece)

    def hexadecimal(self) -> str:
        """Return ``sha256:<hex>``."""
        return "sha256:" + self._digest.hexdigest()


def digest_of_weights(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return ``sha256:<hex>`` over names, dtypes, shapes and little-endian bytes, in the order of the names.

    A file's bytes say less: two ``.keras`` files of one model differ by the date inside.
    """
    digest = WeightsDigest()
    for name in sorted(weights):
        array = np.asarray(weights[name])
        content = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False)).tobytes()
        digest.add(name, dtype=array.dtype.name, shape=array.shape, size_bytes=len(content), pieces=[content])
    return digest.hexadecimal()


def parameter_count(weights: Mapping[str, NDArray[Any]]) -> int:
    """Return how many numbers the weights hold, buffers included."""
    return sum(int(np.asarray(array).size) for array in weights.values())
