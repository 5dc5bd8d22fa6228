"""The API of the record: each collection in a file of its own."""

from __future__ import annotations

from rest_framework.routers import BaseRouter

from governance.api.datasets import DatasetVersionViewSet, DatasetViewSet
from governance.api.evaluations import EvaluationViewSet
from governance.api.events import EventViewSet
from governance.api.health import InstallationViewSet
from governance.api.jobs import JobViewSet
from governance.api.models import ModelViewSet, VersionViewSet
from governance.api.policies import PolicyNumberViewSet, PolicyViewSet
from governance.api.reviews import ReviewViewSet
from governance.api.statements import KeyViewSet, StatementViewSet
from governance.api.trainings import TrainingViewSet
from governance.api.uploads import UploadViewSet


def register(router: BaseRouter) -> None:
    """Put the collections of this app under ``/api/v1/``."""
    router.register("models", ModelViewSet, basename="model")
    router.register("models/<str:name>/versions", VersionViewSet, basename="version")
    router.register("datasets", DatasetViewSet, basename="dataset")
    router.register("datasets/<str:name>/versions", DatasetVersionViewSet, basename="dataset-version")
    router.register("uploads", UploadViewSet, basename="upload")
    router.register("trainings", TrainingViewSet, basename="training")
    router.register("evaluations", EvaluationViewSet, basename="evaluation")
    router.register("reviews", ReviewViewSet, basename="review")
    router.register("jobs", JobViewSet, basename="job")
    router.register("policies", PolicyViewSet, basename="policy")
    router.register("policies/<str:name>", PolicyNumberViewSet, basename="policy-number")
    router.register("events", EventViewSet, basename="event")
    router.register("statements", StatementViewSet, basename="statement")
    router.register("keys", KeyViewSet, basename="key")
    router.register("", InstallationViewSet, basename="installation")
