"""``screenings/``: what detectors found in data set versions, the rows they name, and a plan for cleaning."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import FileResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
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
from governance.exceptions import StateConflict
from governance.permissions import Action
from governance.storage import store
from validators.models import Screening, ScreeningPurpose
from validators.services import screenings

PLAN = inline_serializer(
    "ScreeningPlan",
    {
        "dataset": serializers.CharField(help_text="the version that the plan is for"),
        "plan": serializers.ListField(child=serializers.DictField(), help_text="ordered steps, as cleanings take them"),
        "left_out": serializers.ListField(child=serializers.CharField(), help_text="found, and left to a person"),
    },
)


class ScreeningSerializer(serializers.ModelSerializer[Screening]):
    """What detectors found on one content; ``detections`` is empty until the job has ended."""

    dataset = DatasetVersionField(read_only=True)
    against = DatasetVersionField(read_only=True, allow_null=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Screening
        fields = [
            "id",
            "dataset",
            "dataset_digest",
            "against",
            "against_digest",
            "purpose",
            "detectors",
            "detections",
            "row_count",
            "digest",
            "job",
            "created_by",
            "created_at",
        ]


class ScreeningBody(StrictSerializer):
    """What to screen, against what, for which purpose; without ``detectors`` all of the purpose run."""

    dataset = DatasetVersionField()
    against = DatasetVersionField(required=False)
    purpose = serializers.ChoiceField(choices=ScreeningPurpose.values, default=ScreeningPurpose.QUALITY.value)
    detectors = serializers.ListField(child=serializers.CharField(), required=False)
    parameters = serializers.DictField(child=serializers.DictField(), required=False)


class ScreeningViewSet(Readable[Screening], StartsWork[Screening]):
    """Screenings; a POST starts one."""

    queryset = Screening.objects.select_related("dataset__dataset", "against__dataset", "job__created_by", "created_by")
    serializer_class = ScreeningSerializer
    body_class = ScreeningBody
    filterset_fields = ["dataset__dataset__name", "purpose"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_SCREENING,
        "rows": Action.VIEW,
        "plan": Action.VIEW,
    }

    def start(self, body: dict[str, Any]) -> Screening:
        return screenings.request_screening(
            dataset=body["dataset"],
            against=body.get("against"),
            purpose=body["purpose"],
            detectors=body.get("detectors"),
            parameters=body.get("parameters"),
            by=self.user,
        )

    @extend_schema(request=ScreeningBody, responses={202: ScreeningSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that screens a data set version."""
        return super().create(request, *args, **kwargs)

    @extend_schema(responses={(200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def rows(self, request: Request, pk: int) -> FileResponse:
        """Download every row that a detector names, with its reasons, as Parquet."""
        screening = self.get_object()
        if screening.rows_id is None:
            raise StateConflict(f"{str(screening).capitalize()} has no rows: its job has not ended with a result.")
        return FileResponse(
            store().open(screening.rows_id),
            as_attachment=True,
            filename=f"screening-{screening.pk}-rows.parquet",
            content_type="application/vnd.apache.parquet",
        )

    @extend_schema(responses={200: PLAN})
    @action(detail=True, methods=["get"])
    def plan(self, request: Request, pk: int) -> Response:
        """Read the cleaning steps that follow from it, with pinned bounds; ``cleanings/`` takes them as they are."""
        return Response(screenings.plan_of(self.get_object()))
