"""The rows and the one output that a page shows: chosen, and never more of them than a page can hold."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from audits.attributions import Attributions
from audits.attributions.arrays import Floats, finite
from audits.explained.asked import Asked
from audits.explained.slices import PREDICTED, Slices
from audits.explained.words import PREDICTED_CLASS
from governance.exceptions import NotFound

#: Values that are read for a page; of more than that an even part of the rows is shown, and said so.
MAX_VALUES = 16_000_000


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


def shown(slices: Slices, asked: Asked) -> Shown:
    """Return what the address asks for of an explanation.

    Raises:
        NotFound: the output or the slice is not there.
        IntegrityFailure: the values are not numbers.
    """
    attributions = slices.attributions
    output = output_asked(attributions, asked)
    places = slices.rows(asked.slice, asked.value) if asked.slice else np.arange(attributions.row_count)
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
