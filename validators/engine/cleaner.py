"""A cleaning under way: a plan meets a table, and says which rows leave, which cells change and which are flagged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine import wording
from validators.engine.cell_texts import values_as_text
from validators.engine.edits import CHANGES, ColumnEdits, changes_of, rows_within
from validators.engine.expectations import Outcome
from validators.engine.judging import Told, judge
from validators.engine.outputs import FLAGS
from validators.engine.pinning import with_bounds
from validators.engine.plans import (
    DEFAULT_MAX_FRACTION,
    EDITING,
    REMOVING,
    Rule,
    Step,
    column_of,
    columns_of_key,
    rule_of,
)
from validators.engine.removals import Removals, Rows, twins
from validators.engine.suites import columns_of
from workers.datasets.duck import connect
from workers.datasets.reading import read_batches, shape_of
from workers.protocol import JobError, digest_of_json

#: The share of all rows that may leave in all steps together.
MAX_REMOVED_FRACTION = 0.5
#: Rows that the refusal of a rule that must hold names.
_EXAMPLES = 5


@dataclass
class Cleaner:
    """What a plan does to a table. ``judge``, then ``decide``, then ``edit`` batch by batch.

    ``plan`` becomes the pinned plan as it goes; steps are named by their numbers in it. ``counts`` has the rows or
    cells that each step took.
    """

    path: Path
    work: Path
    schema: pa.Schema
    row_count: int
    plan: list[Step]
    removals: Removals
    edits: dict[str, ColumnEdits] = field(default_factory=dict)
    flags: dict[int, Rows] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    _outcomes: dict[str, Outcome] = field(default_factory=dict)
    _left: Rows = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @classmethod
    def of(cls, path: Path, work: Path, plan: Sequence[Step]) -> Self:
        schema, row_count = shape_of(path)
        return cls(path, work, schema, row_count, list(plan), Removals(row_count))

    @property
    def rows_out(self) -> int:
        return self.row_count - len(self._left)

    def judge(self, suite: Mapping[str, Any] | None, told: Told) -> list[Outcome]:
        """Pin the bounds of rules and judge every rule on the table as it came in; return the outcomes of the suite."""
        for number, step in enumerate(self.plan):
            if step["action"] not in EDITING:
                self.plan[number] = self._with_bounds(step)
        expectations = [] if suite is None else list(suite["expectations"])
        rules = {key_of(rule): rule for rule in (rule_of(step) for step in self.plan) if rule is not None}
        beside = {key: rule for key, rule in rules.items() if key not in set(map(key_of, expectations))}
        outcomes = judge(self.path, [*expectations, *beside.values()], work=self.work, told=told)
        self._outcomes = {key_of(outcome.expectation): outcome for outcome in outcomes}
        return outcomes[: len(expectations)]

    def rules_beside(self, suite: Mapping[str, Any] | None) -> list[Rule]:
        """Return the rules of the plan that are not in the suite, each once."""
        known = set() if suite is None else set(map(key_of, suite["expectations"]))
        rules = {key_of(rule): rule for rule in (self.rule_to_prove(step) for step in self.plan) if rule is not None}
        return [rule for key, rule in rules.items() if key not in known]

    @staticmethod
    def rule_to_prove(step: Step) -> Rule | None:
        """Return the rule that a step is to make hold: the one it states, or that of its pinned bounds."""
        rule: Rule | None = step.get("rule")
        return rule_of(step) if rule is None else rule

    def outcome_of(self, step: Step) -> Outcome | None:
        """Return what came of the rule by which a step judged the table, before the cleaning."""
        rule = rule_of(step)
        return None if rule is None else self._outcomes[key_of(rule)]

    def decide(self) -> None:
        """Say which rows leave, how cells will change and which rows are flagged.

        Raises:
            JobError: a rule that must hold does not, a rule cannot be run, a step takes too many rows, or a value that
                a step needs cannot be taken from the data.
        """
        for number, step in enumerate(self.plan):
            if step["action"] == "fail":
                self._demand_met(number, step)
            elif step["action"] in REMOVING:
                rows = self._failing(step)
                self.removals.remove(number, rows)
                self._count(number, len(rows), default=DEFAULT_MAX_FRACTION)
        self._dedupe()
        self._left = self.removals.rows
        self._demand_rows_left()
        stays = self.removals.stays
        for number, step in enumerate(self.plan):
            if step["action"] in EDITING:
                self._add_edit(number, step, stays)
            elif step["action"] == "flag":
                rows = self._failing(step)
                self.flags[number] = rows[stays[rows]]
                self._count(number, len(self.flags[number]), default=None)

    def edit(self, batch: pa.RecordBatch, start: int, stays: NDArray[np.bool_]) -> tuple[pa.RecordBatch, pa.Table]:
        """Return a batch as it becomes, and its changed cells in the order of the rows."""
        changes = []
        for name, edits in self.edits.items():
            place = batch.schema.get_field_index(name)
            before = batch.column(place)
            after, changed = edits.apply(before, start, stays)
            for edit, places in changed:
                self.counts[edit.number] = self.counts.get(edit.number, 0) + len(places)
            changes += changes_of(name, before, after, changed, start)
            batch = batch.set_column(place, batch.schema.field(place), after)
        together = pa.concat_tables(changes) if changes else CHANGES.empty_table()
        order = np.argsort(together.column("row").to_numpy(), kind="stable")
        return batch, together.take(pa.array(order))

    def flags_between(self, start: int, stop: int) -> pa.Table:
        """Return the flagged rows of a batch, in order, see ``FLAGS``."""
        tables = []
        for number, flagged in self.flags.items():
            first, last = np.searchsorted(flagged, (start, stop))
            rows, step = flagged[first:last], self.plan[number]
            if len(rows):
                columns = [
                    rows,
                    rows - np.searchsorted(self._left, rows),
                    pa.repeat(number, len(rows)),
                    pa.repeat(step.get("expectation", ""), len(rows)),
                    pa.repeat(f"Not met: {wording.words_of_rule(step)}.", len(rows)),
                ]
                tables.append(pa.table(columns, schema=FLAGS))
        together = pa.concat_tables(tables) if tables else FLAGS.empty_table()
        order = np.argsort(together.column("row").to_numpy(), kind="stable")
        return together.take(pa.array(order))

    def demand_limits_of_edits(self) -> None:
        """Refuse the cleaning when a step changed more cells than it may."""
        for number, step in enumerate(self.plan):
            if step["action"] in EDITING:
                self._count(number, self.counts.get(number, 0), default=None)

    def _with_bounds(self, step: Step) -> Step:
        rule = step.get("rule")
        name = step["column"] if rule is None and "bounds" in step else (rule or {}).get("kwargs", {}).get("column")
        if rule is None and step.get("bounds") is not None:
            self._demand_columns([str(name)])
        if name not in self.schema.names:
            return step
        return with_bounds(step, self.path, self.schema.field(name).type, lambda array, _: array)

    def _add_edit(self, number: int, step: Step, stays: NDArray[np.bool_]) -> None:
        name = column_of(step)
        self._demand_columns([name])
        rows = self._failing(step) if step.get("rule") else None
        edits = self.edits.setdefault(name, ColumnEdits(name))
        data_type = self.schema.field(name).type
        self.plan[number] = edits.add(number, step, rows, path=self.path, data_type=data_type, stays=stays)

    def _dedupe(self) -> None:
        steps = [(number, step) for number, step in enumerate(self.plan) if step["action"] == "dedupe"]
        if not steps:
            return
        with connect(self.work) as connection:
            for number, step in steps:
                columns = columns_of_key(step)
                self._demand_columns(columns)
                among = self._failing(step) if step.get("rule") else None
                gone = self.removals.rows
                rows, kept = twins(connection, self.path, self.schema, columns, gone=gone, among=among)
                self.plan[number] = {**step, "columns": columns}
                self.removals.remove_twins(number, rows, kept)
                self._count(number, len(rows), default=DEFAULT_MAX_FRACTION)

    def _failing(self, step: Step) -> Rows:
        """Return the rows that do not meet the rule of a step; none where its bounds leave nothing out."""
        outcome = self.outcome_of(step)
        if outcome is None:
            return np.empty(0, dtype=np.int64)
        if outcome.status == "error":
            raise JobError(
                "rule_cannot_run",
                f"The rule of a step ({step['action']}; {wording.words_of_rule(step)}) cannot be run: {outcome.error}",
                place=_place(step),
            )
        return outcome.rows

    def _demand_met(self, number: int, step: Step) -> None:
        rows = self._failing(step)
        self.counts[number] = len(rows)
        outcome = self.outcome_of(step)
        if outcome is None or outcome.status == "passed":
            return
        named = f"; not met by {wording.rows(len(rows))}: {self._examples(outcome)}" if len(rows) else ""
        observed = "" if len(rows) or outcome.observed is None else f"; observed: {outcome.observed}"
        raise JobError(
            "rule_not_met",
            f"The cleaning ends, since a rule that has to hold does not: {wording.words_of_rule(step)}{named}"
            f"{observed}.",
            place=_place(step),
        )

    def _examples(self, outcome: Outcome) -> str:
        columns = [name for name in columns_of(outcome.expectation["kwargs"]) if name in self.schema.names]
        rows = outcome.rows[:_EXAMPLES]
        texts: list[str | None] = []
        start = 0
        for batch in read_batches(self.path, columns=columns or None):
            places = np.flatnonzero(rows_within(rows, start, batch.num_rows))
            texts += (
                values_as_text(pa.Table.from_batches([batch]), columns, places) if columns else [None] * len(places)
            )
            start += batch.num_rows
            if len(texts) == len(rows):
                break
        shown = (
            f"row {row}: {'missing' if text is None else text[:80]}" if columns else f"row {row}"
            for row, text in zip(rows.tolist(), texts, strict=True)
        )
        return "; ".join(shown) + (", ..." if len(outcome.rows) > _EXAMPLES else "")

    def _count(self, number: int, count: int, *, default: float | None) -> None:
        self.counts[number] = count
        step = self.plan[number]
        limit = step.get("max_fraction", default)
        if limit is not None and count > limit * self.row_count:
            raise JobError(
                "too_many_rows",
                f"The step {step['action']} ({wording.words_of_rule(step)}) takes {count:,} of {self.row_count:,} "
                f"rows; at most {limit * 100:g} % may be. Look at the data, or raise `max_fraction`.",
                place=_place(step),
            )

    def _demand_rows_left(self) -> None:
        count = len(self._left)
        if count > MAX_REMOVED_FRACTION * self.row_count or count == self.row_count:
            most = max(self.counts, key=lambda number: self.counts[number], default=None)
            blame = "" if most is None else f" Most of them: {wording.words_of_rule(self.plan[most])}."
            raise JobError(
                "too_many_rows",
                f"All steps together take {count:,} of {self.row_count:,} rows; at most "
                f"{MAX_REMOVED_FRACTION * 100:g} % may leave in one cleaning.{blame} Look at the data first.",
                place="plan",
            )

    def _demand_columns(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.schema.names:
                raise JobError(
                    "column_missing",
                    f"A step is about the column {name!r}, which the data set does not have.",
                    place=name,
                )


def key_of(rule: Mapping[str, Any]) -> str:
    """Return what two rules share that expect the same."""
    return digest_of_json({"type": rule["type"], "kwargs": rule["kwargs"]})


def _place(step: Step) -> str:
    return str(step.get("expectation") or (step.get("rule") or {}).get("type") or step["action"])
