"""Columns that say nothing, and columns that say the same as another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.screening.base import ColumnFinding, Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.features import codes_of, floats
from validators.engine.screening.screened import BLOCK_COLUMNS, NUMBER_TYPES, Sample, Screened, blocks
from validators.engine.validation import text_of
from workers.statistics import wilson
from workers.words import counted, listed, share_with_interval

#: With fewer rows one value in all of them says little.
FEWEST_ROWS = 20
#: Two columns of codes that group fewer sampled rows than this may agree by chance.
FEWEST_FOR_CODES = 50
_LONGEST_VALUE = 60


class ConstantColumns(Detector):
    """Columns in which one value, or its absence, is (nearly) all there is.

    How: the most frequent value of each column and its share of all rows, missing being a value of its own; a column is
    near constant from 99.5 %. All rows are counted.

    Signs of high risk: a constant target, or a column that a model relies on and that no longer varies.

    What it does not show: that a rare value is useless; a rare flag may be what matters. Columns of arrays are left
    out.
    """

    entry = ENTRIES["constant_columns"]

    def run(self, context: ScreeningContext) -> Detection:
        data = context.data
        names = [name for name in data.names if name in data.schema.columns and data.is_scalar(name)]
        if data.count < FEWEST_ROWS:
            return not_applicable(f"{counted(data.count, 'row')} are too few to call a column constant.")
        few = [name for name in names if data.distinct[name] <= (1 - context.parameters.share) * data.count + 2]
        context.tell(0.5)
        found = [
            entry
            for group in blocks(few, BLOCK_COLUMNS)
            for entry in _most_frequent(data, group)
            if entry.count >= context.parameters.share * data.count
        ]
        found.sort(key=lambda entry: -entry.count)
        constant = sum(entry.count == data.count for entry in found)
        sentence = (
            f"{counted(len(found), 'column')} of {len(names):,} {'has' if len(found) == 1 else 'have'} one value in at "
            f"least {100 * context.parameters.share:g} % of rows, {constant:,} of them in all: "
            f"{listed([entry.name for entry in found])}."
            if found
            else f"No column of {len(names):,} has one value in {100 * context.parameters.share:g} % of its rows."
        )
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=len(found),
            unit="columns",
            share=wilson(len(found), len(names)) if names else None,
            columns=[
                ColumnFinding(
                    entry.name,
                    entry.count / data.count,
                    f"{entry.value} in {share_with_interval(wilson(entry.count, data.count))}.",
                )
                for entry in found
            ],
        )


@dataclass(frozen=True)
class _Frequent:
    name: str
    value: str
    count: int


def _most_frequent(data: Screened, names: Sequence[str]) -> Iterator[_Frequent]:
    """Yield the most frequent value of each column, or its absence where that is more frequent."""
    places = [data.place(name) for name in names]
    modes = data.one(f"SELECT {', '.join(f'mode({place})' for place in places)} FROM {data.relation}")
    counts = ", ".join(f"count(*) FILTER (WHERE {place} = ?), count(*) - count({place})" for place in places)
    line = data.one(f"SELECT {counts} FROM {data.relation}", modes)
    for place, (name, mode) in enumerate(zip(names, modes, strict=True)):
        count, missing = int(line[2 * place]), int(line[2 * place + 1])
        if missing >= count:
            yield _Frequent(name, "missing", missing)
        else:
            yield _Frequent(name, repr(text_of(mode)[:_LONGEST_VALUE]), count)


class DuplicateColumns(Detector):
    """Pairs of columns of which one says all that the other says.

    How: the same values; numbers that are a straight line of another column's (a unit changed), by a correlation of at
    least 0.9999 and the same missing rows; categories under other names, when each value goes with exactly one of the
    other column. Pairs are found on a sample and confirmed on all rows.

    Signs of high risk: one of the two is the target, or a column that was left out on purpose.

    What it does not show: columns that follow from several others, or by a curve.
    """

    entry = ENTRIES["duplicate_columns"]

    def run(self, context: ScreeningContext) -> Detection:
        data = context.data
        names = [name for name in data.names if name in data.schema.columns and data.is_scalar(name)]
        if len(names) < 2 or data.count < FEWEST_ROWS:
            return not_applicable("It takes at least two columns of single values and 20 rows.")
        sample = data.sample(names, context.parameters.rows, context.generator)
        candidates = [
            *_same_codes(sample, names),
            *_straight_lines(data, sample, names, context.parameters.correlation),
        ]
        context.tell(0.5)
        found: dict[str, tuple[str, str]] = {}
        for first, second, kind in candidates:
            if second not in found and _holds(data, first, second, kind, context.parameters.correlation):
                found[second] = (first, _how_alike(data, first, second, kind))
        sentence = (
            f"{counted(len(found), 'column')} of {len(names):,} {'says' if len(found) == 1 else 'say'} what another "
            f"says: {listed([f'{second} ({first})' for second, (first, _) in found.items()])}."
            if found
            else f"No column of {len(names):,} says what another says."
        )
        if not sample.is_whole:
            sentence += f" Pairs were found on {sample.count:,} rows drawn with seed {context.seed}."
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=len(found),
            unit="columns",
            share=wilson(len(found), len(names)),
            columns=[ColumnFinding(second, 1.0, f"{how} {first}.") for second, (first, how) in found.items()],
        )


def _same_codes(sample: Sample, names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Yield pairs that group the sampled rows in the same way, where that groups anything."""
    first_of: dict[bytes, str] = {}
    for name in names:
        codes = codes_of(sample.column(name))
        distinct = int(codes.max()) + 1 if len(codes) else 0
        if distinct < 2:
            continue
        groups = sample.count >= FEWEST_FOR_CODES and distinct <= sample.count / 2
        # Where most values differ, the codes of any two columns do not: then the values have to be the same.
        first = first_of.setdefault(codes.tobytes() if groups else _content(sample.column(name)), name)
        if first != name:
            yield first, name, "codes" if groups else "same"


def _content(column: pa.Array) -> bytes:
    """Return bytes that are the same for columns of the same values."""
    if pa.types.is_string(column.type):
        return repr(column.to_pylist()).encode("utf-8", "surrogatepass")
    return str(column.type).encode() + floats(column).tobytes()


def _straight_lines(
    data: Screened, sample: Sample, names: Sequence[str], correlation: float
) -> Iterator[tuple[str, str, str]]:
    """Yield pairs of number columns whose sampled values lie on a straight line."""
    numbers = [name for name in names if data.described(name).type in NUMBER_TYPES and data.distinct[name] > 2]
    if len(numbers) < 2:
        return
    values = np.stack([floats(sample.column(name)) for name in numbers], axis=1)
    values = np.where(np.isfinite(values), values, np.nan)
    known = ~np.isnan(values)
    has_values = known.sum(axis=0) > 2
    centred = np.nan_to_num(values - _mean(values, known))
    norms = np.linalg.norm(centred, axis=0)
    usable = np.flatnonzero(has_values & (norms > 0))
    scaled = centred[:, usable] / norms[usable]
    likeness = np.abs(scaled.T @ scaled)
    taken: set[int] = set()
    for left in range(len(usable)):
        if left in taken:
            continue
        for right in np.flatnonzero(likeness[left, left + 1 :] >= correlation - 1e-6) + left + 1:
            if right not in taken and bool((known[:, usable[left]] == known[:, usable[right]]).all()):
                taken.add(int(right))
                yield numbers[usable[left]], numbers[usable[right]], "line"


def _mean(values: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(np.where(known, values, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0)))


def _holds(data: Screened, first: str, second: str, kind: str, correlation: float) -> bool:
    """Tell whether a pair found on a sample holds on all rows."""
    a, b = data.place(first), data.place(second)
    if kind == "line":
        finite = f"isfinite(CAST({a} AS DOUBLE)) AND isfinite(CAST({b} AS DOUBLE))"
        found, unlike = data.one(
            f"SELECT corr(CAST({a} AS DOUBLE), CAST({b} AS DOUBLE)) FILTER (WHERE {finite}), "
            f"count(*) FILTER (WHERE ({a} IS NULL) <> ({b} IS NULL)) FROM {data.relation}"
        )
        return found is not None and abs(found) >= correlation and unlike == 0
    if kind == "same":
        return _are_equal(data, first, second)
    (pairs,), (firsts,), (seconds,) = (
        data.one(f"SELECT count(*) FROM (SELECT DISTINCT {columns} FROM {data.relation})")
        for columns in (f"{a}, {b}", a, b)
    )
    return bool(pairs == firsts == seconds)


def _are_equal(data: Screened, first: str, second: str) -> bool:
    if data.described(first).type != data.described(second).type:
        return False
    (unlike,) = data.one(
        f"SELECT count(*) FILTER (WHERE {data.place(first)} IS DISTINCT FROM {data.place(second)}) FROM {data.relation}"
    )
    return bool(unlike == 0)


def _how_alike(data: Screened, first: str, second: str, kind: str) -> str:
    if _are_equal(data, first, second):
        return "In every row the same value as"
    if kind == "codes":
        return "Each of its values goes with exactly one of"
    slope, intercept = _line(data, first, second)
    return f"A straight line, {slope:.4g} x {'+' if intercept >= 0 else '−'} {abs(intercept):.4g}, of"


def _line(data: Screened, first: str, second: str) -> tuple[float, float]:
    x, y = (f"CAST({data.place(name)} AS DOUBLE)" for name in (first, second))
    line: tuple[Any, ...] = data.one(
        f"SELECT regr_slope({y}, {x}), regr_intercept({y}, {x}) FROM {data.relation} "
        f"WHERE isfinite({x}) AND isfinite({y})"
    )
    return float(line[0]), float(line[1])
