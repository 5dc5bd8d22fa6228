"""Cuts the rows of an evaluation into slices: the values of a column, or the quartiles of a numeric one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.protocol import JobError

#: A number column with more different values than this is cut at its quartiles.
MOST_VALUES_OF_NUMBERS = 10
#: Of a column with more different texts than this, the rarer ones are one slice.
MOST_VALUES_OF_TEXTS = 50


@dataclass(frozen=True)
class Slice:
    """Some of the rows: what they have in common, and a mask over all rows."""

    name: str
    mask: NDArray[np.bool_]


def slices_of(table: pa.Table, columns: list[str]) -> Iterator[Slice]:
    """Yield the slices of each column, in the order of the columns; every row is in one slice of each column.

    Raises:
        JobError: ``slice_column_missing`` or ``slice_column_not_sliceable``, with the column.
    """
    for name in columns:
        if name not in table.column_names:
            raise JobError("slice_column_missing", f"The data set has no column {name!r} to slice by.", place=name)
        column = table.column(name).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        if isinstance(column.type, pa.BaseExtensionType) or pa.types.is_nested(column.type):
            raise JobError(
                "slice_column_not_sliceable",
                f"The column {name!r} holds arrays; slices are cut by a column of single values.",
                place=name,
            )
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        if pa.types.is_decimal(column.type):
            column = column.cast(pa.float64())
        if pa.types.is_floating(column.type):
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        missing = column.is_null().to_numpy(zero_copy_only=False)
        is_number = pa.types.is_integer(column.type) or pa.types.is_floating(column.type)
        if is_number and pc.count_distinct(column).as_py() > MOST_VALUES_OF_NUMBERS:
            yield from _quartiles(name, column, missing)
        else:
            yield from _values(name, column)
        if missing.any():
            yield Slice(f"{name} is missing", missing)


def _values(name: str, column: pa.Array) -> Iterator[Slice]:
    counts = [(entry["values"], entry["counts"]) for entry in pc.value_counts(column.drop_null()).to_pylist()]
    common = sorted(counts, key=lambda entry: (-entry[1], str(entry[0])))[:MOST_VALUES_OF_TEXTS]
    kept = sorted((value for value, _ in common), key=lambda value: (str(type(value)), value))
    for value in kept:
        mask = pc.fill_null(pc.equal(column, pa.scalar(value, column.type)), False)
        yield Slice(f"{name} = {_shown(value)}", mask.to_numpy(zero_copy_only=False))
    if len(counts) > len(kept):
        among = pc.is_in(column, value_set=pa.array(kept, column.type))
        rest = pc.and_(column.is_valid(), pc.invert(among)).to_numpy(zero_copy_only=False)
        yield Slice(f"{name}: {len(counts) - len(kept):,} rarer values", rest)


def _quartiles(name: str, column: pa.Array, missing: NDArray[np.bool_]) -> Iterator[Slice]:
    values = column.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
    edges = np.unique(np.quantile(values[~missing], [0.25, 0.5, 0.75]))
    part = np.searchsorted(edges, values, side="left")
    for index in range(len(edges) + 1):
        mask = (part == index) & ~missing
        if not mask.any():
            continue
        if index == 0:
            text = f"{name} up to {_shown(edges[0])}"
        elif index == len(edges):
            text = f"{name} above {_shown(edges[-1])}"
        else:
            text = f"{name} above {_shown(edges[index - 1])}, up to {_shown(edges[index])}"
        yield Slice(text, mask)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
