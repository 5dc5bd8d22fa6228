"""One linear model as a SavedModel and as TorchScript: the upload, and the rewritten copy that the adapters load."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests import tiny_models
from tests.workers.artifacts import saved_models, scripts
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite

#: Name of the upload -> the framework and what has to be accepted.
GRAPHS = {
    "model.zip": ("keras", "ART-03.saved_model"),
    "model.pt": ("pytorch", "ART-03.torchscript"),
}
WEIGHTS, BIAS = tiny_models.LINEAR_WEIGHTS, tiny_models.LINEAR_BIAS


def upload(path: Path, *, softmax: bool = False) -> Path:
    """Write ``x @ WEIGHTS + BIAS``, or its softmax: the ending of the path decides the format."""
    if path.suffix == ".pt":
        return scripts.linear(path, softmax=softmax)
    tf = saved_models.tensorflow()
    bias = tf.Variable(BIAS, name="bias")
    return saved_models.exported(
        path, lambda scores: tf.nn.softmax(scores + bias) if softmax else scores + bias, bias=bias
    )


def copy_of(path: Path) -> Path:
    """Inspect an upload, accept it, and return the copy that is written anew."""
    inspection = inspect(path, filename=path.name, accepted=[finding for _, finding in GRAPHS.values()])
    target = path.parent / f"model.{inspection.format}"
    rewrite(path, inspection, target)
    return target


def scores_of(rows: np.ndarray) -> np.ndarray:
    """Return what the model gives before a softmax."""
    return rows @ WEIGHTS + BIAS
