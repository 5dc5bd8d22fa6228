"""The API of data evidence: each collection in a file of its own."""

from __future__ import annotations

from rest_framework.routers import BaseRouter

from validators.api.cleanings import CleaningViewSet
from validators.api.comparisons import ComparisonViewSet
from validators.api.datasets import DatasetRecordViewSet, DatasheetViewSet
from validators.api.proposals import ProposalViewSet, SuggestionViewSet
from validators.api.restorations import RestorationViewSet
from validators.api.screenings import ScreeningViewSet
from validators.api.splits import SplitViewSet
from validators.api.suites import SuiteViewSet
from validators.api.validations import ValidationViewSet


def register(router: BaseRouter) -> None:
    """Put the collections of this app under ``/api/v1/``."""
    router.register("suites/suggest", SuggestionViewSet, basename="suggestion")
    router.register("suites", SuiteViewSet, basename="suite")
    router.register("proposals", ProposalViewSet, basename="proposal")
    router.register("validations", ValidationViewSet, basename="validation")
    router.register("cleanings", CleaningViewSet, basename="cleaning")
    router.register("restorations", RestorationViewSet, basename="restoration")
    router.register("splits", SplitViewSet, basename="split")
    router.register("comparisons", ComparisonViewSet, basename="comparison")
    router.register("datasets/<str:name>", DatasheetViewSet, basename="datasheet")
    router.register("datasets/<str:name>/versions/<int:number>", DatasetRecordViewSet, basename="dataset-record")
    router.register("screenings", ScreeningViewSet, basename="screening")
