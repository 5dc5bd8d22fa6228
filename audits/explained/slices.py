"""Rows by what they are: what the data or the model say of them, a feature's value, another column's value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.attributions import Attributions, Columns
from audits.attributions.archive import refusing
from audits.attributions.arrays import Floats, finite
from audits.engine.captions import plain_number
from audits.explained.words import Words
from governance.exceptions import NotFound

#: A feature with no more values than this is one of kinds, any other one of sizes.
MAX_KINDS = 12
PREDICTED = "predicted"
TARGET = "target"
_QUARTERS = ("q1", "q2", "q3", "q4")


@dataclass(frozen=True)
class Kinds:
    """The kinds of rows that one slice knows.

    Attributes:
        offered: the key of each kind, as an address has it, and its words.
        of_row: the place of each row's kind among those offered, -1 for none.
    """

    offered: tuple[tuple[str, str], ...]
    of_row: NDArray[np.intp]


@dataclass(frozen=True)
class Slices:
    """The slices of one explanation; ``columns`` are those of the data set that are no features, where they were kept.

    A name that stands for several things is taken as: the target, the prediction, a feature, another column.
    """

    attributions: Attributions
    words: Words
    columns: Columns | None

    def names(self, features: Sequence[str]) -> list[str]:
        """Return by what rows may be sliced, of the features only the given ones."""
        others = () if self.columns is None else self.columns.names
        return list(dict.fromkeys((TARGET, PREDICTED, *others, *features)))

    def rows(self, name: str, value: str) -> NDArray[np.intp]:
        """Return the places of the rows of one kind.

        Raises:
            NotFound: there is no such slice, or no such kind in it.
        """
        kinds = self.kinds(name)
        keys = [key for key, _ in kinds.offered]
        if value not in keys:
            known = ", ".join(keys) or "none"
            raise NotFound(f"The slice {name!r} has no value {value!r}; it has {known}.")
        return np.flatnonzero(kinds.of_row == keys.index(value))

    def kinds(self, name: str) -> Kinds:
        """Return the kinds by which a slice parts the rows.

        Raises:
            NotFound: rows cannot be sliced by this.
            IntegrityFailure: the column holds what no explanation job writes.
        """
        attributions = self.attributions
        if name == PREDICTED:
            return _by_value(attributions.predicted, {n: self.words.class_name(n) for n in _classes(attributions)})
        if name == TARGET:
            values = [str(value) for value in np.unique(attributions.targets) if value]
            words = {value: self.words.target(value) for value in values} if len(values) <= MAX_KINDS else {}
            return _by_value(attributions.targets, words)
        if name in attributions.feature_names:
            return _of_numbers(finite(attributions.data[:, attributions.feature_names.index(name)]))
        if self.columns is not None and name in self.columns.names:
            return _of_column(self.columns, self.columns.names.index(name))
        raise NotFound(f"Rows cannot be sliced by {name!r}; name a feature, another column, {TARGET} or {PREDICTED}.")


def _classes(attributions: Attributions) -> list[int]:
    return [int(number) for number in np.unique(attributions.predicted) if number >= 0]


def _by_value(values: NDArray[np.generic], words: dict[int, str] | dict[str, str]) -> Kinds:
    of_row = np.full(len(values), -1, dtype=np.intp)
    for place, value in enumerate(words):
        of_row[values == value] = place
    return Kinds(tuple((str(value), said) for value, said in words.items()), of_row)


def _of_column(columns: Columns, place: int) -> Kinds:
    """Return the kinds of another column; rows of which the data set has no value are a kind with an empty key."""
    values, labels = np.asarray(columns.values[:, place], dtype=np.float64), columns.labels[place]
    is_missing = np.isnan(values)
    with refusing("columns"):
        known = values[~is_missing]
        if not np.isfinite(known).all():
            raise ValueError("they hold values that are not numbers")
        if labels and not np.isin(known, np.arange(len(labels))).all():
            raise ValueError("they name labels that are not there")
    of_known = _of_labels(known.astype(np.intp), labels) if labels else _of_numbers(known)
    of_row = np.full(len(values), len(of_known.offered), dtype=np.intp)
    of_row[~is_missing] = of_known.of_row
    missing = (("", "no value"),) if is_missing.any() else ()
    return Kinds((*of_known.offered, *missing), of_row)


def _of_labels(codes: NDArray[np.intp], labels: Sequence[str]) -> Kinds:
    """Return the labels that rows have, in the order of the alphabet."""
    taken = sorted(set(np.unique(codes).tolist()), key=lambda code: labels[code])
    place_of = np.full(len(labels), -1, dtype=np.intp)
    place_of[taken] = np.arange(len(taken))
    return Kinds(tuple((labels[code], labels[code]) for code in taken), place_of[codes])


def _of_numbers(data: Floats) -> Kinds:
    """Return the values of a column of few, each a kind, or the quarters of one of many."""
    values, of_row = np.unique(data, return_inverse=True)
    if len(values) <= MAX_KINDS:
        return Kinds(tuple((_key(value), plain_number(value)) for value in values.tolist()), of_row)
    edges = np.quantile(data, (0.25, 0.5, 0.75))
    low, middle, high = (plain_number(edge) for edge in edges.tolist())
    words = (f"up to {low}", f"{low} to {middle}", f"{middle} to {high}", f"above {high}")
    return Kinds(tuple(zip(_QUARTERS, words, strict=True)), np.searchsorted(edges, data, side="left"))


def _key(value: float) -> str:
    """Write a value so that an address can name it and no two of a feature are written alike."""
    return f"{value:.17g}"
