"""The API of data evidence: each collection in a file of its own."""

from __future__ import annotations

from rest_framework.routers import BaseRouter

from validators.api.cleanings import CleaningViewSet
from validators.api.suites import SuiteViewSet
from validators.api.validations import ValidationViewSet


def register(router: BaseRouter) -> None:
    """Put the collections of this app under ``/api/v1/``."""
    router.register("suites", SuiteViewSet, basename="suite")
    router.register("validations", ValidationViewSet, basename="validation")
    router.register("cleanings", CleaningViewSet, basename="cleaning")
