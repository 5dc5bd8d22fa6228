"""What a page slices the rows by beside the features: the columns of the data set that feed no model."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from audits.engine.explanation.archive import ArrayArchive
from audits.engine.explanation.reading import as_text, batches_of, columns_of
from workers.datasets.reading import shape_of
from workers.datasets.schema import Schema
from workers.signature import Signature

#: Columns that are kept, protected ones first.
MAX_COLUMNS = 24
#: A column of more texts than this names rows rather than kinds of rows, and is not kept.
MAX_LABELS = 50

_ROLES = ("protected", "feature", "metadata", "split", "ignore")
_NUMBER_TYPES = ("float", "integer", "decimal")
_LABEL_TYPES = ("boolean", "category", "string", "date")


@dataclass
class _Kept:
    """One column: numbers as they are, of texts the place of each among ``labels``; NaN where there is no value."""

    values: NDArray[np.float64]
    is_number: bool
    labels: dict[str, int] = field(default_factory=dict)

    @property
    def is_of_kinds(self) -> bool:
        return len(self.labels) <= MAX_LABELS

    def add(self, places: NDArray[np.intp], column: pa.ChunkedArray) -> None:
        if self.is_number:
            numbers = column.cast(pa.float64()).to_numpy()
            self.values[places] = np.where(np.isfinite(numbers), numbers, np.nan)
        elif self.is_of_kinds:
            self.values[places] = [self._label(as_text(value)) for value in column.to_pylist()]

    def _label(self, text: str) -> float:
        return self.labels.setdefault(text, len(self.labels)) if text else np.nan


def write_columns(
    path: Path, dataset: Path, numbers: NDArray[np.int64], schema: Schema, signature: Signature
) -> list[str]:
    """Write the columns by which rows may be sliced; return their names, none (and no file) where there are none.

    Kept are single numbers, truths, dates and texts of few kinds that are no input of the model, no target and no
    identifier: first of all the protected ones.

    ``names`` has the shape (columns,). ``values`` has the shape (rows, columns): the number itself, or the place of
    the text among the labels of its column; NaN where the data set has none. ``labels`` and ``label_columns`` have the
    texts of all such columns, and the column that each belongs to.
    """
    known, fed = shape_of(dataset)[0].names, set(columns_of(signature))
    wanted = [name for role in _ROLES for name in schema.with_role(role) if name in known and name not in fed]
    kept = {
        name: _Kept(np.full(len(numbers), np.nan), is_number=schema.columns[name].type in _NUMBER_TYPES)
        for name in wanted
        if schema.columns[name].type in (*_NUMBER_TYPES, *_LABEL_TYPES) and not schema.columns[name].shape
    }
    kept = dict(list(kept.items())[:MAX_COLUMNS])
    for places, table in batches_of(dataset, numbers, list(kept)) if kept else ():
        for name, column in kept.items():
            column.add(places, table.column(name))
    kept = {name: column for name, column in kept.items() if column.is_of_kinds}
    if not kept:
        return []
    labels = [(label, place) for place, column in enumerate(kept.values()) for label in column.labels]
    with ArrayArchive(path) as archive:
        archive.add("names", np.asarray(list(kept), dtype=np.str_))
        archive.add("values", np.stack([column.values for column in kept.values()], axis=1))
        archive.add("labels", np.asarray([label for label, _ in labels], dtype=np.str_))
        archive.add("label_columns", np.asarray([place for _, place in labels], dtype=np.int64))
    return list(kept)
