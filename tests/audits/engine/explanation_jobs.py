"""Run the job kind on tables and a NumPy model, in a folder that a later attempt may go on in."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audits.engine import explanation
from audits.engine.explainers import BUILT_IN
from audits.engine.explainers.base import Attribution, Explainer, Task
from tests.audits.engine.explained import NumpyModel
from workers.context import JobContext
from workers.protocol import InputFile, JobSpec, digest_of_file

NAMES = ["income", "age", "debt", "rate", "term", "score"]


def numbers_table(rows: int, names: list[str] = NAMES, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"A-{place:05d}" for place in range(rows)],
            **{name: generator.normal(size=rows) for name in names},
            "label": ["good" if place % 3 else "bad" for place in range(rows)],
        }
    )


def schema_of(names: list[str] = NAMES) -> dict[str, Any]:
    return {
        "modality": "tabular",
        "columns": {
            "id": {"role": "id", "type": "string"},
            **{name: {"role": "feature", "type": "float"} for name in names},
            "label": {"role": "target", "type": "string"},
        },
    }


def signature_of(names: list[str] = NAMES, outputs: int = 2) -> dict[str, Any]:
    classes = ["good", "bad", *(f"class {number}" for number in range(2, outputs))]
    return {
        "inputs": [{"name": "features", "shape": [-1, len(names)], "dtype": "float64", "columns": names}],
        "outputs": [
            {"name": "answer", "shape": [-1, outputs], "dtype": "float64", "kind": "logits", "classes": classes}
        ],
    }


def bent(features: int = 6, outputs: int = 2) -> NumpyModel:
    """A model with interactions whose answer for a row does not depend on the rows beside it."""
    generator = np.random.default_rng(8)
    first, second = generator.normal(size=(features, 4)), generator.normal(size=(4, outputs))

    def answer(held: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        hidden = np.tanh(np.einsum("rf,fh->rh", inputs["features"], held["first"], optimize=False)) ** 2
        return np.einsum("rh,ho->ro", hidden, held["second"], optimize=False)

    return NumpyModel(answer, {"first": first, "second": second}, inputs={"features": (features,)}, outputs=outputs)


@dataclass
class Folder:
    """A job folder and what is asked in it."""

    path: Path
    spec: JobSpec
    model: NumpyModel
    told: list[tuple[float, float, str]] = field(default_factory=list)

    def run(self, attempt: int = 1) -> dict[str, Any]:
        context = JobContext(replace(self.spec, attempt=attempt), self.path)
        context.progress = lambda done, total, unit, message="": self.told.append((done, total, message))  # type: ignore[method-assign]
        value = explanation.run(context)
        json.dumps(value, allow_nan=False)
        return value

    @property
    def digests(self) -> dict[str, str]:
        return {path.name: digest_of_file(path) for path in sorted((self.path / "outputs").iterdir())}

    def arrays(self, name: str = "attributions.npz") -> dict[str, np.ndarray]:
        with np.load(self.path / "outputs" / name, allow_pickle=False) as held:
            return {key: held[key] for key in held.files}


def lay(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    table: pa.Table | None = None,
    background: pa.Table | None = None,
    model: NumpyModel | None = None,
    **parameters: Any,
) -> Folder:
    """Lay a job folder; without another one, the background is the same table."""
    used = bent() if model is None else model
    monkeypatch.setattr(explanation, "load_model", lambda path, **settings: used)
    (path / "inputs").mkdir(parents=True)
    whole = numbers_table(60) if table is None else table
    for name, content in (("table", whole), ("background", whole if background is None else background)):
        pq.write_table(content, path / "inputs" / f"{name}.parquet")
    asked = {
        "framework": "numpy",
        "signature": signature_of(),
        "schema": schema_of(),
        "rows": 12,
        "background_rows": 20,
        "seed": 4,
        **parameters,
    }
    files = {"model": "model.keras", "dataset": "table.parquet", "background": "background.parquet"}
    inputs = {
        name: InputFile(filename, digest_of_file(path / "inputs" / filename) if name != "model" else "", 0)
        for name, filename in files.items()
    }
    spec = JobSpec(
        kind="explanation", runner="", job_id=1, attempt=1, parameters=json.loads(json.dumps(asked)), inputs=inputs
    )
    return Folder(path, spec, used)


class Cut(BaseException):
    """What a kill looks like from inside: nothing of the job handles it."""


@contextmanager
def cut_after(parts: int, monkeypatch: pytest.MonkeyPatch, method: str = "permutation") -> Iterator[list[int]]:
    """Have a method end, as by a kill, after so many parts; the list has the row at which each call began."""
    whole = BUILT_IN[method]
    began: list[int] = []

    class Mortal(whole):  # type: ignore[misc, valid-type]
        name = method

        def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
            began.append(first)
            for part in super().parts(task, first=first):
                if len(kept) == parts:
                    raise Cut
                kept.append(part.row_count)
                yield part

    kept: list[int] = []
    with monkeypatch.context() as patch:
        mortal: type[Explainer] = Mortal
        patch.setitem(BUILT_IN, method, mortal)
        yield began
