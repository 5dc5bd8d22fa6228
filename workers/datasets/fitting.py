"""From an upload to the table of a schema, a batch at a time; without a schema, the types come from the content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workers.datasets.canonical import is_tensor, thread_count
from workers.datasets.casting import Caster, caster_of_kind, stated_caster, unchanged
from workers.datasets.schema import SPLITS, Column, Schema, SchemaError
from workers.datasets.survey import ColumnSurvey, DecimalSurvey, Survey, ZoneSurvey
from workers.datasets.upload import Upload
from workers.protocol import JobError

#: A text column with at most so many values, each of which comes twice or more on average, is a category.
MAX_CATEGORIES = 100

#: Told how many rows a pass has seen so far.
Tell = Callable[[int], None]


class Fitting:
    """The rows of an upload in the types of its schema, which is known when all of them have been read.

    Attributes:
        types: the columns of ``batches``, in canonical types and the order of the file.
    """

    def __init__(self, upload: Upload, casters: Mapping[str, Caster], stated: Schema | None) -> None:
        self._upload = upload
        self._casters = casters
        self._stated = stated
        empty = [casters[field.name](empty_array(field.type), 0) for field in upload.schema]
        self.types = pa.schema([(name, array.type) for name, array in zip(upload.names, empty, strict=True)])
        texts = [field.name for field in self.types if pa.types.is_string(field.type)] if stated is None else []
        self._words = {name: _Words() for name in texts}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows.

        Raises:
            JobError: what is wrong with the file, and ``value_does_not_fit_type`` with column, row and value.
        """
        first_row = 0
        with ThreadPoolExecutor(thread_count()) as pool:
            for batch in self._upload.batches():
                casts = [
                    pool.submit(self._casters[name], array, first_row)
                    for name, array in zip(self._upload.names, batch.columns, strict=True)
                ]
                arrays = [cast.result() for cast in casts]
                for name, words in self._words.items():
                    words.add(arrays[self.types.get_field_index(name)])
                yield pa.RecordBatch.from_arrays(arrays, schema=self.types)
                first_row += batch.num_rows

    def schema(self) -> Schema:
        """Return the schema in the order of the file, with shapes; one that nobody stated tells what was seen."""
        if self._stated is not None:
            return self._stated
        columns = {field.name: _described(field.name, field.type, self._words.get(field.name)) for field in self.types}
        modality = "image" if any(column.type == "image" for column in columns.values()) else "tabular"
        return Schema(modality, columns)


def fit(upload: Upload, stated: Any | None, tell: Tell = lambda _rows: None) -> Fitting:
    """Decide how each column is read; where texts have to be looked at for that, in a pass of its own.

    Raises:
        JobError: codes ``schema_not_valid``, ``column_missing``, ``column_not_in_schema``, ``mixed_types`` (column, row
            and value), ``value_does_not_fit_type``, ``array_shape``, and what is wrong with the file.
    """
    schema = None if stated is None else _checked(upload, stated)
    surveys = _surveys(upload, schema, tell)
    casters: dict[str, Caster] = {}
    columns: dict[str, Column] = {}
    for field in upload.schema:
        name, survey = field.name, surveys.get(field.name)
        if schema is not None:
            casters[name], columns[name] = stated_caster(field.type, schema.columns[name], name, survey)
        else:
            casters[name] = caster_of_kind(survey.kind(), name) if isinstance(survey, ColumnSurvey) else unchanged
    return Fitting(upload, casters, None if schema is None else Schema(schema.modality, columns))


def empty_array(data_type: pa.DataType) -> pa.Array:
    """Return a column of a type without rows."""
    if is_tensor(data_type):
        return pa.ExtensionArray.from_storage(data_type, pa.array([], data_type.storage_type))
    return pa.array([], data_type)


class _Words:
    """The different texts of a column, as long as they may be those of a category or of a split."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.count = 0
        self.has_missing = False

    def add(self, texts: pa.Array) -> None:
        self.count += len(texts) - texts.null_count
        self.has_missing = self.has_missing or texts.null_count > 0
        if len(self.seen) <= MAX_CATEGORIES:
            self.seen |= set(pc.unique(texts.drop_null()).slice(0, MAX_CATEGORIES + 1).to_pylist())

    @property
    def are_categories(self) -> bool:
        return len(self.seen) <= MAX_CATEGORIES and 2 * len(self.seen) <= self.count

    @property
    def are_splits(self) -> bool:
        return bool(self.seen) and self.seen <= set(SPLITS) and not self.has_missing


def _checked(upload: Upload, stated: Any) -> Schema:
    """Read a stated schema; it and the file name the same columns."""
    try:
        schema = Schema.from_json(stated)
    except SchemaError as error:
        raise JobError("schema_not_valid", str(error), place="schema") from error
    names = upload.names
    for name in schema.columns:
        if name not in names:
            raise JobError(
                "column_missing",
                f"The schema names the column {name!r}, which the file lacks; it has {_listed(names)}.",
                place=name,
            )
    for name in names:
        if name not in schema.columns:
            raise JobError(
                "column_not_in_schema",
                f"The file has the column {name!r}, which the schema does not name; a column that nothing should "
                "read has the role `ignore`.",
                place=name,
            )
    return schema


def _surveys(upload: Upload, schema: Schema | None, tell: Tell) -> dict[str, Survey]:
    """Look at all cells of the texts whose reading depends on them: in a CSV without a schema that is every column."""
    surveys: dict[str, Survey] = {}
    for field in upload.schema:
        if not pa.types.is_string(field.type):
            continue
        if schema is None:
            if upload.kind == "csv":
                surveys[field.name] = ColumnSurvey(field.name)
        elif schema.columns[field.name].type == "decimal":
            surveys[field.name] = DecimalSurvey()
        elif schema.columns[field.name].type == "datetime":
            surveys[field.name] = ZoneSurvey()
    if not surveys:
        return {}
    first_row = 0
    places = {name: upload.schema.get_field_index(name) for name in surveys}
    with ThreadPoolExecutor(thread_count()) as pool:
        for batch in upload.batches():
            for added in [
                pool.submit(survey.add, batch.column(places[name]), first_row) for name, survey in surveys.items()
            ]:
                added.result()
            first_row += batch.num_rows
            tell(first_row)
    return surveys


def _described(name: str, data_type: pa.DataType, words: _Words | None) -> Column:
    """Describe a column by what it holds. Names say nothing here, with one exception.

    A column named ``split`` that holds nothing but train, validation and test has that role; all others are features
    until a schema says more.
    """
    if is_tensor(data_type):
        shape = tuple(data_type.shape)
        whole = pa.types.is_integer(data_type.value_type)
        # One axis in a row is a vector of numbers; two or more are a picture.
        return Column("feature", "image" if len(shape) > 1 else "integer" if whole else "float", shape)
    if words is not None:
        if name.lower() == "split" and words.are_splits:
            return Column("split", "category")
        return Column("feature", "category" if words.are_categories else "string")
    for is_type, word in (
        (pa.types.is_integer, "integer"),
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_decimal, "decimal"),
        (pa.types.is_date, "date"),
        (pa.types.is_timestamp, "datetime"),
    ):
        if is_type(data_type):
            return Column("feature", word)
    return Column("feature", "float")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20:,} more" if len(names) > 20 else "")
