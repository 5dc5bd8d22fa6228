"""The rows and the one output that a page shows: chosen, and never more of them than a page can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from audits.attributions import Attributions
from audits.attributions.arrays import finite
from audits.engine.captions import plain_number
from audits.explained.asked import Asked
from audits.explained.words import PREDICTED_CLASS, Words
from governance.exceptions import NotFound

#: Values that are read for a page; of more than that an even part of the rows is shown, and said so.
MAX_VALUES = 16_000_000
#: A feature with no more values than this is one of kinds, any other one of sizes.
MAX_KINDS = 12
PREDICTED = "predicted"
TARGET = "target"
_QUARTERS = ("q1", "q2", "q3", "q4")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Output:
    """One choice of output: ``key`` stands in the address; ``column`` is None for each row's predicted class."""

    key: str
    name: str
    column: int | None


@dataclass(frozen=True)
class Shown:
    """What every chart of a page is made of: one output's attributions of some rows, in memory.

    Attributes:
        places: which rows of the file these are, shape (rows,).
        available: rows that were asked for; more than are here where that is too many for a page.
        values, errors, data: shape (rows, features).
        base: shape (rows,).
        columns: which explained output each row is shown for, shape (rows,).
    """

    attributions: Attributions
    output: Output
    places: NDArray[np.intp]
    available: int
    values: Floats
    errors: Floats
    data: Floats
    base: Floats
    columns: NDArray[np.intp]

    @property
    def row_count(self) -> int:
        return len(self.places)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return self.attributions.feature_names

    @cached_property
    def scores(self) -> Floats:
        """What base and values add up to, shape (rows,)."""
        scores: Floats = self.base + self.values.sum(axis=1)
        return scores

    def feature(self, name: str) -> int:
        """Return the place of a feature.

        Raises:
            NotFound: there is no such feature.
        """
        if name not in self.feature_names:
            raise NotFound(f"There is no feature {name!r} in this explanation.")
        return self.feature_names.index(name)


def outputs_of(attributions: Attributions) -> list[Output]:
    """Return the outputs that may be chosen, the page's own choice first.

    Of two outputs that is the second, of an image each row's predicted class, else the one that most rows are given.
    """
    names = attributions.output_names
    columns = [Output(str(column), name, column) for column, name in enumerate(names)]
    if len(columns) == 1 or (attributions.output_numbers != attributions.output_numbers[0]).any():
        return columns
    numbers = attributions.output_numbers[0]
    given = attributions.predicted[np.isin(attributions.predicted, numbers)]
    if not len(given):
        return columns
    by_row = Output(PREDICTED, PREDICTED_CLASS, None)
    if attributions.is_image:
        return [by_row, *columns]
    counts = [int((given == number).sum()) for number in numbers]
    first = 1 if len(columns) == 2 else int(np.argmax(counts))
    return [columns[first], *columns[:first], *columns[first + 1 :], by_row]


def output_asked(attributions: Attributions, asked: Asked) -> Output:
    """Return the output that the address names.

    Raises:
        NotFound: it was not explained.
    """
    outputs = outputs_of(attributions)
    found = next((output for output in outputs if output.key == asked.output), None)
    if found is None and asked.output:
        offered = ", ".join(f"{output.key} ({output.name})" for output in outputs[:20])
        raise NotFound(f"There is no explained output {asked.output!r}; there are {offered}.")
    return found or outputs[0]


def shown(attributions: Attributions, words: Words, asked: Asked) -> Shown:
    """Return what the address asks for.

    Raises:
        NotFound: the output or the slice is not there.
        IntegrityFailure: the values are not numbers.
    """
    output = output_asked(attributions, asked)
    places = rows_of_slice(attributions, words, asked)
    _, features, outputs = attributions.values.shape
    most = max(1, MAX_VALUES // (features * outputs))
    available = len(places)
    if available > most:
        places = places[np.linspace(0, available - 1, most).astype(np.intp)]
    columns = _columns(attributions, output, places)
    whole = slice(None) if len(places) == attributions.row_count else places
    return Shown(
        attributions=attributions,
        output=output,
        places=places,
        available=available,
        values=finite(_taken(attributions.values[whole], columns)),
        errors=finite(_taken(attributions.errors[whole], columns)),
        data=finite(attributions.data[whole]),
        base=finite(np.take_along_axis(attributions.base_values[whole], columns[:, None], axis=1)[:, 0]),
        columns=columns,
    )


def rows_of_slice(attributions: Attributions, words: Words, asked: Asked) -> NDArray[np.intp]:
    """Return the places of the rows of the slice that the address names, or of all.

    Raises:
        NotFound: there is no such slice, or no row in it.
    """
    if not asked.slice:
        return np.arange(attributions.row_count)
    kinds = dict(kinds_of(attributions, words, asked.slice))
    if asked.value not in kinds:
        raise NotFound(f"The slice {asked.slice!r} has no value {asked.value!r}; it has {', '.join(kinds) or 'none'}.")
    return np.flatnonzero(_is_of_kind(attributions, asked.slice, asked.value))


def kinds_of(attributions: Attributions, words: Words, name: str) -> Iterator[tuple[str, str]]:
    """Yield the values by which rows may be sliced, as the address has them and as people read them.

    Raises:
        NotFound: rows cannot be sliced by this.
    """
    if name == PREDICTED:
        yield from ((str(n), words.class_name(int(n))) for n in np.unique(attributions.predicted) if n >= 0)
    elif name == TARGET:
        values = np.unique(attributions.targets)
        if len(values) <= MAX_KINDS:
            yield from ((str(value), words.target(str(value))) for value in values if value)
    elif name in attributions.feature_names:
        data = finite(attributions.data[:, attributions.feature_names.index(name)])
        values = np.unique(data)
        if len(values) <= MAX_KINDS:
            yield from ((_key(value), plain_number(value)) for value in values.tolist())
        else:
            low, middle, high = (plain_number(edge) for edge in np.quantile(data, (0.25, 0.5, 0.75)).tolist())
            yield from zip(
                _QUARTERS,
                (f"up to {low}", f"{low} to {middle}", f"{middle} to {high}", f"above {high}"),
                strict=True,
            )
    else:
        raise NotFound(f"Rows cannot be sliced by {name!r}; name a feature, {TARGET} or {PREDICTED}.")


def _key(value: float) -> str:
    """Write a value so that an address can name it and no two of a feature are written alike."""
    return f"{value:.17g}"


def _is_of_kind(attributions: Attributions, name: str, value: str) -> NDArray[np.bool_]:
    if name == PREDICTED:
        return np.asarray(attributions.predicted == int(value))
    if name == TARGET:
        return np.asarray(attributions.targets == value)
    data = finite(attributions.data[:, attributions.feature_names.index(name)])
    if value not in _QUARTERS:
        known = np.unique(data)
        return np.asarray(data == next(entry for entry in known.tolist() if _key(entry) == value))
    edges = np.quantile(data, (0.25, 0.5, 0.75))
    return np.asarray(np.searchsorted(edges, data, side="left") == _QUARTERS.index(value))


def _columns(attributions: Attributions, output: Output, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return for each row the column of its predicted class, or the one column that was chosen."""
    if output.column is not None:
        return np.full(len(places), output.column, dtype=np.intp)
    is_predicted = attributions.output_numbers[places] == attributions.predicted[places][:, None]
    return np.where(is_predicted.any(axis=1), is_predicted.argmax(axis=1), 0)


def _taken(array: NDArray[np.floating], columns: NDArray[np.intp]) -> NDArray[np.floating]:
    """Return shape (rows, features) of an array of shape (rows, features, outputs): one output a row."""
    if len(columns) and (columns == columns[0]).all():
        return array[:, :, columns[0]]
    return np.take_along_axis(array, columns[:, None, None], axis=2)[:, :, 0]
