"""How tests send files."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile


def file(content: bytes = b"content", *, name: str = "model.pt2") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def form(content: bytes = b"content", *, name: str = "model.pt2", **fields: Any) -> dict[str, Any]:
    """Return the form of an upload; pass it with ``format="multipart"``."""
    return {**fields, "file": file(content, name=name)}
