"""The canonical digest of a model's weights: what is equal when two trainings came to the same result."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.protocol import canonical_json


def digest_of_weights(weights: Mapping[str, NDArray[Any]]) -> str:
    """Return ``sha256:<hex>`` over names, dtypes, shapes and little-endian bytes, in the order of the names.

    A file's bytes say less: two ``.keras`` files of one model differ by the date inside.
    """
    digest = hashlib.sha256(b"assay weights 1\n")
    for name in sorted(weights):
        array = np.asarray(weights[name])
        content = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("<"), copy=False))
        digest.update(canonical_json([name, array.dtype.name, list(array.shape), content.nbytes]))
        digest.update(b"\n")
        digest.update(content.tobytes())
    return "sha256:" + digest.hexdigest()


def parameter_count(weights: Mapping[str, NDArray[Any]]) -> int:
    """Return how many numbers the weights hold, buffers included."""
    return sum(int(np.asarray(array).size) for array in weights.values())
