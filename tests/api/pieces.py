"""How tests send a file in pieces (tus 1.0)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from django.contrib.auth.models import User
from django.http.response import HttpResponseBase
from django.test import RequestFactory
from rest_framework.test import APIClient, force_authenticate

from governance.api.uploads import UploadViewSet

ADDRESS = "/api/v1/uploads/"
PIECE = "application/offset+octet-stream"
TUS = {"Tus-Resumable": "1.0.0"}


def metadata(**values: str) -> dict[str, str]:
    pairs = (f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
    return {"Upload-Metadata": ",".join(pairs)}


def create(client: APIClient, length: object, content: bytes = b"", **headers: str) -> Any:
    """Create an upload; a content is its first piece. Headers are named as HTTP names them."""
    return client.generic(
        "POST",
        ADDRESS,
        data=content,
        content_type=PIECE if content else "",
        headers={**TUS, "Upload-Length": str(length), **headers},
    )


def created(client: APIClient, length: int, **headers: str) -> str:
    """Create an upload and return its address."""
    response = create(client, length, **headers)
    assert response.status_code == 201, response.content
    return str(response["Location"])


def patch(client: APIClient, address: str, content: bytes, offset: object, **headers: str) -> Any:
    return client.generic(
        "PATCH", address, data=content, content_type=PIECE, headers={**TUS, "Upload-Offset": str(offset), **headers}
    )


def head(client: APIClient, address: str) -> Any:
    return client.head(address, headers=TUS)


def offset_at(client: APIClient, address: str) -> int:
    response = head(client, address)
    assert response.status_code == 200
    return int(response["Upload-Offset"])


def sent(client: APIClient, content: bytes, **values: str) -> int:
    """Send a whole file in one piece and return the number of its upload."""
    address = created(client, len(content), **(metadata(**values) if values else {}))
    if content:
        assert patch(client, address, content, 0).status_code == 204
    return number_of(address)


def number_of(address: str) -> int:
    return int(address.rstrip("/").rpartition("/")[2])


class Cut:
    """What a server hands on of a body whose connection ends: by a close, or by a reset."""

    def __init__(self, content: bytes, *, is_reset: bool) -> None:
        self.content = content
        self.is_reset = is_reset

    def read(self, size: int) -> bytes:
        taken, self.content = self.content[:size], self.content[size:]
        if not taken and self.is_reset:
            raise ConnectionResetError
        return taken


def patch_cut(
    user: User,
    address: str,
    content: bytes,
    offset: int,
    *,
    cut: int,
    is_reset: bool = False,
    headers: Mapping[str, str] | None = None,
) -> HttpResponseBase:
    """Send a piece of which only the first ``cut`` bytes arrive."""
    said = {**TUS, "Upload-Offset": str(offset), **(headers or {})}
    request = RequestFactory().generic("PATCH", address, content, content_type=PIECE, headers=said)
    force_authenticate(request, user=user)
    request._stream = Cut(content[:cut], is_reset=is_reset)
    view = UploadViewSet.as_view({"patch": "partial_update"}, basename="upload")
    return view(request, pk=number_of(address)).render()
