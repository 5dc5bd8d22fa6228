"""Turn an upload into a data set version: read it, give it its types, digest and describe it, write its table."""

from __future__ import annotations

from typing import Any

from workers.context import JobContext
from workers.datasets.arrays import write_table
from workers.datasets.canonical import content_digest
from workers.datasets.casting import fit
from workers.datasets.formats import read_upload
from workers.datasets.profile import profile_of

TABLE_FILE = "table.parquet"

_STEPS = (
    "reading the file",
    "casting the columns",
    "computing the digest",
    "describing the columns",
    "writing the table",
)


def run(context: JobContext) -> dict[str, Any]:
    """Import an upload.

    Inputs: ``upload``. Parameters: ``filename`` (what the upload was called), ``schema`` (JSON, or None to infer it).
    Outputs: ``table.parquet``.

    Returns:
        ``content_digest``, ``row_count``, ``schema`` and ``profile``.

    Raises:
        JobError: for everything that is wrong with the file or does not fit the schema.
    """
    filename, stated = context.parameters["filename"], context.parameters.get("schema")
    _tell(context, 0)
    columns = stated.get("columns") if isinstance(stated, dict) else None
    names = frozenset(columns) if isinstance(columns, dict) else frozenset()
    upload = read_upload(context.input("upload"), filename=filename, stated_columns=names)
    _tell(context, 1)
    table, schema = fit(upload, stated)
    _tell(context, 2)
    digest = content_digest(table)
    _tell(context, 3)
    profile = profile_of(table)
    _tell(context, 4)
    write_table(table, context.output(TABLE_FILE))
    return {"content_digest": digest, "row_count": table.num_rows, "schema": schema.to_json(), "profile": profile}


def _tell(context: JobContext, step: int) -> None:
    context.progress(step, len(_STEPS), "steps", _STEPS[step])
