"""Run validations and cleanings on tables, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.workers.datasets.uploads import fitted
from tests.workers.job_folders import job
from validators.engine import cleaning, validation
from workers.datasets.arrays import write_table
from workers.datasets.deriving import with_derived


def expectation(kind: str, **kwargs: Any) -> dict[str, Any]:
    """Return an expectation of the type ``expect_<kind>``; ``id``, ``severity`` and ``clean`` are its own fields."""
    own = {name: kwargs.pop(name) for name in ("id", "severity") if name in kwargs}
    if "clean" in kwargs:
        own["meta"] = {"clean": kwargs.pop("clean")}
    return {"type": f"expect_{kind}", "kwargs": kwargs, **own}


def suite_of(*expectations: dict[str, Any]) -> dict[str, Any]:
    return {"name": "suite", "expectations": list(expectations)}


def _folder(base: Path) -> Path:
    return base / f"job-{len(list(base.iterdir()))}"


def _dataset(base: Path, table: pa.Table) -> Path:
    path = base / f"table-{len(list(base.iterdir()))}.parquet"
    write_table(table, path)
    return path


def with_metadata(table: pa.Table) -> pa.Table:
    """Return a table as an import leaves it, with what is derived from its images."""
    return with_derived(*fitted("parquet", table))[0]


def schema_of(table: pa.Table) -> dict[str, Any]:
    return fitted("parquet", table)[1].to_json()


def validate(base: Path, table: pa.Table, *expectations: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the value of a validation job and the rows that it keeps."""
    context = job(
        _folder(base),
        kind="validation",
        inputs={"dataset": _dataset(base, table)},
        parameters={"suite": suite_of(*expectations), "schema": schema_of(table)},
    )
    value = validation.run(context)
    json.dumps(value, allow_nan=False)
    return value, pq.read_table(context.folder / "outputs" / "rows.parquet").to_pylist()


class Cleaned:
    """What a cleaning job left: its value and its four tables."""

    def __init__(
        self,
        base: Path,
        table: pa.Table,
        *expectations: dict[str, Any],
        plan: list[dict[str, Any]] | None = None,
        roles: Mapping[str, str] | None = None,
    ) -> None:
        schema = schema_of(table)
        for name, role in (roles or {}).items():
            schema["columns"][name]["role"] = role
        context = job(
            _folder(base),
            kind="cleaning",
            inputs={"dataset": _dataset(base, table)},
            parameters={
                "suite": suite_of(*expectations) if expectations else None,
                "plan": plan,
                "schema": schema,
            },
        )
        self.value = cleaning.run(context)
        json.dumps(self.value, allow_nan=False)
        self.report = self.value["report"]
        self.outputs = context.folder / "outputs"
        self.clean, self.quarantine, self.changes, self.flags = (
            pq.read_table(self.outputs / f"{name}.parquet") for name in ("clean", "quarantine", "changes", "flags")
        )
