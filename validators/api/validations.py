"""``validations/``: suites run on data set versions, their failing rows, their waivers."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import FileResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
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
from validators.api.suites import SuiteField
from validators.models import Validation, Waiver
from validators.rows import unexpected_rows
from validators.services import validations


class WaiverSerializer(serializers.ModelSerializer[Waiver]):
    """Who let a failed validation pass, why, and until when."""

    granted_by = serializers.CharField(source="granted_by.username", read_only=True)
    is_in_force = serializers.SerializerMethodField()

    class Meta:
        model = Waiver
        fields = ["id", "reason", "expires_at", "granted_by", "granted_at", "is_in_force"]

    def get_is_in_force(self, waiver: Waiver) -> bool:
        return waiver.expires_at > timezone.now()


class ValidationSerializer(serializers.ModelSerializer[Validation]):
    """What a suite found on one content; ``success`` is null until the job has ended."""

    dataset = DatasetVersionField(read_only=True)
    suite = SuiteField(read_only=True)
    waivers = WaiverSerializer(many=True, read_only=True)
    waiver = serializers.SerializerMethodField()
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Validation
        fields = [
            "id",
            "dataset",
            "dataset_digest",
            "suite",
            "success",
            "statistics",
            "results",
            "row_count",
            "waiver",
            "waivers",
            "digest",
            "job",
            "created_by",
            "created_at",
        ]

    @extend_schema_field(WaiverSerializer(allow_null=True))
    def get_waiver(self, validation: Validation) -> dict[str, Any] | None:
        """Return the waiver that is in force, if one is."""
        in_force = [waiver for waiver in validation.waivers.all() if waiver.expires_at > timezone.now()]
        return dict(WaiverSerializer(in_force[0]).data) if in_force else None


class ValidationDetailSerializer(ValidationSerializer):
    """A validation with its unexpected rows, each with all its reasons: the first thousand; ``rows/`` has every one."""

    rows = serializers.SerializerMethodField()

    class Meta(ValidationSerializer.Meta):
        fields = [*ValidationSerializer.Meta.fields, "rows"]

    def get_rows(self, validation: Validation) -> list[dict[str, Any]]:
        return unexpected_rows(validation)


class ValidationBody(StrictSerializer):
    """What to validate against what."""

    dataset = DatasetVersionField()
    suite = SuiteField()


class WaiverBody(StrictSerializer):
    """Why and until when a failed validation does not close the gate."""

    reason = serializers.CharField()
    expires_at = serializers.DateTimeField()


class ValidationViewSet(Readable[Validation], StartsWork[Validation]):
    """Validations; a POST starts one."""

    queryset = Validation.objects.select_related(
        "dataset__dataset", "suite", "job__created_by", "created_by"
    ).prefetch_related("waivers__granted_by")
    serializer_class = ValidationSerializer
    body_class = ValidationBody
    filterset_fields = ["dataset__dataset__name", "success"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_VALIDATION,
        "rows": Action.VIEW,
        "waive": Action.GRANT_WAIVER,
    }

    def get_serializer_class(self) -> type[serializers.ModelSerializer[Validation]]:
        return ValidationDetailSerializer if self.action == "retrieve" else ValidationSerializer

    def start(self, body: dict[str, Any]) -> Validation:
        return validations.request_validation(dataset=body["dataset"], suite=body["suite"], by=self.user)

    @extend_schema(request=ValidationBody, responses={202: ValidationSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that runs a suite on a data set version."""
        return super().create(request, *args, **kwargs)

    @extend_schema(responses={(200, "application/vnd.apache.parquet"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def rows(self, request: Request, pk: int) -> FileResponse:
        """Download every unexpected row with its reasons, as Parquet."""
        validation = self.get_object()
        if validation.rows_id is None:
            raise StateConflict(f"{str(validation).capitalize()} has no rows: its job has not ended with a result.")
        return FileResponse(
            store().open(validation.rows_id),
            as_attachment=True,
            filename=f"validation-{validation.pk}-rows.parquet",
            content_type="application/vnd.apache.parquet",
        )

    @extend_schema(request=WaiverBody, responses={201: WaiverSerializer})
    @action(detail=True, methods=["post"])
    def waive(self, request: Request, pk: int) -> Response:
        """Let the data set be used although this validation failed; nobody waives on a data set of their own."""
        validation = self.get_object()
        waiver = validations.grant_waiver(validation=validation, by=self.user, **self.read_body(WaiverBody))
        return Response(WaiverSerializer(waiver).data, status=201)
