"""Which rows of a data set are explained: by number, of one slice, and after those that were explained before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets.reading import open_table, read_batches
from workers.protocol import JobError

if TYPE_CHECKING:
    from audits.engine.explainers.request import Request, Slice


def chosen_numbers(path: Path, numbers: NDArray[np.int64], request: Request) -> NDArray[np.int64]:
    """Return the numbers of the rows to explain: a random sample in ascending order, or those named, as named.

    All samples of one seed are taken one after another from the same random order of the rows, so that what follows an
    earlier explanation explains other rows.

    Args:
        path: the canonical Parquet of the data set version.
        numbers: of the rows of the part that is explained, ascending.
        request: says how many or which, of which slice, and what was explained earlier.

    Raises:
        JobError: ``row_not_there``, ``row_named_twice``, ``row_explained_before``, ``slice_empty``, ``no_rows``.
    """
    where = f"the split {request.split!r}" if request.split else "the data set"
    if request.slice is not None:
        numbers = _of_slice(path, numbers, request.slice)
        where = f"the slice {request.slice}"
    named_before = np.asarray(request.earlier.named, dtype=np.int64)
    order = np.random.default_rng([request.seed, 1]).permutation(np.setdiff1d(numbers, named_before))
    drawn_before = order[: request.earlier.drawn]
    if not isinstance(request.rows, int):
        demand_there(request.rows, numbers, where=where)
        again = np.intersect1d(request.rows, np.concatenate([named_before, drawn_before]))
        if len(again):
            raise JobError(
                "row_explained_before",
                f"Row {again[0]} is among the rows that the explanation before this one explains.",
                place=f"row {again[0]}",
            )
        return np.asarray(request.rows, dtype=np.int64)
    chosen = order[request.earlier.drawn :][: request.rows]
    if not len(chosen):
        raise JobError("no_rows", f"No row of {where} is left to explain; all have been explained.", place="rows")
    return np.sort(chosen)


def demand_there(rows: Sequence[int], numbers: NDArray[np.int64], *, where: str) -> None:
    """Refuse row numbers that are not among those given, or that come twice.

    Raises:
        JobError: ``row_not_there`` or ``row_named_twice``, with the first such row.
    """
    known = set(numbers.tolist())
    seen: set[int] = set()
    for number in rows:
        if number not in known:
            raise JobError(
                "row_not_there",
                f"Row {number} is not in {where}, which has {len(numbers):,} rows with numbers from "
                f"{int(numbers.min(initial=0))} to {int(numbers.max(initial=0))}.",
                place=f"row {number}",
            )
        if number in seen:
            raise JobError("row_named_twice", f"Row {number} is named twice.", place=f"row {number}")
        seen.add(number)


def column_of(path: Path, name: str) -> pa.Array:
    """Return one column of the canonical Parquet of a data set version, whole."""
    with open_table(path) as file:
        arrow = file.schema_arrow
    batches = [batch.column(0) for batch in read_batches(path, columns=[name])]
    return pa.concat_arrays(batches) if batches else pa.array([], arrow.field(name).type)


def _of_slice(path: Path, numbers: NDArray[np.int64], part: Slice) -> NDArray[np.int64]:
    """Return the rows in which a column has a value, compared as people write it: 3 and 3.0 are the same number."""
    column = column_of(path, part.column)
    if pa.types.is_nested(column.type) or isinstance(column.type, pa.BaseExtensionType):
        raise JobError(
            "slice_column_not_sliceable",
            f"The column {part.column!r} holds arrays; slices are cut by a column of single values.",
            place="slice",
        )
    try:
        value = pa.scalar(part.value).cast(column.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise JobError(
            "slice_value_does_not_fit",
            f"{part.value!r} is no value of the column {part.column!r} of the type {column.type}.",
            place="slice",
        ) from error
    holds = pc.fill_null(pc.equal(column, value), False).to_numpy(zero_copy_only=False)
    found: NDArray[np.int64] = numbers[holds[numbers]]
    if not len(found):
        raise JobError("slice_empty", f"No row that could be explained has {part}.", place="slice")
    return found
