"""Turn an upload into a data set version: read it, give it its types, digest and describe it, write its table."""

from __future__ import annotations

from typing import Any

from workers.context import JobContext
from workers.datasets.deriving import Deriving, completed, split_off
from workers.datasets.fitting import fit
from workers.datasets.formats import open_upload
from workers.datasets.formats.images import IMAGE
from workers.datasets.profile import profile_of
from workers.datasets.schema import Schema, SchemaError
from workers.datasets.showing import show
from workers.datasets.writing import TREE_FILE, TableWriter
from workers.protocol import JobError

TABLE_FILE = "table.parquet"


def run(context: JobContext) -> dict[str, Any]:
    """Import an upload; no more of it than a few batches is in memory at once.

    Inputs: ``upload``. Parameters: ``filename`` (what the upload was called), ``schema`` (JSON, or None to infer it).
    Outputs: ``table.parquet``, ``tree.json`` (the digest of each chunk of each column), and ``images-N.png`` with some
    pictures of each image column.

    Returns:
        ``content_digest``, ``row_count``, ``schema``, ``profile`` and ``media`` (``workers.datasets.showing``).

    Raises:
        JobError: for everything that is wrong with the file or does not fit the schema.
    """
    stated, renewed = _stated(context.parameters.get("schema"))
    upload = open_upload(
        context.input("upload"),
        filename=context.parameters["filename"],
        stated_columns=frozenset() if stated is None else frozenset({*stated.columns, *renewed}),
        image_shape=_image_shape(stated),
        progress=context.progress,
    )
    upload = upload.without(renewed) if upload.known is None else upload
    schema = completed(stated, upload.known)
    surveyed = upload.row_count or 0

    def tell_surveyed(rows: int) -> None:
        nonlocal surveyed
        surveyed = max(surveyed, rows)
        context.progress(rows, upload.row_count or 0, "rows", "finding the types")

    fitting = fit(upload, None if schema is None else schema.to_json(), tell_surveyed)
    deriving = Deriving(fitting.types, fitting.schema(), upload.known)
    table = context.output(TABLE_FILE)
    with TableWriter(table, deriving.types) as writer:
        for batch in fitting.batches():
            writer.write(deriving.rows(batch))
            context.progress(writer.row_count, surveyed, "rows", "casting and writing")
    writer.write_tree(context.output(TREE_FILE))
    schema = deriving.schema(fitting.schema())
    return {
        "content_digest": writer.content_digest,
        "row_count": writer.row_count,
        "schema": schema.to_json(),
        "profile": profile_of(table, work=context.folder / "work", schema=schema, tell=context.progress),
        "media": show(table, schema, output=context.output, notes=upload.notes),
    }


def _stated(document: Any | None) -> tuple[Schema | None, frozenset[str]]:
    """Return the schema that was stated without the columns that are derived, and the names of those."""
    if document is None:
        return None, frozenset()
    try:
        return split_off(Schema.from_json(document))
    except SchemaError as error:
        raise JobError("schema_not_valid", str(error), place="schema") from error


def _image_shape(stated: Schema | None) -> tuple[int, ...]:
    column = None if stated is None else stated.columns.get(IMAGE)
    return () if column is None else column.shape
