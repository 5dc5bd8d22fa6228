"""The same request with the same ``Idempotency-Key`` starts work once and gets the same answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from governance.exceptions import IdempotencyConflict, InvalidInput
from governance.models import IdempotencyRecord
from workers.protocol import digest_of_json

HEADER = "Idempotency-Key"
_LONGEST_KEY = 255


def once(request: Request, work: Callable[[], Response]) -> Response:
    """Do the work and return its answer; with a key that was used for the same request, return the first answer.

    Record and work share one transaction: work that fails leaves no record, so that it can be asked for again, and a
    crash leaves neither. A second request that comes while the first is under way waits for it on the unique key
    (PostgreSQL) or the write lock (SQLite), and then finds the answer.

    Raises:
        IdempotencyConflict: when the key was used for another request.
    """
    key = request.headers.get(HEADER)
    if key is None:
        return work()
    if not 0 < len(key) <= _LONGEST_KEY or not key.isprintable():
        raise InvalidInput(
            f"An {HEADER} has 1 to {_LONGEST_KEY} printable characters.",
            errors=[{"place": HEADER, "detail": f"It has {len(key)} characters, or one that cannot be printed."}],
        )
    digest = _digest(request)
    with transaction.atomic():
        try:
            with transaction.atomic():
                record = IdempotencyRecord.objects.create(user=request.user, key=key, request_digest=digest)
        except IntegrityError:
            return _first_answer(IdempotencyRecord.objects.get(user=request.user, key=key), digest)
        response = work()
        record.status = response.status_code
        record.body = json.loads(json.dumps(response.data, cls=JSONEncoder))
        record.location = response.headers.get("Location", "")
        record.save(update_fields=["status", "body", "location"])
    return response


def _first_answer(record: IdempotencyRecord, digest: str) -> Response:
    if record.request_digest != digest:
        raise IdempotencyConflict(
            f"The {HEADER} {record.key!r} was used on {record.created_at:%d %b %Y %H:%M} UTC for another request; "
            "take a new key."
        )
    headers = {"Location": record.location} if record.location else {}
    return Response(record.body, status=record.status, headers=headers)


def _digest(request: Request) -> str:
    body = request.data
    plain = (
        body
        if not hasattr(body, "lists")
        else {name: [_plain(value) for value in values] for name, values in body.lists()}
    )
    return digest_of_json({"method": request.method, "path": request.path, "body": plain})


def _plain(value: Any) -> Any:
    """Return what stands for one field of a form: a file counts by its content."""
    if isinstance(value, UploadedFile):
        return {"name": value.name, "digest": value.stored.digest}  # type: ignore[attr-defined]  # a StoredUpload
    return value
