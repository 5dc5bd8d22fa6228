"""Read the rows that are explained and those they are compared with, a batch at a time and only what is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from audits.engine.explainers.players import check_finite
from audits.engine.explanation.mapped import MappedArray
from workers.datasets.arrays import model_inputs, select
from workers.datasets.canonical import missing_rows, one_array
from workers.datasets.reading import read_batches, row_bytes, rows_of_batch, shape_of
from workers.datasets.schema import Schema
from workers.frameworks.base import Inputs
from workers.protocol import JobError
from workers.signature import Signature

#: Rows that are read at once, at most.
BATCH_ROWS = 8192
#: Characters of an identifier or a target that are kept.
TEXT_CHARACTERS = 200


@dataclass(frozen=True)
class Rows:
    """Rows of a data set as a model takes them.

    Attributes:
        numbers: which rows of the whole data set they are, shape (rows,).
        inputs: input name -> values of shape (rows, *row shape), in files.
        ids: the value of the column that names a row, None where there is none.
        targets: the value of the target, None where there is none.
    """

    numbers: NDArray[np.int64]
    inputs: Inputs
    ids: list[Any]
    targets: list[Any]
    maps: tuple[MappedArray, ...] = field(default=(), repr=False)

    def let_go(self) -> None:
        """Give back the memory of what was read."""
        for mapped in self.maps:
            mapped.let_go()


def numbers_of(path: Path, schema: Schema, split: str | None) -> NDArray[np.int64]:
    """Return the numbers of the rows of one part of a data set; None for all of them.

    Raises:
        JobError: as :func:`workers.datasets.arrays.select`.
    """
    arrow, count = shape_of(path)
    if split is None:
        return np.arange(count, dtype=np.int64)
    columns = [name for name in schema.with_role("split") if name in arrow.names]
    table = pa.Table.from_batches(read_batches(path, columns=columns), arrow.empty_table().select(columns).schema)
    return select(table, schema, split)[1]


def read_rows(
    path: Path, numbers: NDArray[np.int64], schema: Schema, signature: Signature, *, what: str, folder: Path
) -> Rows:
    """Read rows into files of a folder.

    Args:
        what: the words for the data set in a message.

    Raises:
        JobError: as :func:`workers.datasets.arrays.model_inputs`, or ``row_not_finite`` with the number of a row in the
            whole data set that has not all its values.
    """
    identifier = next(iter(schema.with_role("id")), None)
    wanted = [*columns_of(signature), *(name for name in (identifier, schema.target) if name is not None)]
    arrow, _ = shape_of(path)
    columns = [name for name in dict.fromkeys(wanted) if name in arrow.names]
    shapes = model_inputs(arrow.empty_table().select(columns), schema, signature)
    maps = {
        name: MappedArray(folder / f"input-{place}", (len(numbers), *values.shape[1:]), values.dtype, is_new=True)
        for place, (name, values) in enumerate(shapes.items())
    }
    rows = Rows(
        numbers=numbers,
        inputs={name: mapped.array for name, mapped in maps.items()},
        ids=[None] * len(numbers),
        targets=[None] * len(numbers),
        maps=tuple(maps.values()),
    )
    for places, table in batches_of(path, numbers, columns):
        check_complete(table, numbers[places], signature, what=what)
        inputs = model_inputs(table, schema, signature)
        check_finite(inputs, numbers[places], what=what)
        for name, values in inputs.items():
            maps[name].array[places] = values
        for kept, column in ((rows.ids, identifier), (rows.targets, schema.target)):
            if column in table.column_names:
                for place, value in zip(places.tolist(), table.column(column).to_pylist(), strict=True):
                    kept[place] = _as_json(value)
        rows.let_go()
    return rows


def table_of(path: Path, numbers: NDArray[np.int64]) -> pa.Table:
    """Return rows with all their columns, in the order of their numbers; they have to be few."""
    arrow, _ = shape_of(path)
    tables = [table for _, table in batches_of(path, np.sort(numbers), arrow.names)]
    return pa.concat_tables(tables) if tables else arrow.empty_table()


def batches_of(
    path: Path, numbers: NDArray[np.int64], columns: Sequence[str]
) -> Iterator[tuple[NDArray[np.intp], pa.Table]]:
    """Yield rows of some numbers in the order of the file: their places in ``numbers``, and a table of them."""
    order = np.argsort(numbers, kind="stable")
    in_order = numbers[order]
    arrow, _ = shape_of(path)
    batch_rows = min(BATCH_ROWS, rows_of_batch(row_bytes(pa.schema([arrow.field(name) for name in columns]))))
    first_row = at = 0
    try:
        for batch in read_batches(path, columns=columns, batch_rows=batch_rows):
            end = int(np.searchsorted(in_order, first_row + batch.num_rows))
            if end > at:
                taken = pa.Table.from_batches([batch]).take(pa.array(in_order[at:end] - first_row))
                yield order[at:end], taken
                at = end
            first_row += batch.num_rows
            if at == len(numbers):
                return
    finally:
        # Arrow keeps the memory that it has read with until somebody asks for it.
        pa.default_memory_pool().release_unused()


def check_complete(table: pa.Table, numbers: NDArray[np.int64], signature: Signature, *, what: str) -> None:
    """Refuse rows without all the values that a model takes.

    Raises:
        JobError: ``row_not_finite``, with the number of the first such row in the whole data set, and its column.
    """
    for name in columns_of(signature):
        if name in table.column_names:
            missing = np.flatnonzero(missing_rows(one_array(table.column(name))))
            if len(missing):
                number = int(numbers[missing[0]])
                raise JobError(
                    "row_not_finite",
                    f"Row {number} of the {what} has no value in the column {name!r}; clean the data or leave the row "
                    "out.",
                    place=f"row {number}",
                )


def columns_of(signature: Signature) -> list[str]:
    """Return the columns of a data set that feed a model, in order."""
    return [name for spec in signature.inputs for name in spec.columns or (spec.name,)]


def as_text(value: Any) -> str:
    """Return an identifier or a target as text; empty where there is none."""
    return "" if value is None else str(value)[:TEXT_CHARACTERS]


def _as_json(value: Any) -> Any:
    """Return a value as JSON has it; other than numbers and truth becomes text."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and np.isfinite(value)):
        return value
    return str(value)[:TEXT_CHARACTERS]
