"""Hand out a stored evidence file."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse, HttpRequest

from governance.exceptions import NotFound
from governance.models import StoredFile
from governance.storage import store
from governance.views.page import find, page
from workers.protocol import is_plain_name

_TYPES = {
    ".csv": "text/csv",
    ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@page
def file(request: HttpRequest, *, digest: str, name: str) -> Any:  # noqa: ARG001 - the decorator reads the request
    """Send a file as an attachment, never as a page of this site: what is in it was written by a child or uploaded."""
    stored = find(StoredFile.objects.all(), "There is no such file, or you may not see it.", digest=digest)
    if not is_plain_name(name):
        raise NotFound("There is no file of such a name.")
    suffix = "." + name.rpartition(".")[2]
    response = FileResponse(
        store().open(stored.digest),
        as_attachment=True,
        filename=name,
        content_type=_TYPES.get(suffix, "application/octet-stream"),
    )
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    return response
