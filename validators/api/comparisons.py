"""``comparisons/``: how two versions of data differ."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import IDEMPOTENCY_KEY, DatasetVersionField, Readable, StartsWork, StrictSerializer
from governance.api.jobs import JobSerializer
from governance.exceptions import StateConflict
from governance.permissions import Action
from governance.storage import store
from validators.models import Comparison
from validators.services import comparisons


class ComparisonSerializer(serializers.ModelSerializer[Comparison]):
    """What differs: rows, cells and columns; empty until the job has ended. ``differences/`` has every one."""

    before = DatasetVersionField(read_only=True)
    after = DatasetVersionField(read_only=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Comparison
        fields = [
            "id",
            "before",
            "after",
            "before_digest",
            "after_digest",
            "result",
            "job",
            "created_by",
            "created_at",
        ]


class ComparisonBody(StrictSerializer):
    """The earlier and the later version."""

    before = DatasetVersionField()
    after = DatasetVersionField()


class ComparisonViewSet(Readable[Comparison], StartsWork[Comparison]):
    """Comparisons; a POST starts one."""

    queryset = Comparison.objects.select_related(
        "before__dataset", "after__dataset", "job__created_by", "created_by"
    )  # fmt: skip
    serializer_class = ComparisonSerializer
    body_class = ComparisonBody
    filterset_fields = ["after__dataset__name"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_COMPARISON,
        "differences": Action.VIEW,
    }

    def start(self, body: dict[str, Any]) -> Comparison:
        return comparisons.request_comparison(before=body["before"], after=body["after"], by=self.user)

    @extend_schema(request=ComparisonBody, responses={202: ComparisonSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that compares two versions."""
        return super().create(request, *args, **kwargs)

    @extend_schema(responses={(200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def differences(self, request: Request, pk: int) -> FileResponse:
        """Download every row that was added or removed and every cell that changed, as Parquet."""
        comparison = self.get_object()
        if comparison.differences_id is None:
            which = str(comparison).capitalize()
            raise StateConflict(f"{which} has no differences: its job has not ended with a result.")
        return FileResponse(
            store().open(comparison.differences_id),
            as_attachment=True,
            filename=f"comparison-{comparison.pk}-differences.parquet",
            content_type="application/vnd.apache.parquet",
        )
