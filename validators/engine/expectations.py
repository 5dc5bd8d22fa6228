"""Run the expectations of a suite on a Parquet file: compiled where that is exact, else through Great Expectations.

One that cannot be run (an unknown type, a column that is not there, a regular expression that is none or that does not
come to an end, a crash inside) is an outcome of status ``error`` with its reason, and no other outcome is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from validators.engine.compiled.columns import Table
from validators.engine.compiled.passes import Passes
from validators.engine.compiled.registry import COMPILERS, compile_expectation
from validators.engine.compiled.rules import Rule
from validators.engine.moment_texts import with_times
from validators.engine.obstacles import obstacles
from validators.engine.outcomes import Outcome
from validators.engine.through_gx import GreatExpectationsOnFile
from workers.datasets.duck import connect

__all__ = ["Evaluator", "Outcome"]

#: Told on the way: rows that are done, rows that there are (each once a pass), and what comes.
Tell = Callable[[int, int, str], None]

_Expectation = Mapping[str, Any]


class Evaluator:
    """Runs expectations on one Parquet file.

    Args:
        path: the file of a data set version.
        work: a folder beside the file's, for what does not fit into memory; it is made if it is not there.
    """

    def __init__(self, path: Path, *, work: Path) -> None:
        self.path = path
        self._work = work
        self._table = Table.of(path)
        schema = pq.read_schema(path)
        self._types = dict(zip(schema.names, schema.types, strict=True))
        self._others = GreatExpectationsOnFile(path)

    @property
    def row_count(self) -> int:
        return self._table.row_count

    def evaluate(self, expectation: _Expectation) -> Outcome:
        """Run one expectation (``type``, ``kwargs``, ``severity``, ``meta``, ``id``)."""
        return self.evaluate_all([expectation])[0]

    def evaluate_all(self, expectations: Sequence[_Expectation], progress: Tell | None = None) -> list[Outcome]:
        """Run many expectations together, in as few passes over the file as they need."""
        stated = expectations
        expectations = [with_times(expectation, self._types) for expectation in stated]
        found: dict[int, Outcome] = {}
        rules: dict[int, Rule] = {}
        for number, expectation in enumerate(expectations):
            problem = self._problem(expectation)
            rule = None if problem else compile_expectation(expectation, self._table)
            if problem:
                found[number] = Outcome(expectation, "error", error=problem)
            elif rule is not None:
                rules[number] = rule
        others = len(expectations) - len(found) - len(rules)
        told = _Told(progress, self.row_count, others)
        if rules:
            found.update(self._compiled(expectations, rules, told))
        for number, expectation in enumerate(expectations):
            if number not in found:
                told.other(expectation["type"])
                found[number] = self._others.evaluate(expectation)
        return [replace(found[number], expectation=expectation) for number, expectation in enumerate(stated)]

    def _problem(self, expectation: _Expectation) -> str | None:
        if expectation["type"] not in COMPILERS:
            # Great Expectations knows first whether there is such a kind, and is asked for the rest as well.
            return None
        return next(obstacles(expectation, self._types.keys()), None)

    def _compiled(
        self, expectations: Sequence[_Expectation], rules: Mapping[int, Rule], told: _Told
    ) -> dict[int, Outcome]:
        with connect(self._work) as connection:
            passes = Passes(self._table, connection, told.passes)
            outcomes = passes.outcomes([(expectations[number], rule) for number, rule in rules.items()])
        return {number: outcome for number, outcome in zip(rules, outcomes, strict=True) if outcome is not None}


class _Told:
    """Counts passes over the rows for who wants to know how far the work is."""

    def __init__(self, tell: Tell | None, row_count: int, others: int) -> None:
        self._tell = tell
        self._row_count = row_count
        self._others = others
        self._passes = self._finished_others = 0

    def passes(self, done: int, total: int, message: str) -> None:
        self._passes = total
        self._say(done, total + self._others, message)

    def other(self, kind: str) -> None:
        """Tell that an expectation is about to go through Great Expectations; that of some was not known before."""
        done = self._passes + self._finished_others
        self._finished_others += 1
        total = self._passes + max(self._others, self._finished_others)
        self._say(done, total, f"{kind}, through Great Expectations")

    def _say(self, done: int, total: int, message: str) -> None:
        if self._tell is not None:
            self._tell(done * self._row_count, total * self._row_count, message)
