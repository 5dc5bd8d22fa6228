"""Turn an upload into a data set version: read it, give it its types, digest and describe it, write its table."""

from __future__ import annotations

from typing import Any

from workers.context import JobContext
from workers.datasets.fitting import fit
from workers.datasets.formats import open_upload
from workers.datasets.profile import profile_of
from workers.datasets.writing import TREE_FILE, TableWriter

TABLE_FILE = "table.parquet"


def run(context: JobContext) -> dict[str, Any]:
    """Import an upload; no more of it than a few batches is in memory at once.

    Inputs: ``upload``. Parameters: ``filename`` (what the upload was called), ``schema`` (JSON, or None to infer it).
    Outputs: ``table.parquet``, ``tree.json`` (the digest of each chunk of each column).

    Returns:
        ``content_digest``, ``row_count``, ``schema`` and ``profile``.

    Raises:
        JobError: for everything that is wrong with the file or does not fit the schema.
    """
    filename, stated = context.parameters["filename"], context.parameters.get("schema")
    columns = stated.get("columns") if isinstance(stated, dict) else None
    names = frozenset(columns) if isinstance(columns, dict) else frozenset()
    upload = open_upload(context.input("upload"), filename=filename, stated_columns=names)
    surveyed = upload.row_count or 0

    def tell_surveyed(rows: int) -> None:
        nonlocal surveyed
        surveyed = max(surveyed, rows)
        context.progress(rows, upload.row_count or 0, "rows", "finding the types")

    fitting = fit(upload, stated, tell_surveyed)
    table = context.output(TABLE_FILE)
    with TableWriter(table, fitting.types) as writer:
        for batch in fitting.batches():
            writer.write(batch)
            context.progress(writer.row_count, surveyed, "rows", "casting and writing")
    writer.write_tree(context.output(TREE_FILE))
    schema = fitting.schema()
    return {
        "content_digest": writer.content_digest,
        "row_count": writer.row_count,
        "schema": schema.to_json(),
        "profile": profile_of(table, work=context.folder / "work", schema=schema, tell=context.progress),
    }
