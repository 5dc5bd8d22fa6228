"""The API of the record: each collection in a file of its own."""

from __future__ import annotations

from rest_framework.routers import BaseRouter


def register(router: BaseRouter) -> None:
    """Put the collections of this app under ``/api/v1/``."""
