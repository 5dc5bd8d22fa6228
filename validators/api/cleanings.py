"""``cleanings/``: from one data set version to a cleaner one."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import (
    IDEMPOTENCY_KEY,
    DatasetVersionField,
    Readable,
    StartsWork,
    StrictSerializer,
)
from governance.api.jobs import JobSerializer
from governance.exceptions import NotFound
from governance.permissions import Action
from governance.storage import store
from validators.api.suites import SuiteField
from validators.models import Cleaning
from validators.services import cleanings

#: Files that a cleaning leaves, by the name in the address.
FILES = ("quarantine", "changes")


class CleaningSerializer(serializers.ModelSerializer[Cleaning]):
    """What a cleaning did: the plan, the counts, examples, and where the new version is."""

    dataset = DatasetVersionField(read_only=True)
    suite = SuiteField(read_only=True, allow_null=True)
    cleaned_to = DatasetVersionField(read_only=True, allow_null=True)
    files = serializers.SerializerMethodField()
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Cleaning
        fields = [
            "id",
            "dataset",
            "suite",
            "plan",
            "cleaned_to",
            "report",
            "files",
            "job",
            "created_by",
            "created_at",
        ]

    def get_files(self, cleaning: Cleaning) -> dict[str, str]:
        """Return the digest of each file, by name."""
        digests = {name: getattr(cleaning, f"{name}_id") for name in FILES}
        return {name: digest for name, digest in digests.items() if digest is not None}


class CleaningBody(StrictSerializer):
    """What to clean, by a suite's ``meta.clean`` or by an explicit plan of ordered steps."""

    dataset = DatasetVersionField()
    suite = SuiteField(required=False)
    plan = serializers.ListField(child=serializers.DictField(), required=False)


class CleaningViewSet(Readable[Cleaning], StartsWork[Cleaning]):
    """Cleanings; a POST starts one."""

    queryset = Cleaning.objects.select_related(
        "dataset__dataset", "suite", "cleaned_to__dataset", "job__created_by", "created_by"
    )
    serializer_class = CleaningSerializer
    body_class = CleaningBody
    filterset_fields = ["dataset__dataset__name"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_CLEANING,
        "file": Action.VIEW,
    }

    def start(self, body: dict[str, Any]) -> Cleaning:
        return cleanings.request_cleaning(
            dataset=body["dataset"], suite=body.get("suite"), plan=body.get("plan"), by=self.user
        )

    @extend_schema(request=CleaningBody, responses={202: CleaningSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that makes a cleaned version."""
        return super().create(request, *args, **kwargs)

    @extend_schema(
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=FILES)],
        responses={(200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY},
    )
    @action(detail=True, methods=["get"], url_path="files/<str:name>")
    def file(self, request: Request, pk: int, name: str) -> FileResponse:
        """Download the removed rows or the changed cells with their reasons, as Parquet."""
        cleaning = self.get_object()
        digest = getattr(cleaning, f"{name}_id") if name in FILES else None
        if digest is None:
            raise NotFound(f"{str(cleaning).capitalize()} has no file {name!r}; files are {', '.join(FILES)}.")
        return FileResponse(
            store().open(digest),
            as_attachment=True,
            filename=f"cleaning-{cleaning.pk}-{name}.parquet",
            content_type="application/vnd.apache.parquet",
        )
