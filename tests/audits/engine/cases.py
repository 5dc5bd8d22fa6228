"""What tests of checks need: a job folder, rows under a model, and a check that runs on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from audits.engine.audit import seed_of
from audits.engine.checks import check_named
from audits.engine.checks.base import CheckContext, CheckResult
from audits.engine.checks.rows import Rows
from workers.context import JobContext
from workers.datasets import canonical
from workers.datasets.schema import Schema
from workers.frameworks.base import Model
from workers.protocol import JobSpec


def job(folder: Path, *, seed: int = 7) -> JobContext:
    """Return the context of an audit job in an empty folder."""
    spec = JobSpec(kind="audit", runner="audits.engine.audit:run", job_id=1, attempt=1, seed=seed)
    return JobContext(spec, folder)


def table_of(columns: Mapping[str, Any]) -> pa.Table:
    """Return a canonical table; an array of more than one dimension becomes a tensor column."""
    arrays = {}
    for name, values in columns.items():
        if isinstance(values, np.ndarray) and values.ndim > 1:
            arrays[name] = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(values))
        else:
            arrays[name] = pa.array(values)
    return canonical.canonical_table(pa.table(arrays))


def schema_of(modality: str = "tabular", **columns: str) -> Schema:
    """Return a schema from ``name="role type"``; a shape stands behind: ``"feature image 8 8"``."""
    entries = {}
    for name, words in columns.items():
        role, kind, *shape = words.split()
        entries[name] = {"role": role, "type": kind, **({"shape": [int(size) for size in shape]} if shape else {})}
    return Schema.from_json({"modality": modality, "columns": entries})


def rows_of(
    model: Model, schema: Schema, columns: Mapping[str, Any], *, task: str = "classification", first: int = 0
) -> Rows:
    """Return rows of a data set under a model; row numbers start at `first`."""
    table = table_of(columns)
    return Rows(table, np.arange(first, first + len(table)), schema=schema, model=model, task=task)


def run_check(
    check_id: str,
    folder: Path,
    model: Model,
    audited: Rows,
    *,
    training: Rows | None = None,
    task: str = "classification",
    facts: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    condition: Mapping[str, Any] | None = None,
) -> CheckResult:
    """Run one check as the audit does, without catching what it raises."""
    check = check_named(check_id)
    seed = seed_of(7, check_id)
    return check.run(
        CheckContext(
            entry=check.entry,
            parameters=check.entry.read_parameters(parameters or {}),
            condition=check.entry.read_condition(condition or {}),
            job=job(folder),
            model=model,
            task=task,
            audited=audited,
            training=training,
            facts=facts or {},
            seed=seed,
            generator=np.random.default_rng(seed),
            tell=lambda share, words: None,
        )
    )


def metric(result: CheckResult, name: str) -> Any:
    """Return the one metric of this name."""
    (found,) = [entry for entry in result.metrics if entry.name == name]
    return found
