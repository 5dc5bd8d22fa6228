"""Suggest suites for small tables, for tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.validators.engine.engine_jobs import schema_of
from validators.engine.suggestion.proposing import suggest
from workers.datasets.arrays import write_table
from workers.datasets.schema import Schema

Suggestion = dict[str, Any]


def suggestions_for(
    folder: Path, columns: Mapping[str, Any] | pa.Table, roles: Mapping[str, str] | None = None
) -> list[Suggestion]:
    """Return what is suggested for a table, whose columns are features unless a role is given."""
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    described = schema_of(table)
    for name, role in (roles or {}).items():
        described["columns"][name]["role"] = role
    path = folder / "table.parquet"
    write_table(table, path)
    return list(suggest(path, Schema.from_json(described), work=folder / "work")["suggestions"])


def of_kind(suggestions: list[Suggestion], kind: str, column: str | None = None) -> list[Suggestion]:
    """Return the suggestions of the type ``expect_<kind>``."""
    return [entry for entry in suggestions if entry["type"] == f"expect_{kind}" and column in (None, entry["column"])]


def one(suggestions: list[Suggestion], kind: str, column: str | None = None) -> Suggestion:
    found = of_kind(suggestions, kind, column)
    assert len(found) == 1, [entry["sentence"] for entry in suggestions]
    return found[0]
