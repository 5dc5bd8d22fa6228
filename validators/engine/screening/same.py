"""Rows that are the same in every feature: repeated ones, and those with another label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from validators.engine.screening.base import Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.chance import expected_twins
from validators.engine.screening.labels import NO_TARGET
from validators.engine.screening.screened import CONTENT_ROLES, NUMBER_TYPES, Screened
from validators.engine.validation import text_of
from workers.statistics import wilson
from workers.words import counted, share_with_interval

#: Chance may explain no more than this share of the rows that are found, or there is nothing to tell.
CHANCE_SHARE = 0.5
_LONGEST_LABEL = 40


class ExactDuplicates(Detector):
    """Rows that come again with the same features and label, or that training and evaluation data share.

    How: a hash of all features, by DuckDB, and the rows of equal hashes compared value by value; ids, times, parts and
    what was derived at import are left out. Within a version the label has to be the same, too; between two it does
    not. What rows of independent columns would share by chance is estimated on a sample (the share of equal pairs of
    each column, multiplied) and told; where that explains half of what was found, there is nothing to tell.

    Signs of high risk: any row that is both in training and in evaluation data: every number measured on it is too good
    (Barz, Denzler, Do We Train on Test Data?, 2020).

    What it does not show: rows of one person or object with different values. Columns that depend on each other agree
    more often by chance than is estimated.
    """

    entry = ENTRIES["exact_duplicates"]

    def run(self, context: ScreeningContext) -> Detection:
        data, other = context.data, context.against
        names, problem = shared_features(data, other)
        if problem:
            return not_applicable(problem)
        if other is None and data.schema.target in data.names:
            names = [*names, str(data.schema.target)]
        found, n = _find_twins(data, other, names), data.count
        context.tell(0.7)
        expected = expected_twins(data, other, names, context.generator)
        share = wilson(found, n)
        if found and expected >= CHANCE_SHARE * found:
            return not_applicable(
                f"Rows of so few possible values are the same by chance: about {expected:,.0f} of {n:,} would be if "
                f"the columns were independent, and {found:,} are.",
                expected_by_chance=expected,
            )
        self._keep(context)
        verb = (
            f"{'is' if found == 1 else 'are'} also in {other.ref}"
            if other
            else f"{'repeats' if found == 1 else 'repeat'} an earlier one"
        )
        sentence = (
            f"{counted(found, 'row')} of {n:,} ({share_with_interval(share)}) {verb}; by chance "
            f"about {expected:,.1f} would."
            if found
            else f"No row of {n:,} {'is also in ' + other.ref if other else 'repeats an earlier one'}."
        )
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=found,
            share=share,
            detail={"compared_columns": len(names), "expected_by_chance": expected},
        )

    @staticmethod
    def _keep(context: ScreeningContext) -> None:
        """Keep the rows of the table ``twins``, a batch at a time: all rows may have one."""
        other = context.against
        where = f"of {other.ref} in every feature" if other else "before it in every feature and the label"
        for batch in context.data.stream("SELECT row, first FROM twins ORDER BY row"):
            reasons = [f"The same as row {first:,} {where}." for first in batch.column(1).to_pylist()]
            context.rows.keep(batch.column(0).to_numpy(), scores=np.ones(len(reasons)), reasons=reasons)


class ConflictingLabels(Detector):
    """Rows of the same features with another label: at least one of the labels is wrong, or a feature is missing.

    How: as for repeated rows, over the features alone, and the labels of equal rows compared. No model can be right on
    all of them: their share bounds the accuracy that can be reached.

    Signs of high risk: conflicts between classes that people mix up, or in rows of one source.

    What it does not show: which of the labels is right. Rows of few possible values differ in their label by nature.
    """

    entry = ENTRIES["conflicting_labels"]

    def run(self, context: ScreeningContext) -> Detection:
        data, other = context.data, context.against
        target = data.target
        if target is None or target.why_not:
            return not_applicable(target.why_not if target else NO_TARGET)
        if other is not None and other.schema.target != target.name:
            return not_applicable(f"{other.ref} has no target named {target.name!r}.")
        names, problem = shared_features(data, other)
        if problem:
            return not_applicable(problem)
        expected = expected_twins(data, other, names, context.generator)
        found, n = _find_conflicts(data, other, names, target.name), data.count
        context.tell(0.9)
        if found and expected >= CHANCE_SHARE * found:
            return not_applicable(
                f"Rows of so few possible values share their features by chance: about {expected:,.0f} of {n:,} would "
                "if the columns were independent; that their labels differ says nothing.",
                expected_by_chance=expected,
            )
        where = f" of {other.ref}" if other else ""
        self._keep(context, where)
        share = wilson(found, n)
        sentence = (
            f"{counted(found, 'row')} of {n:,} ({share_with_interval(share)}) "
            f"{'has' if found == 1 else 'have'} the features of another row{where} and another label."
            if found
            else f"No two rows{' of the two versions' if other else ''} have the same features and different labels."
        )
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=found,
            share=share,
            detail={"compared_columns": len(names), "expected_by_chance": expected},
        )

    @staticmethod
    def _keep(context: ScreeningContext, where: str) -> None:
        """Keep the rows of the table ``conflicts``, a batch at a time."""
        for batch in context.data.stream("SELECT row, own, twin, theirs FROM conflicts ORDER BY row"):
            reasons = [
                f"Labelled {text_of(own)[:_LONGEST_LABEL]!r}; row {twin:,}{where} has the same features and the label "
                f"{text_of(label)[:_LONGEST_LABEL]!r}."
                for own, twin, label in zip(*(column.to_pylist() for column in batch.columns[1:]), strict=True)
            ]
            context.rows.keep(batch.column(0).to_numpy(), scores=np.ones(len(reasons)), reasons=reasons)


def shared_features(data: Screened, other: Screened | None) -> tuple[list[str], str]:
    """Return the features by which rows are compared, or why they cannot be."""
    names = data.columns(roles=CONTENT_ROLES)
    if not names or not data.count:
        return [], "No column has the role `feature`, or there are no rows to compare."
    if other is not None:
        missing = [name for name in names if name not in other.names or name not in other.schema.columns]
        if missing:
            return [], f"{other.ref} lacks the column {missing[0]!r}, so that rows cannot be compared."
        unlike = [name for name in names if not _comparable(data, other, name)]
        if unlike:
            kinds = f"{data.described(unlike[0]).type} here and {other.described(unlike[0]).type} in {other.ref}"
            return [], f"The column {unlike[0]!r} is {kinds}, so that rows cannot be compared."
    return names, ""


def _comparable(data: Screened, other: Screened, name: str) -> bool:
    here, there = data.described(name), other.described(name)
    return (here.type == there.type and here.shape == there.shape) or (
        here.type in NUMBER_TYPES and there.type in NUMBER_TYPES and here.shape == there.shape
    )


def _values(data: Screened, names: Sequence[str]) -> str:
    """Return columns for a SELECT as ``v0, v1, ...``, numbers of one width, so that two versions hash alike."""
    parts = []
    for place, name in enumerate(names):
        column = data.place(name)
        is_number = data.described(name).type in NUMBER_TYPES and data.is_scalar(name)
        parts.append(f"{f'CAST({column} AS DOUBLE)' if is_number else column} AS v{place}")
    return ", ".join(parts)


def _keys(data: Screened, names: Sequence[str], table: str) -> None:
    """Make a temporary table of each row's number and the hash of its columns."""
    columns = ", ".join(f"v{place}" for place in range(len(names)))
    data.run(f"DROP TABLE IF EXISTS {table}")
    data.run(
        f"CREATE TEMP TABLE {table} AS SELECT row, hash({columns}) AS key "
        f"FROM (SELECT row, {_values(data, names)} FROM {data.relation})"
    )


def _repeated(data: Screened, names: Sequence[str], more: str = "") -> str:
    """Return a SELECT of the rows whose hash comes again, with their columns and ``more``."""
    return (
        f"SELECT row, {_values(data, names)}{more} FROM {data.relation} WHERE row IN "
        "(SELECT row FROM own WHERE key IN (SELECT key FROM own GROUP BY key HAVING count(*) > 1))"
    )


def _find_twins(data: Screened, other: Screened | None, names: Sequence[str]) -> int:
    """Make a temporary table ``twins`` of the rows that have one and the first row that is the same; return how many.

    The connection holds what it can and spills the rest, so that it may be all rows.
    """
    found = _twins_within(data, names) if other is None else _twins_between(data, other, names)
    data.run(f"CREATE OR REPLACE TEMP TABLE twins AS {found}")
    return int(data.one("SELECT count(*) FROM twins")[0])


def _twins_within(data: Screened, names: Sequence[str]) -> str:
    """Return a SELECT of the rows that repeat an earlier one, and the first such row."""
    _keys(data, names, "own")
    columns = ", ".join(f"v{place}" for place in range(len(names)))
    return (
        f"SELECT row, first FROM (SELECT row, min(row) OVER (PARTITION BY {columns}) AS first "
        f"FROM ({_repeated(data, names)})) WHERE row > first"
    )


def _shared_rows(data: Screened, other: Screened, names: Sequence[str], more: tuple[str, str] = ("", "")) -> str:
    """Return a SELECT of the rows of both versions whose hash is in both, with ``is_other``."""
    _keys(data, names, "own")
    _keys(other, names, "theirs")
    return (
        f"SELECT row, false AS is_other, {_values(data, names)}{more[0]} FROM {data.relation} "
        "WHERE row IN (SELECT row FROM own WHERE key IN (SELECT key FROM theirs)) UNION ALL "
        f"SELECT row, true, {_values(other, names)}{more[1]} FROM {other.relation} "
        "WHERE row IN (SELECT row FROM theirs WHERE key IN (SELECT key FROM own))"
    )


def _twins_between(data: Screened, other: Screened, names: Sequence[str]) -> str:
    """Return a SELECT of the rows that are also in the other version, and the first such row there."""
    columns = ", ".join(f"v{place}" for place in range(len(names)))
    return (
        "SELECT row, first FROM (SELECT row, is_other, min(row) FILTER (WHERE is_other) "
        f"OVER (PARTITION BY {columns}) AS first FROM ({_shared_rows(data, other, names)})) "
        "WHERE NOT is_other AND first IS NOT NULL"
    )


def _find_conflicts(data: Screened, other: Screened | None, names: Sequence[str], target: str) -> int:
    """Make a temporary table ``conflicts`` and return how many rows it has.

    Each has the number of a row, its label, the number of a row with the same features, and its other label.
    """
    columns = ", ".join(f"v{place}" for place in range(len(names)))
    label = f", {data.place(target)} AS label"
    if other is None:
        _keys(data, names, "own")
        inner, other_row = _repeated(data, names, label), "row"
        kept = "label IS NOT NULL"
    else:
        label_type = (
            "CAST({} AS VARCHAR) AS label"
            if data.described(target).type != other.described(target).type
            else "{} AS label"
        )
        labels = tuple(", " + label_type.format(version.place(target)) for version in (data, other))
        inner, other_row = _shared_rows(data, other, names, (labels[0], labels[1])), "CASE WHEN is_other THEN row END"
        kept = "label IS NOT NULL AND NOT is_other"
    seen = "" if other is None else " FILTER (WHERE is_other)"
    data.run(
        "CREATE OR REPLACE TEMP TABLE conflicts AS "
        "SELECT row, label AS own, CASE WHEN label <> low_label THEN low_row ELSE high_row END AS twin, "
        "CASE WHEN label <> low_label THEN low_label ELSE high_label END AS theirs FROM (SELECT *, "
        f"min(label){seen} OVER same AS low_label, max(label){seen} OVER same AS high_label, "
        f"arg_min({other_row}, label){seen} OVER same AS low_row, "
        f"arg_max({other_row}, label){seen} OVER same AS high_row "
        f"FROM ({inner}) WINDOW same AS (PARTITION BY {columns})) "
        f"WHERE {kept} AND (label <> low_label OR label <> high_label)"
    )
    return int(data.one("SELECT count(*) FROM conflicts")[0])
