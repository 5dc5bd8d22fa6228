"""The same request with the same ``Idempotency-Key`` starts work once and gets the same answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import cast

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from governance.exceptions import IdempotencyConflict, InvalidInput
from governance.models import IdempotencyRecord
from governance.uploads import ReceivedForm
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
    user = cast(User, request.user)
    digest = _digest(request)
    with transaction.atomic():
        try:
            with transaction.atomic():
                record = IdempotencyRecord.objects.create(user=user, key=key, request_digest=digest)
        except IntegrityError:
            return _first_answer(IdempotencyRecord.objects.get(user=user, key=key), digest)
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
    if isinstance(body, ReceivedForm):  # a file counts by its content
        digest = "" if body.file is None else body.file.digest
        body = {"fields": body.fields, "filename": body.filename, "file": digest}
    return digest_of_json({"method": request.method, "path": request.path, "body": body})
