"""Add to a table the columns that are derived from its images, texts and arrays, and to its schema their entries.

They are stored with the rows, so that rules, cleaning, profile and digest take them as any column. Their role is
``metadata``; token ids have the role of their text, since they stand for it.

A schema or a file that has such a column already (a version saved and uploaded again) keeps it only as a wish: a column
of that name with the role ``metadata`` is measured anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pyarrow as pa

from workers.datasets.canonical import canonical_array, canonical_schema, is_tensor, one_array
from workers.datasets.fitting import empty_array
from workers.datasets.images import columns as images
from workers.datasets.schema import Column, Schema
from workers.datasets.texts import columns as texts
from workers.protocol import JobError


def with_derived(table: pa.Table, schema: Schema, *, known: Schema | None = None) -> tuple[pa.Table, Schema]:
    """Return the table and its schema with the derived columns behind each image, text and array column.

    Args:
        table: in the types of its schema; works on a part of the rows as on all.
        schema: of all its columns.
        known: the schema of what a reader of files made, whose metadata is in the table already.

    Raises:
        JobError: code ``duplicate_columns``, where a column has the name of one that is derived.
    """
    measured = [] if known is None else known.with_role("metadata")
    arrays: dict[str, pa.Array] = {}
    columns: dict[str, Column] = {}
    for name in [name for name in table.column_names if name not in measured]:
        column = schema.columns[name]
        array = canonical_array(one_array(table.column(name)), name=name)
        arrays[name], columns[name] = array, column
        for derived in (f"{name}.{word}" for word in _words_of(column)):
            if derived in measured:
                arrays[derived], columns[derived] = table.column(derived), schema.columns[derived]
        for word, (values, entry) in _derived(array, column, measured=f"{name}.decodes" in measured).items():
            derived = f"{name}.{word}"
            if derived in schema.columns:
                raise JobError(
                    "duplicate_columns",
                    f"The column {derived!r} has the name of one that is derived from {name!r}; rename it, or give it "
                    "the role `metadata` to have it measured anew.",
                    place=derived,
                )
            arrays[derived], columns[derived] = values, entry
    return pa.table(arrays), replace(schema, columns=columns)


class Deriving:
    """Derives columns for the rows of a table a batch at a time.

    Attributes:
        types: the columns of what ``rows`` returns, in canonical types.
    """

    def __init__(self, types: pa.Schema, schema: Schema, known: Schema | None) -> None:
        self._schema, self._known = schema, known
        nothing = pa.Table.from_arrays([empty_array(field.type) for field in types], names=types.names)
        derived, self._derived = with_derived(nothing, schema, known=known)
        self.types: pa.Schema = canonical_schema(derived.schema)

    def rows(self, batch: pa.RecordBatch) -> pa.Table:
        """Return rows with what is derived from them."""
        return with_derived(pa.Table.from_batches([batch]), self._schema, known=self._known)[0]

    def schema(self, fitted: Schema) -> Schema:
        """Return the schema of all columns, given that of those that nothing was derived from."""
        columns = {name: fitted.columns.get(name, entry) for name, entry in self._derived.columns.items()}
        return replace(fitted, columns=columns)


def split_off(schema: Schema) -> tuple[Schema, frozenset[str]]:
    """Return a schema without the columns that are derived from others of it, and the names of those."""
    derived = set()
    for name, column in schema.columns.items():
        words = {f"{name}.{word}" for word in _words_of(column)} & schema.columns.keys()
        derived |= {word for word in words if schema.columns[word].role == "metadata"}
        if column.tokens is not None:
            derived |= {f"{name}.{texts.TOKENS}"} & schema.columns.keys()
    kept = {name: column for name, column in schema.columns.items() if name not in derived}
    return replace(schema, columns=kept), frozenset(derived)


def completed(stated: Schema | None, known: Schema | None) -> Schema | None:
    """Return the schema of an upload: what was stated with what a reader measured, or what the reader knows."""
    if stated is None or known is None:
        return stated or known
    measured = {name: known.columns[name] for name in known.with_role("metadata")}
    return replace(stated, columns={**stated.columns, **measured})


def _words_of(column: Column) -> Mapping[str, str]:
    if column.type == "image":
        return images.WORDS
    if column.type == "text":
        return {"problem": "string", **texts.WORDS}
    return images.NUMBERS if column.shape else {}


def _derived(array: pa.Array, column: Column, *, measured: bool) -> dict[str, tuple[pa.Array, Column]]:
    """Return word -> column; of an image that was measured when its file was read there is nothing left to derive."""
    if column.type == "text":
        return _of_text(array, column)
    if not is_tensor(array.type) or measured:
        return {}
    if column.type == "image":
        return _as_metadata(images.of_images(array), images.WORDS)
    return _as_metadata(images.of_numbers(array), images.NUMBERS)


def _of_text(array: pa.Array, column: Column) -> dict[str, tuple[pa.Array, Column]]:
    measured, ids = texts.of_texts(array, column.tokens)
    derived = _as_metadata(measured, texts.WORDS)
    if ids is not None:
        derived[texts.TOKENS] = ids, Column(column.role, "tokens", tuple(ids.type.shape))
    return derived


def _as_metadata(values: Mapping[str, pa.Array], types: Mapping[str, str]) -> dict[str, tuple[pa.Array, Column]]:
    return {word: (array, Column("metadata", types[word])) for word, array in values.items()}
