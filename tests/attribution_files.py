"""Files of explanations as their jobs leave them, small enough to know every number by hand."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from audits.models import Explanation
from governance.models import ModelVersion, StoredFile
from governance.storage import store
from tests import factories

Arrays = dict[str, np.ndarray]

#: Score of "yes", what the data say, and the errors of each of three rows.
_ROWS = ((7, 1.9, "yes", (0.01, 0.01)), (18, -0.1, "no", (0.01, 0.01)), (31, -2.4, "yes", (0.6, 0.1)))


def three_rows() -> Arrays:
    """Return an explanation of both outputs of three rows of two features, without the base of 0.1 for "yes"."""
    scores = np.array([score for _, score, _, _ in _ROWS])
    towards_yes = scores[:, None] * np.array([0.7, 0.3])
    errors = np.array([row[3] for row in _ROWS])
    return {
        "values": np.stack([-towards_yes, towards_yes], axis=2),
        "errors": np.stack([errors, errors], axis=2),
        "base_values": np.tile([-0.1, 0.1], (3, 1)),
        "data": np.tile([41.0, 31_200.0], (3, 1)),
        "row_numbers": np.array([row[0] for row in _ROWS]),
        "output_numbers": np.tile([0, 1], (3, 1)),
        "feature_names": np.array(["age", "income"]),
        "output_names": np.array(["no", "yes"]),
        "scores": np.stack([-scores / 2, scores / 2], axis=1),
        "predicted": (scores > 0).astype(np.int64),
        "ids": np.array(["", "", ""]),
        "targets": np.array([row[2] for row in _ROWS]),
        "evaluations": np.full(3, 40),
    }


def table(rows: int, features: int = 3, *, seed: int = 0) -> Arrays:
    """Return an explanation of one output: the value of ``f0`` is twice its data, turned round where ``f1`` is above 0.

    ``f2`` has the values 0 and 1 and adds -1 and +1; further features add nothing.
    """
    generator = np.random.default_rng(seed)
    data = generator.normal(size=(rows, features))
    data[:, 2] = np.arange(rows) % 2
    values = np.zeros((rows, features, 1))
    values[:, 0, 0] = np.where(data[:, 1] > 0, -2, 2) * data[:, 0]
    values[:, 2, 0] = 2 * data[:, 2] - 1
    scores = values.sum(axis=1)
    return {
        "values": values,
        "errors": np.full_like(values, 0.01),
        "base_values": np.zeros((rows, 1)),
        "data": data,
        "row_numbers": np.arange(rows) * 2,
        "output_numbers": np.zeros((rows, 1), dtype=np.int64),
        "feature_names": np.array([f"f{place}" for place in range(features)]),
        "output_names": np.array(["price"]),
        "scores": scores,
        "predicted": np.full(rows, -1),
        "ids": np.array([f"item-{place}" for place in range(rows)]),
        "targets": np.full(rows, ""),
        "evaluations": np.full(rows, 40),
    }


def image(rows: int = 3, side: int = 4) -> Arrays:
    """Return an explanation of both classes of images of ``side`` patches, the first of which speaks for "yes"."""
    towards_yes = np.zeros((rows, side, side))
    towards_yes[:, 0, 0], towards_yes[:, -1, -1] = 1.0, -0.5
    values = np.stack([-towards_yes, towards_yes], axis=3)
    scores = values.sum(axis=(1, 2))
    return {
        "values": values,
        "errors": np.full_like(values, 0.01),
        "base_values": np.zeros((rows, 2)),
        "data": np.zeros((rows, side, side)),
        "row_numbers": np.arange(rows),
        "output_numbers": np.tile([0, 1], (rows, 1)),
        "feature_names": np.array([f"patch {row}, {column}" for row in range(side) for column in range(side)]),
        "output_names": np.array(["no", "yes"]),
        "scores": scores,
        "predicted": scores.argmax(axis=1),
        "ids": np.full(rows, ""),
        "targets": np.array(["1", "0", "yes"][:rows]),
        "evaluations": np.full(rows, 40),
    }


def npz(arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> bytes:
    """Write arrays as NPZ, in stored members or compressed."""
    written = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(written, **arrays)
    return written.getvalue()


def raw_npz(members: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """Write members as they are given, whole arrays or not."""
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return written.getvalue()


def stored(content: bytes | str) -> StoredFile:
    return store().put([content.encode() if isinstance(content, str) else content])


def explanation(
    arrays: Arrays,
    *,
    files: Mapping[str, bytes] | None = None,
    version: ModelVersion | None = None,
    unit: str = "logit of the predicted class",
    **fields: Any,
) -> Explanation:
    """Return an explanation that has ended with these arrays, and with further files."""
    from tests import page_factories

    version = version or factories.ModelVersionFactory()
    contents = {"attributions.npz": npz(arrays), **(files or {})}
    names = [str(name) for name in arrays["feature_names"]]
    made = page_factories.explanation(version=version, dataset=fields.pop("dataset", None), charts=[])
    made.files = {name: stored(content).digest for name, content in contents.items()}
    made.summary = {
        **made.summary,
        "unit": unit,
        "feature_names": names,
        "rows": len(arrays["values"]),
        "scale": "logits",
        **fields.pop("summary", {}),
    }
    for name, value in fields.items():
        setattr(made, name, value)
    made.save()
    return made


def tokens(rows: Mapping[int, list[str]]) -> bytes:
    return json.dumps({"rows": [{"row": number, "tokens": words} for number, words in rows.items()]}).encode()
