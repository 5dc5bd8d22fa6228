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
from rest_framework.utils.urls import replace_query_param

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
from validators.engine.suites import SEVERITIES
from validators.models import Validation, Waiver
from validators.rows import MOST_ROWS, FailureFilter, failures, unexpected_rows
from validators.services import validations

#: No row and no place in a file is further.
_LAST = 2**63 - 1


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


class FailureQuery(StrictSerializer):
    """Which failing rows are asked for."""

    expectation = serializers.CharField(required=False, help_text="The id or the type of an expectation.")
    column = serializers.CharField(required=False, trim_whitespace=False, help_text="A column that the rule names.")
    severity = serializers.ChoiceField(choices=SEVERITIES, required=False)
    from_row = serializers.IntegerField(min_value=0, max_value=_LAST, required=False, help_text="Counted from 0.")
    to_row = serializers.IntegerField(min_value=0, max_value=_LAST, required=False, help_text="This row included.")
    limit = serializers.IntegerField(min_value=1, max_value=MOST_ROWS, default=100)
    cursor = serializers.IntegerField(min_value=0, max_value=_LAST, default=0, help_text="From `next` of an answer.")


class FailureSerializer(serializers.Serializer[Any]):
    """One row that does not meet one rule."""

    row = serializers.IntegerField(help_text="Counted from 0.")
    expectation_id = serializers.CharField()
    expectation = serializers.CharField()
    column = serializers.CharField()
    value = serializers.CharField(allow_null=True)
    reason = serializers.CharField()
    severity = serializers.ChoiceField(choices=SEVERITIES, allow_null=True)


class FailurePageSerializer(serializers.Serializer[Any]):
    """A page of failing rows; pages are read forward only, so that ``previous`` is null."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = FailureSerializer(many=True)


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
        "failures": Action.VIEW,
        "results": Action.VIEW,
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

    @extend_schema(parameters=[FailureQuery], responses={200: FailurePageSerializer})
    @action(detail=True, methods=["get"], filterset_fields=[], pagination_class=None)
    def failures(self, request: Request, pk: int) -> Response:
        """List rows that do not meet a rule, a line a row and rule, in the order of the rows; filtered and by pages."""
        validation = self.get_object()
        query = FailureQuery(data=request.query_params)
        query.is_valid(raise_exception=True)
        asked = query.validated_data
        after, limit = asked.pop("cursor"), asked.pop("limit")
        lines, following = failures(validation, FailureFilter(**asked), after=after, limit=limit)
        address = None if following is None else replace_query_param(request.build_absolute_uri(), "cursor", following)
        return Response({"next": address, "previous": None, "results": lines})

    @extend_schema(responses={(200, "application/json"): OpenApiTypes.OBJECT})
    @action(detail=True, methods=["get"])
    def results(self, request: Request, pk: int) -> FileResponse:
        """Download the result as Great Expectations writes one; its own classes and renderers read it."""
        validation = self.get_object()
        if validation.result_file_id is None:
            raise StateConflict(f"{str(validation).capitalize()} has no result: its job has not ended with one.")
        return FileResponse(
            store().open(validation.result_file_id),
            as_attachment=True,
            filename=f"validation-{validation.pk}-results.json",
            content_type="application/json",
        )

    @extend_schema(request=WaiverBody, responses={201: WaiverSerializer})
    @action(detail=True, methods=["post"])
    def waive(self, request: Request, pk: int) -> Response:
        """Let the data set be used although this validation failed; nobody waives on a data set of their own."""
        validation = self.get_object()
        waiver = validations.grant_waiver(validation=validation, by=self.user, **self.read_body(WaiverBody))
        return Response(WaiverSerializer(waiver).data, status=201)
