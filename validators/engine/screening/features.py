"""Columns as numbers, for methods that take a matrix: measured numbers, categories, moments, images, texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.screening.screened import CONTENT_ROLES, Sample, Screened
from workers.datasets.canonical import canonical_array, is_tensor, one_array, tensor_values

FloatArray = NDArray[np.float64]

#: Categories of a column that get a column of numbers each.
MOST_CATEGORIES = 20
#: A column of texts of which more than this share is different names its rows and groups nothing.
MOST_DISTINCT_SHARE = 0.5
HASHED_WORDS = 2**16

Kind = Literal["table", "image", "text"]


@dataclass(frozen=True)
class Encoded:
    """Rows as a matrix, dense or (for texts) sparse, of shape (rows, numbers).

    Attributes:
        categories: the neighbouring columns of the matrix that are the indicators of one category column each.
    """

    matrix: Any
    kind: Kind
    categories: tuple[range, ...] = ()

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    def of_rows(self, rows: NDArray[np.intp]) -> Encoded:
        """Return some rows, by their places."""
        return replace(self, matrix=self.matrix[rows])


def kind_of(data: Screened) -> Kind:
    """Tell what the content of a version is: an image or a text where a feature holds one, else a table."""
    if data.columns(roles=CONTENT_ROLES, types=("image",)):
        return "image"
    return "text" if text_column(data) else "table"


def image_column(data: Screened) -> str | None:
    """Return the first feature that holds images of one shape."""
    names = data.columns(roles=CONTENT_ROLES, types=("image",))
    return next((name for name in names if len(data.described(name).shape) in (2, 3)), None)


def text_column(data: Screened) -> str | None:
    """Return the first feature that holds texts."""
    return next(iter(text_columns(data)), None)


def text_columns(data: Screened) -> list[str]:
    """Return the features that hold texts: in a data set of texts, any that are no categories."""
    types = ("text", "string") if data.schema.modality == "text" else ("text",)
    return data.columns(roles=CONTENT_ROLES, types=types)


def content_columns(data: Screened) -> list[str]:
    """Return the columns that ``encode`` takes."""
    kind = kind_of(data)
    if kind == "image":
        return [name] if (name := image_column(data)) else []
    if kind == "text":
        return [name] if (name := text_column(data)) else []
    return data.columns(roles=CONTENT_ROLES)


def encode(data: Screened, sample: Sample, names: Sequence[str]) -> Encoded:
    """Turn columns of a sample into a matrix; columns that group nothing (a text of its own each row) are left out."""
    kind = kind_of(data)
    if kind == "image":
        values = _tensor(sample.column(names[0]))
        spread = float(np.nanmax(values) - np.nanmin(values)) or 1.0 if values.size else 1.0
        return Encoded(np.nan_to_num(values / spread), kind)
    if kind == "text":
        return Encoded(_hashed_words(sample.column(names[0])), kind)
    parts: list[FloatArray] = []
    categories = []
    for name in names:
        column = sample.column(name)
        new = [part for part in _columns(column) if np.isfinite(part).any()]
        if new and pa.types.is_string(column.type):
            categories.append(range(len(parts), len(parts) + len(new)))
        parts += new
    matrix = np.stack(parts, axis=1) if parts else np.empty((sample.count, 0))
    return Encoded(matrix, kind, tuple(categories))


def numbers_matrix(table: pa.Table | pa.RecordBatch, names: Sequence[str]) -> FloatArray:
    """Return columns of numbers as floats of shape (rows, columns), NaN for what is missing."""
    return np.stack([floats(_array(table.column(name), name)) for name in names], axis=1)


def floats(array: pa.Array) -> FloatArray:
    """Return a canonical column of numbers, truth values or moments as floats, NaN for what is missing."""
    if pa.types.is_temporal(array.type):
        array = array.cast(pa.timestamp("us", tz=getattr(array.type, "tz", None))).cast(pa.int64())
    elif pa.types.is_boolean(array.type):
        array = array.cast(pa.int64())
    values = array.cast(pa.float64(), safe=False)
    return np.array(pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def codes_of(array: pa.Array) -> NDArray[np.int64]:
    """Return the number of each value among the different values, in the order in which they come; missing is one."""
    encoded = array.dictionary_encode(null_encoding="encode")
    return np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)


def is_number(array: pa.Array) -> bool:
    types = pa.types
    return bool(types.is_integer(array.type) or types.is_floating(array.type) or types.is_decimal(array.type))


def _columns(array: pa.Array) -> list[FloatArray]:
    """Return a column as one or several columns of floats; none for texts that differ in most rows."""
    if is_tensor(array.type):
        return list(_tensor(array).T)
    if not pa.types.is_string(array.type):
        return [floats(array)]
    counts = pc.value_counts(array.drop_null())
    if len(counts) > max(MOST_CATEGORIES, MOST_DISTINCT_SHARE * len(array)):
        return []
    order = np.lexsort([np.array(counts.field(0).to_pylist(), dtype=object), -counts.field(1).to_numpy()])
    frequent = [counts.field(0)[place] for place in order[:MOST_CATEGORIES]]
    equal = [pc.fill_null(pc.equal(array, value), False) for value in frequent]
    return [np.asarray(mask.to_numpy(zero_copy_only=False), dtype=np.float64) for mask in equal]


def _tensor(array: pa.Array) -> FloatArray:
    values = tensor_values(array).reshape(len(array), -1).astype(np.float64)
    if array.null_count:
        values[pc.is_null(array).to_numpy(zero_copy_only=False)] = np.nan
    return values


def _hashed_words(array: pa.Array) -> Any:
    from sklearn.feature_extraction.text import HashingVectorizer

    texts = pc.fill_null(array, "").to_pylist()
    return HashingVectorizer(n_features=HASHED_WORDS, ngram_range=(1, 2), alternate_sign=False).transform(texts)


def _array(column: Any, name: str) -> pa.Array:
    whole = one_array(column) if isinstance(column, pa.ChunkedArray) else column
    return canonical_array(whole, name=name)
