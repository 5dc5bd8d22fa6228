"""Compiled expectations against Great Expectations on random tables: the same answers, or it is not compiled.

``ASSAY_PARITY=10000 pytest tests/validators/engine/test_parity.py`` makes at least so many comparisons; the usual run
makes fewer, from the same seeds.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.validators.engine import random_tables
from validators.engine.compiled.columns import Table
from validators.engine.compiled.passes import Passes
from validators.engine.compiled.registry import COMPILERS, compile_expectation
from validators.engine.moment_texts import with_times
from validators.engine.obstacles import columns_of_condition, obstacles
from validators.engine.outcomes import Outcome
from validators.engine.through_gx import GreatExpectationsOnFile
from workers.datasets.arrays import read_table, write_table
from workers.datasets.duck import connect

COMPARISONS = int(os.environ.get("ASSAY_PARITY", "400"))
PARTS = 2


def compare(seed: int, kinds: list[str], folder: Path, seen: Counter[str]) -> list[str]:
    """Run an expectation of each kind on one random table both ways; return what differs."""
    draw = np.random.default_rng(seed)
    path = folder / f"{seed}.parquet"
    write_table(random_tables.table(draw), path)
    data, table = read_table(path), Table.of(path)
    types = dict(zip(data.schema.names, data.schema.types, strict=True))
    expectations = [with_times(random_tables.expectation(draw, data, kind), types) for kind in kinds]
    asked = [
        (entry, rule)
        for entry in expectations
        if next(obstacles(entry, data.column_names), None) is None
        and (rule := compile_expectation(entry, table)) is not None
    ]
    with connect(folder / "work") as connection:
        outcomes = Passes(table, connection, lambda done, total, message: None).outcomes(asked)
    oracle = GreatExpectationsOnFile(path)
    found = []
    for (entry, _), outcome in zip(asked, outcomes, strict=True):
        if outcome is None or has_twins(entry["kwargs"], data.column_names):
            continue
        seen[entry["type"]] += 1
        differences = differing(outcome, oracle.evaluate(entry))
        if differences:
            columns = {
                name: data.column(name).to_pylist()[:50]
                for name in _names(entry["kwargs"])
                if name in data.column_names
            }
            found.append(f"seed {seed}: {entry} on {columns}: {differences}")
    path.unlink()
    return found


def has_twins(kwargs: dict[str, Any], names: list[str]) -> bool:
    """Tell of an expectation that needs two columns whose names differ in case; Great Expectations mixes them up."""
    needed = {*_names(kwargs), *columns_of_condition(kwargs.get("row_condition"), names)}
    return len({name.casefold() for name in needed}) < len(needed)


def differing(ours: Outcome, theirs: Outcome) -> list[str]:
    differences = [
        f"{name}: {getattr(ours, name)!r}, not {getattr(theirs, name)!r}"
        for name in ("status", "unexpected_count", "element_count", "missing_count", "unexpected_percent", "observed")
        if not is_close(getattr(ours, name), getattr(theirs, name))
    ]
    if ours.rows.tolist() != theirs.rows.tolist():
        differences.append(f"rows: {ours.rows.tolist()}, not {theirs.rows.tolist()}")
    return [*differences, theirs.error] if differences else []


def is_close(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_close, one, other))
    if isinstance(one, float) or isinstance(other, float):
        return None not in (one, other) and math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)


def _names(kwargs: dict[str, Any]) -> list[str]:
    return [kwargs[key] for key in ("column", "column_A", "column_B") if key in kwargs] + kwargs.get("column_list", [])


# What pandas has to say about patterns with groups and nested sets, and NumPy about infinities that it adds, is not an
# answer of Great Expectations.
@pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore:invalid value encountered:RuntimeWarning"
)
@pytest.mark.parametrize("part", range(PARTS))
def test_compiled_expectations_answer_as_great_expectations_does(tmp_path: Path, part: int) -> None:
    seen: Counter[str] = Counter()
    found: list[str] = []
    seed, kinds = part, sorted(COMPILERS)
    while sum(seen.values()) < COMPARISONS / PARTS:
        found += compare(seed, kinds, tmp_path, seen)
        seed += PARTS
    assert not found, f"{len(found)} of {sum(seen.values())} differ:\n" + "\n".join(found[:40])


def test_every_compiled_kind_is_compared() -> None:
    assert random_tables.ARGUMENTS.keys() == COMPILERS.keys()
    assert len(COMPILERS) >= 35
