"""The API of model evidence: each collection in a file of its own."""

from __future__ import annotations

from rest_framework.routers import BaseRouter

from audits.api.audits import AuditViewSet
from audits.api.explanations import ExplanationViewSet
from audits.api.findings import FindingViewSet


def register(router: BaseRouter) -> None:
    """Put the collections of this app under ``/api/v1/``."""
    router.register("explanations", ExplanationViewSet, basename="explanation")
    router.register("audits", AuditViewSet, basename="audit")
    router.register("findings", FindingViewSet, basename="finding")
