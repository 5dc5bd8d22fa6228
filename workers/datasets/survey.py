"""What the cells of a text column say about its type: counted over the whole file before anything is cast.

A column is read as the narrowest type that all of its cells fit. Where more than half of the cells fit a type and
others do not, the column is mixed, and that is an error: to read it as texts would hide it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workers.datasets import cells
from workers.protocol import JobError

#: What cells can be; ``zoned`` are moments with a zone, ``empty`` is a column without a cell.
Kind = Literal["integer", "float", "boolean", "date", "datetime", "zoned", "text", "empty"]


class Survey(Protocol):
    """Looks at all cells of one text column, a batch at a time."""

    def add(self, texts: pa.Array, first_row: int) -> None:
        """Look at the next batch; ``first_row`` is the number of its first row."""


@dataclass
class _Tally:
    """How many cells fit one kind, and the first that says something else: its row and what it says."""

    fitting: int = 0
    misfit: tuple[int, str] | None = None

    def add(self, reading: cells.Reading, texts: pa.Array, first_row: int) -> int:
        """Count the cells of a reading; return how many fit."""
        values, wrong = reading
        fitting: int = len(values) - values.null_count
        self.fitting += fitting
        if self.misfit is None and wrong.any():
            self._tell(int(np.argmax(wrong)), texts, first_row)
        return fitting

    def add_none(self, texts: pa.Array, said: pa.Array, first_row: int) -> None:
        """Count cells none of which fits; ``said`` are those that do not say that they are missing."""
        if self.misfit is None and said.null_count < len(said):
            self._tell(int(pc.index(pc.is_valid(said), True).as_py()), texts, first_row)

    def _tell(self, place: int, texts: pa.Array, first_row: int) -> None:
        self.misfit = (first_row + place, texts[place].as_py())


def _zoned_moments(texts: pa.Array) -> cells.Reading:
    return cells.moments(texts, zoned=True)


#: In the order in which they are tried. A cell fits one of them at most, but for a date, which is a moment as well.
_READERS: dict[Kind, Callable[[pa.Array], cells.Reading]] = {
    "float": cells.numbers,
    "boolean": cells.booleans,
    "datetime": cells.moments,
    "zoned": _zoned_moments,
}


class ColumnSurvey:
    """Counts the cells of one text column that fit each kind."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._cells = 0
        self._holds_codes = False
        self._is_whole = True
        self._is_dates = True
        self._tallies: dict[Kind, _Tally] = {kind: _Tally() for kind in _READERS}

    def add(self, texts: pa.Array, first_row: int) -> None:
        self._cells += len(texts) - texts.null_count
        self._holds_codes = self._holds_codes or cells.holds_codes(texts)
        if self._holds_codes:
            return
        said = cells.without_missing(texts)
        left = len(said) - said.null_count
        for kind, reader in _READERS.items():
            if not left:
                self._tallies[kind].add_none(texts, said, first_row)
                continue
            reading = self._whole_numbers(said) if kind == "float" else None
            fitting = self._tallies[kind].add(reading or reader(said), texts, first_row)
            left -= fitting
            if fitting and kind == "datetime" and self._is_dates:
                self._is_dates = not cells.dates(said)[1].any()

    def _whole_numbers(self, said: pa.Array) -> cells.Reading | None:
        """Read a batch in which every cell is a whole number, as in all batches before; None for another."""
        if not self._is_whole:
            return None
        reading = cells.whole_numbers(said)
        self._is_whole = not reading[1].any()
        return reading if self._is_whole else None

    @property
    def is_zoned(self) -> bool:
        """Tell whether more of the moments name a zone than do not."""
        return self._tallies["zoned"].fitting > self._tallies["datetime"].fitting

    def kind(self) -> Kind:
        """Return what all cells are.

        Raises:
            JobError: code ``mixed_types`` with row and value, where most cells are of a type and others are not.
        """
        if not self._cells:
            return "empty"
        if self._holds_codes:
            return "text"
        for kind in ("float", "boolean", "zoned" if self.is_zoned else "datetime"):
            tally = self._tallies[kind]
            if tally.fitting and tally.misfit is None:
                return self._narrowed(kind)
            if tally.fitting * 2 > self._cells and tally.misfit is not None:
                raise self._mixed(kind, tally.fitting, *tally.misfit)
        return "text"

    def _narrowed(self, kind: Kind) -> Kind:
        if kind == "float" and self._is_whole:
            return "integer"
        return "date" if kind == "datetime" and self._is_dates else kind

    def _mixed(self, kind: Kind, fitting: int, row: int, value: str) -> JobError:
        word = "datetime" if kind == "zoned" else kind
        return JobError(
            "mixed_types",
            f"Row {row} (counted from 0) of the column {self._name!r} holds {shown(value)}, while "
            f"{fitting:,} of its {self._cells:,} cells are of the type {word}. Correct the cell, or state the type of "
            "the column in a schema.",
            place=f"{self._name}, row {row}",
        )


class DecimalSurvey:
    """Finds the most digits after the point, which the type of all decimals of a column has."""

    def __init__(self) -> None:
        self.scale = 0

    def add(self, texts: pa.Array, first_row: int) -> None:  # noqa: ARG002 - no cell is refused here
        self.scale = max(self.scale, cells.decimal_scale(texts))


class ZoneSurvey:
    """Finds whether more of the moments of a column name a zone than do not."""

    def __init__(self) -> None:
        self._zoned = 0
        self._plain = 0

    def add(self, texts: pa.Array, first_row: int) -> None:  # noqa: ARG002 - no cell is refused here
        zoned, plain = (values for values, _ in (_zoned_moments(texts), cells.moments(texts)))
        self._zoned += len(zoned) - zoned.null_count
        self._plain += len(plain) - plain.null_count

    @property
    def is_zoned(self) -> bool:
        return self._zoned > self._plain


def shown(value: Any) -> str:
    """Return a value as a message shows it."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
