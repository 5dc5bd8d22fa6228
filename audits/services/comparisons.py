"""Compare the attributions of two versions on the same rows: paired, and never without the error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from audits.attributions import ATTRIBUTIONS_FILE, Attributions, read_attributions
from audits.attributions.arrays import Floats, finite
from audits.models import Explanation
from governance.exceptions import NotFound, StateConflict

#: Methods that estimate the same thing, so that their values may be set against each other.
_OF_ONE_KIND = frozenset({"exact", "permutation", "kernel"})
#: Two standard errors of a difference hold 95 % of what chance makes of it.
_NORMAL_95 = 1.96
MAX_ROWS = 20_000
LARGEST_ROWS = 15


@dataclass(frozen=True)
class FeatureChange:
    """One feature: the mean size of its values before and after, and the paired change with its 95 % interval.

    ``changed_share`` is the share of rows whose value moved by more than the error of both.
    """

    feature: str
    before: float
    after: float
    change: float
    low: float | None
    high: float | None
    changed_share: float

    @property
    def is_beyond_error(self) -> bool:
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class RowChange:
    """One row: its score before and after, and the feature whose value moved most, with the error of that move."""

    row: int
    id: str
    score_before: float
    score_after: float
    moved: float
    feature: str
    change: float
    error: float

    @property
    def is_beyond_error(self) -> bool:
        return abs(self.change) > _NORMAL_95 * self.error


@dataclass(frozen=True, eq=False)
class Side:
    """One output of one explanation for the rows in common: values and errors (rows, features), base (rows,)."""

    values: Floats
    errors: Floats
    base: Floats

    @classmethod
    def of(cls, attributions: Attributions, output: str, at: NDArray[np.intp]) -> Self:
        column = attributions.output_names.index(output)
        return cls(
            values=finite(attributions.values[at, :, column]),
            errors=finite(attributions.errors[at, :, column]),
            base=finite(attributions.base_values[at, column]),
        )

    @cached_property
    def scores(self) -> Floats:
        """What base and values add up to, shape (rows,)."""
        scores: Floats = self.base + self.values.sum(axis=1)
        return scores


@dataclass(frozen=True, eq=False)
class Pairs:
    """The rows that both explanations have, side by side: which they are, and what was and is added to each."""

    row_numbers: NDArray[np.integer]
    ids: tuple[str, ...]
    feature_names: tuple[str, ...]
    before: Side
    after: Side

    @cached_property
    def changes(self) -> Floats:
        """How far each value moved, shape (rows, features)."""
        changes: Floats = self.after.values - self.before.values
        return changes

    @cached_property
    def errors(self) -> Floats:
        """The standard error of each change, as if the errors of both were independent."""
        errors: Floats = np.hypot(self.before.errors, self.after.errors)
        return errors

    @cached_property
    def is_changed(self) -> NDArray[np.bool_]:
        """Whether each value moved by more than the error of both."""
        return np.asarray(np.abs(self.changes) > _NORMAL_95 * self.errors)


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two explanations of one output on the rows that both have; features and rows by change, largest first.

    ``other_output_count`` rows are left out: each is explained for its predicted class, which is another one now.
    ``changed_share`` is the share of all values that moved by more than the error of both.
    """

    first: Explanation
    second: Explanation
    output: str
    outputs: tuple[str, ...]
    row_count: int
    other_output_count: int
    changed_share: float
    features: tuple[FeatureChange, ...]
    rows: tuple[RowChange, ...]
    pairs: Pairs

    @property
    def beyond(self) -> list[str]:
        """The features that changed by more than the error."""
        return [entry.feature for entry in self.features if entry.is_beyond_error]


def compare(first: Explanation, second: Explanation, *, output: str = "") -> Comparison:
    """Set the values of the second explanation against those of the first, row by row.

    The interval of a feature's change is over rows and estimator error together. All rows of an explanation share what
    was drawn at random, so that the estimator error does not shrink with the number of rows.

    Args:
        first: of the version that came before.
        second: of the version after it.
        output: the name of an output that both explain; by default the last of them.

    Raises:
        StateConflict: they are not of the same rows, background, scale, features and kind of method; with the reasons.
        NotFound: one of them does not explain the output.
        IntegrityFailure: their files are not what their jobs write.
    """
    _demand_comparable(first, second)
    before, after = (read_attributions(found.files[ATTRIBUTIONS_FILE]) for found in (first, second))
    reasons = _misfits(before, after)
    shared = [name for name in after.output_names if name in before.output_names]
    if not shared:
        reasons.append("They have no output in common.")
    rows, at_before, at_after = np.intersect1d(before.row_numbers, after.row_numbers, return_indices=True)
    if not len(rows):
        reasons.append("They have no row in common; explain the same rows of the data set for both.")
    if reasons:
        raise _not_comparable(reasons)
    if output and output not in shared:
        raise NotFound(f"There is no output {output!r} in both explanations; there are {', '.join(shared)}.")
    name = output or shared[-1]
    is_same = _numbers(before, name)[at_before] == _numbers(after, name)[at_after]
    rows, at_before, at_after = rows[is_same], at_before[is_same], at_after[is_same]
    if not len(rows):
        raise _not_comparable([f"No row is explained for the same output in both: the {name} is another one in each."])
    if len(rows) > MAX_ROWS:
        kept = np.linspace(0, len(rows) - 1, MAX_ROWS).astype(np.intp)
        rows, at_before, at_after = rows[kept], at_before[kept], at_after[kept]
    pairs = Pairs(
        row_numbers=rows,
        ids=tuple(after.ids[at_after].tolist()),
        feature_names=after.feature_names,
        before=Side.of(before, name, at_before),
        after=Side.of(after, name, at_after),
    )
    return Comparison(
        first=first,
        second=second,
        output=name,
        outputs=tuple(shared),
        row_count=len(rows),
        other_output_count=int((~is_same).sum()),
        changed_share=float(pairs.is_changed.mean()),
        features=_feature_changes(pairs),
        rows=_row_changes(pairs),
        pairs=pairs,
    )


def _demand_comparable(first: Explanation, second: Explanation) -> None:
    reasons = [
        f"{str(found).capitalize()} has no values: its job has not ended with a result."
        for found in (first, second)
        if ATTRIBUTIONS_FILE not in found.files
    ]
    if first.pk == second.pk:
        reasons.append("They are one and the same.")
    if first.dataset_id != second.dataset_id:
        reasons.append(f"They are of other data: {first.dataset.ref} and {second.dataset.ref}.")
    if first.summary.get("background_digest") != second.summary.get("background_digest"):
        reasons.append("They compare with other background rows, so that their base values mean other things.")
    if first.summary.get("scale") != second.summary.get("scale"):
        reasons.append(f"They are on other scales: {first.summary.get('scale')} and {second.summary.get('scale')}.")
    methods = {str(found.parameters.get("method")) for found in (first, second)}
    if len(methods) > 1 and not methods <= _OF_ONE_KIND:
        reasons.append(f"Their methods estimate other things: {' and '.join(sorted(methods))}.")
    if reasons:
        raise _not_comparable(reasons)


def _misfits(before: Attributions, after: Attributions) -> list[str]:
    if before.feature_names == after.feature_names:
        return []
    count = len(set(before.feature_names) ^ set(after.feature_names))
    return [
        f"They have other features: {count:,} are in one of them only."
        if count
        else "Their features are in another order."
    ]


def _not_comparable(reasons: list[str]) -> StateConflict:
    return StateConflict("These explanations cannot be compared.", reasons=reasons)


def _numbers(attributions: Attributions, output: str) -> NDArray[np.integer]:
    return attributions.output_numbers[:, attributions.output_names.index(output)]


def _feature_changes(pairs: Pairs) -> tuple[FeatureChange, ...]:
    sizes_before, sizes_after = np.abs(pairs.before.values), np.abs(pairs.after.values)
    differences = sizes_after - sizes_before
    count, means = len(differences), differences.mean(axis=0)
    half = None
    if count > 1:
        half = _NORMAL_95 * np.hypot(differences.std(axis=0, ddof=1) / math.sqrt(count), pairs.errors.mean(axis=0))
    return tuple(
        FeatureChange(
            feature=pairs.feature_names[place],
            before=float(sizes_before[:, place].mean()),
            after=float(sizes_after[:, place].mean()),
            change=float(means[place]),
            low=None if half is None else float(means[place] - half[place]),
            high=None if half is None else float(means[place] + half[place]),
            changed_share=float(pairs.is_changed[:, place].mean()),
        )
        for place in np.argsort(-np.abs(means), kind="stable")
    )


def _row_changes(pairs: Pairs) -> tuple[RowChange, ...]:
    """Return the rows whose values moved most in all, each with the feature that moved most."""
    moved = np.abs(pairs.changes).sum(axis=1)
    changes = []
    for at in np.argsort(-moved, kind="stable")[:LARGEST_ROWS]:
        feature = int(np.argmax(np.abs(pairs.changes[at])))
        changes.append(
            RowChange(
                row=int(pairs.row_numbers[at]),
                id=pairs.ids[at],
                score_before=float(pairs.before.scores[at]),
                score_after=float(pairs.after.scores[at]),
                moved=float(moved[at]),
                feature=pairs.feature_names[feature],
                change=float(pairs.changes[at, feature]),
                error=float(pairs.errors[at, feature]),
            )
        )
    return tuple(changes)
