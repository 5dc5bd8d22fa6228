"""Faults as data engineers meet them, planted into a clean table: what changed, and in which columns.

A fault is a function ``(rng, sample) -> Planted | None``; None where the table has nothing that it could befall. A
fault of single rows befalls ``SHARE`` of them; the others befall a column or the table as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from tests.validators.sources import Generator, Sample

#: The share of rows that a fault of single rows befalls.
SHARE = 0.03

_MICROSECONDS_A_YEAR = 365 * 86_400 * 1_000_000


@dataclass(frozen=True)
class Planted:
    """The faulty table, and a sentence that says what was done to it."""

    table: pa.Table
    what: str


Fault = Callable[[Generator, Sample], Planted | None]


def nulls(rng: Generator, sample: Sample) -> Planted | None:
    """Values get lost in a column in which none were missing."""
    return _in_rows(
        rng, sample, [name for name in _names(sample) if not _column(sample, name).null_count], lambda *_: None
    )


def out_of_range(rng: Generator, sample: Sample) -> Planted | None:
    """Values lie as far beyond the highest one as the column is wide."""

    def far(values: NDArray[Any], _: int) -> Any:
        return values.max() + (values.max() - values.min()) * rng.uniform(1, 3)

    return _in_rows(rng, sample, _numbers(sample), far)


def unit_change(rng: Generator, sample: Sample) -> Planted | None:
    """Some deliveries come in another unit: a thousand times the number."""
    names = [name for name in _numbers(sample) if abs(np.median(_values(sample, name))) > 0]
    return _in_rows(rng, sample, names, lambda values, row: values[row] * 1_000)


def sign_flip(rng: Generator, sample: Sample) -> Planted | None:
    """Some numbers of a positive column come negative."""
    names = [
        name for name in _numbers(sample) if _values(sample, name).min() >= 0 and np.median(_values(sample, name)) > 0
    ]
    return _in_rows(rng, sample, names, lambda values, row: -values[row])


def swapped_columns(rng: Generator, sample: Sample) -> Planted | None:
    """Two columns of a type change places; such as look different, since nobody could tell others."""
    names = _numbers(sample)
    pairs = [
        (one, other)
        for place, one in enumerate(names)
        for other in names[place + 1 :]
        if _column(sample, one).type == _column(sample, other).type and _differ(sample, one, other)
    ]
    if not pairs:
        return None
    one, other = pairs[rng.integers(len(pairs))]
    table = _replaced(sample.table, one, _column(sample, other))
    return Planted(_replaced(table, other, _column(sample, one)), f"{one} and {other} swapped")


def wrong_category(rng: Generator, sample: Sample) -> Planted | None:
    """A category is misspelt in some rows."""
    names = [
        name
        for name in _names(sample)
        if pa.types.is_string(_column(sample, name).type) and pc.count_distinct(_column(sample, name)).as_py() <= 12
    ]
    return _in_rows(rng, sample, names, lambda values, row: values[row][:-1] + "~" + values[row][-1:])


def duplicate_keys(rng: Generator, sample: Sample) -> Planted | None:
    """Some rows carry the key of another row."""
    return _in_rows(rng, sample, list(sample.keys), lambda values, _: values[rng.integers(len(values))])


def broken_pattern(rng: Generator, sample: Sample) -> Planted | None:
    """Some texts that are built alike lose one sign."""
    return _in_rows(rng, sample, list(sample.patterned), lambda values, row: values[row][:2] + values[row][3:])


def truncated_text(rng: Generator, sample: Sample) -> Planted | None:
    """A field became too short for its texts: all are cut to half of the middle length."""
    names = list(sample.prose or sample.patterned)
    if not names:
        return None
    name = names[rng.integers(len(names))]
    length = int(np.median([len(text) for text in _values(sample, name)]) // 2)
    return Planted(
        _replaced(sample.table, name, pc.utf8_slice_codeunits(_column(sample, name), 0, length)), f"{name} cut"
    )


def type_change(rng: Generator, sample: Sample) -> Planted | None:
    """One text among the numbers made the whole column one of texts."""
    names = _numbers(sample)
    name = names[rng.integers(len(names))]
    texts = _column(sample, name).cast(pa.string()).to_pylist()
    texts[rng.integers(len(texts))] = "n/a"
    return Planted(_replaced(sample.table, name, pa.array(texts)), f"{name} became text")


def shifted_moments(rng: Generator, sample: Sample) -> Planted | None:
    """Some moments lost their century, or became the beginning of 1970."""
    names = [name for name in _names(sample) if pa.types.is_timestamp(_column(sample, name).type)]
    is_epoch = rng.random() < 0.5

    def shifted(values: NDArray[Any], row: int) -> Any:
        return np.datetime64(0, "us") if is_epoch else values[row] + np.timedelta64(100 * _MICROSECONDS_A_YEAR, "us")

    return _in_rows(rng, sample, names, shifted)


def broken_order(rng: Generator, sample: Sample) -> Planted | None:
    """In some rows the two values of an ordered pair changed places."""
    if not sample.ordered_pairs:
        return None
    greater, lesser = sample.ordered_pairs[rng.integers(len(sample.ordered_pairs))]
    high, low = _column(sample, greater), _column(sample, lesser)
    is_hit = pa.array(_hit(rng, sample.table.num_rows))
    table = _replaced(sample.table, greater, pc.if_else(is_hit, low, high))
    return Planted(_replaced(table, lesser, pc.if_else(is_hit, high, low)), f"{greater} and {lesser} swapped in rows")


def constant_column(rng: Generator, sample: Sample) -> Planted | None:
    """A column has the value of one row in all of them."""
    names = [name for name in _names(sample) if pc.count_distinct(_column(sample, name)).as_py() > 1]
    name = names[rng.integers(len(names))]
    column = _column(sample, name)
    value = column.drop_null()[int(rng.integers(len(column) - column.null_count))]
    return Planted(_replaced(sample.table, name, pa.repeat(value, len(column))), f"{name} constant")


def rows_missing(rng: Generator, sample: Sample) -> Planted | None:
    """Half of the delivery did not come."""
    kept = np.sort(rng.choice(sample.table.num_rows, sample.table.num_rows // 2, replace=False))
    return Planted(sample.table.take(pa.array(kept)), "half of the rows missing")


def rows_doubled(rng: Generator, sample: Sample) -> Planted | None:
    """The delivery was loaded twice."""
    return Planted(pa.concat_tables([sample.table, sample.table]).combine_chunks(), "all rows twice")


def row_order(rng: Generator, sample: Sample) -> Planted | None:
    """Rows that come in an order were shuffled."""
    if not any(_is_sorted(_column(sample, name)) for name in _names(sample)):
        return None
    return Planted(sample.table.take(pa.array(rng.permutation(sample.table.num_rows))), "rows shuffled")


def column_renamed(rng: Generator, sample: Sample) -> Planted | None:
    """A column came under another name."""
    place = int(rng.integers(sample.table.num_columns))
    names = list(sample.table.column_names)
    names[place] = names[place].upper() + "_NEW"
    return Planted(sample.table.rename_columns(names), f"{sample.table.column_names[place]} renamed")


FAULTS: dict[str, Fault] = {
    fault.__name__: fault
    for fault in (
        nulls, out_of_range, unit_change, sign_flip, swapped_columns, wrong_category, duplicate_keys, broken_pattern,
        truncated_text, type_change, shifted_moments, broken_order, constant_column, rows_missing, rows_doubled,
        row_order, column_renamed,
    )
}  # fmt: skip


def _in_rows(
    rng: Generator, sample: Sample, names: list[str], change: Callable[[NDArray[Any], int], Any]
) -> Planted | None:
    """Change some cells of one of the columns: ``change(values, row)`` gives the new value of a cell."""
    if not names:
        return None
    name = names[rng.integers(len(names))]
    column = _column(sample, name)
    present = np.flatnonzero(pc.is_valid(column).to_numpy(zero_copy_only=False))
    values = column.drop_null().to_numpy(zero_copy_only=False)
    cells = column.to_pylist()
    chosen = rng.choice(len(present), max(1, int(SHARE * len(present))), replace=False)
    for place in chosen:
        changed = change(values, int(place))
        cells[present[place]] = changed.item() if isinstance(changed, np.generic) else changed
    is_whole = pa.types.is_integer(column.type)
    cells = [int(cell) if is_whole and cell is not None else cell for cell in cells]
    return Planted(_replaced(sample.table, name, pa.array(cells, column.type)), f"{len(chosen)} rows of {name}")


def _names(sample: Sample) -> list[str]:
    return list(sample.table.column_names)


def _column(sample: Sample, name: str) -> pa.Array:
    return sample.table.column(name).combine_chunks()


def _values(sample: Sample, name: str) -> NDArray[Any]:
    return np.asarray(_column(sample, name).drop_null().to_numpy(zero_copy_only=False))


def _numbers(sample: Sample) -> list[str]:
    """Return the columns of measurements: numbers that are no key, no label and no code."""
    return [
        name
        for name in _names(sample)
        if (pa.types.is_integer(_column(sample, name).type) or pa.types.is_floating(_column(sample, name).type))
        and name not in sample.keys
        and sample.roles.get(name) != "target"
    ]


def _differ(sample: Sample, one: str, other: str) -> bool:
    """Tell whether the middles of two columns are further apart than half of either lies around its own."""
    quartiles = [np.quantile(_values(sample, name), (0.25, 0.5, 0.75)) for name in (one, other)]
    apart = abs(quartiles[0][1] - quartiles[1][1])
    return bool(apart > min(high - low for low, _, high in quartiles))


def _hit(rng: Generator, rows: int) -> NDArray[np.bool_]:
    return rng.random(rows) < SHARE


def _is_sorted(column: pa.Array) -> bool:
    if column.null_count or pa.types.is_string(column.type) or pa.types.is_boolean(column.type):
        return False
    values = column.to_numpy(zero_copy_only=False)
    return bool((values[:-1] <= values[1:]).all()) and values[0] != values[-1]


def _replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)
