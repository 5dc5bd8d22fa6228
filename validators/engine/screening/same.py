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

    How: two hashes of all features, by DuckDB, of 64 bits each: that rows which differ share both happens once in 1e20
    tables of 50 million rows (arrays: once in 10,000, since both begin with one hash of the array). Ids, times, parts
    and what was derived at import are left out. Within a version the label has to be the same, too; between two not.
    What rows of independent columns would share by chance is estimated on a sample (the share of equal pairs of each
    column, multiplied) and told; where that explains half of what was found, there is nothing to tell.

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
        found, n = _find_twins(context, names), data.count
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
        reason = "format('The same as row {:,} ', first) || ?"
        for batch in context.data.stream(f"SELECT row, {reason} FROM twins ORDER BY row", [f"{where}."]):
            scores = np.ones(batch.num_rows)
            context.rows.keep(batch.column(0).to_numpy(), scores=scores, reasons=batch.column(1))


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
        found, n = _find_conflicts(context, names, target.name), data.count
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


def _keys(context: ScreeningContext, names: Sequence[str], target: str | None = None) -> str:
    """Make the temporary tables ``own`` and ``theirs``, see ``_keyed``.

    Returns:
        The table in which a twin is looked for: ``own`` where the version is alone.
    """
    data, other = context.data, context.against
    data.run(f"CREATE OR REPLACE TEMP TABLE own AS {_keyed(data, other, names, target)}")
    context.tell(0.25)
    if other is None:
        return "own"
    data.run(f"CREATE OR REPLACE TEMP TABLE theirs AS {_keyed(other, data, names, target)}")
    context.tell(0.5)
    return "theirs"


def _keyed(data: Screened, other: Screened | None, names: Sequence[str], target: str | None) -> str:
    """Return a SELECT of the number of each row, the two hashes of its columns and, with a target, its label.

    The second hash reads the columns from the last to the first and puts a letter before each text, so that values
    which share the first by chance do not share the second. Where the two versions store them otherwise, numbers are
    doubles, and labels of two types are texts. Rows without a label are left out.
    """
    values = [_alike(data, other, name) for name in names]
    salted = [f"'t' || {value}" if data.is_text(name) else value for name, value in zip(names, values, strict=True)]
    keys = f"hash({', '.join(values)}) AS key, hash({', '.join(reversed(salted))}, 1) AS second"
    if target is None:
        return f"SELECT row, {keys} FROM {data.relation}"
    is_one_type = other is None or data.described(target).type == other.described(target).type
    label = data.place(target) if is_one_type else f"CAST({data.place(target)} AS VARCHAR)"
    return f"SELECT row, {keys}, {label} AS label FROM {data.relation} WHERE label IS NOT NULL"


def _alike(data: Screened, other: Screened | None, name: str) -> str:
    """Return a column for a SELECT; numbers that the other version stores otherwise would have other hashes."""
    column, is_scalar = data.place(name), data.is_scalar(name)
    if other is None or data.stored_as(name) == other.stored_as(name):
        return column
    if is_scalar and data.described(name).type not in NUMBER_TYPES:
        return column
    return f"CAST({column} AS {'DOUBLE' if is_scalar else 'DOUBLE[]'})"


def _find_twins(context: ScreeningContext, names: Sequence[str]) -> int:
    """Make a temporary table ``twins`` of the rows that have one and the first row that is the same; return how many.

    The connection holds what it can and spills the rest, so that it may be all rows.
    """
    among = _keys(context, names)
    context.data.run(
        "CREATE OR REPLACE TEMP TABLE twins AS SELECT row, first FROM own JOIN "
        f"(SELECT key, second, min(row) AS first FROM {among} GROUP BY key, second) USING (key, second)"
        f"{' WHERE row > first' if among == 'own' else ''}"
    )
    return int(context.data.one("SELECT count(*) FROM twins")[0])


def _find_conflicts(context: ScreeningContext, names: Sequence[str], target: str) -> int:
    """Make a temporary table ``conflicts`` and return how many rows it has.

    Each has the number of a row, its label, the first row with the same features and another label, and that label.
    """
    among = _keys(context, names, target)
    context.data.run(
        "CREATE OR REPLACE TEMP TABLE conflicts AS WITH "
        "labels AS (SELECT key, second, min(label) AS low, max(label) AS high "
        f"FROM {among} GROUP BY key, second{' HAVING low <> high' if among == 'own' else ''}), "
        "met AS (SELECT row, key, second, label, CASE WHEN label <> low THEN low ELSE high END AS theirs "
        "FROM own JOIN labels USING (key, second) WHERE label <> low OR label <> high) "
        "SELECT met.row, met.label AS own, min(other.row) AS twin, met.theirs FROM met JOIN "
        f"{among} AS other ON other.key = met.key AND other.second = met.second AND other.label = met.theirs "
        "GROUP BY met.row, met.label, met.theirs"
    )
    return int(context.data.one("SELECT count(*) FROM conflicts")[0])
