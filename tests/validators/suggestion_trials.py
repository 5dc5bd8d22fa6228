"""Measure suggested suites: on a second clean sample of the source, and on faults planted into it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from tests.validators.faults import FAULTS
from tests.validators.sources import SOURCES, Sample
from validators.engine.expectations import Evaluator
from validators.engine.suggestion.proposing import suggest
from workers.datasets.arrays import write_table


@dataclass(frozen=True)
class Trial:
    """One suite: what failed on a second clean sample, and for each fault whether it was found (None: not planted)."""

    source: str
    rules: int
    false_alarms: Sequence[str]
    found: dict[str, bool] = field(default_factory=dict)
    missed: Sequence[str] = ()


def suggested(sample: Sample, folder: Path) -> list[dict[str, Any]]:
    """Return the suggestions for a sample."""
    path = folder / "table.parquet"
    write_table(sample.table, path)
    return list(suggest(path, sample.schema, work=folder)["suggestions"])


def not_met(table: pa.Table, suggestions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rules that a table does not meet, or that cannot be run on it."""
    rules = list(suggestions)
    return [rule for rule, status in zip(rules, statuses(table, rules), strict=True) if status != "passed"]


def statuses(table: pa.Table, rules: Sequence[dict[str, Any]]) -> list[str]:
    """Return how each rule comes out on a table."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_table(table, path)
        return [outcome.status for outcome in Evaluator(path, work=Path(folder) / "work").evaluate_all(rules)]


def finds(table: pa.Table, suggestions: Sequence[dict[str, Any]], clean: pa.Table) -> bool:
    """Tell whether any rule fails; rules about columns that did not change are left out where the rows are the same."""
    changed = {
        name
        for name in clean.column_names
        if name not in table.column_names or not table.column(name).equals(clean.column(name))
    }
    about = [rule for rule in suggestions if not rule["column"] or _columns(rule) & changed]
    return any(status != "passed" for status in statuses(table, about))


def run_trial(source: str, seed: int, *, rows: int, folder: Path, faults: Iterable[str] = tuple(FAULTS)) -> Trial:
    """Suggest a suite from one sample of a source, and try it on another."""
    draw = SOURCES[source]
    suggestions = suggested(draw(np.random.default_rng([seed, 1]), rows), folder)
    second = draw(np.random.default_rng([seed, 2]), rows)
    alarms = not_met(second.table, suggestions)
    quiet = [rule for rule in suggestions if rule not in alarms]
    found: dict[str, bool] = {}
    missed = []
    for place, name in enumerate(faults):
        planted = FAULTS[name](np.random.default_rng([seed, 3, place]), second)
        if planted is None:
            continue
        found[name] = finds(planted.table, quiet, second.table)
        if not found[name]:
            missed.append(f"{name}: {planted.what}")
    return Trial(source, len(suggestions), [rule["sentence"] for rule in alarms], found, missed)


def _columns(rule: dict[str, Any]) -> set[str]:
    kwargs = rule["kwargs"]
    named = {kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs}
    condition = kwargs.get("row_condition")
    return named | set(kwargs.get("column_list", ())) | ({condition["column"]["name"]} if condition else set())
