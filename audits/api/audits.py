"""``audits/``: a version measured against a policy, and its frozen reports."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audits.models import Audit, CheckResult, Finding, Report
from audits.services import audits, packs
from governance.api.base import (
    IDEMPOTENCY_KEY,
    DatasetVersionField,
    ModelVersionField,
    PolicyField,
    Readable,
    StartsWork,
    StrictSerializer,
)
from governance.api.jobs import JobSerializer
from governance.exceptions import InvalidInput, StateConflict
from governance.permissions import Action
from governance.storage import store

CONTENT_TYPES = {Report.Format.HTML: "text/html; charset=utf-8", Report.Format.JSON: "application/json"}


class AuditFindingSerializer(serializers.ModelSerializer[Finding]):
    """A finding in brief; ``findings/{id}/`` has it whole."""

    class Meta:
        model = Finding
        fields = ["id", "severity", "title", "disposition"]


class CheckResultSerializer(serializers.ModelSerializer[CheckResult]):
    """One check: its status with a reason and its numbers with intervals."""

    id = serializers.CharField(source="check_id", read_only=True)
    findings = serializers.SerializerMethodField()

    class Meta:
        model = CheckResult
        fields = [
            "id",
            "title",
            "status",
            "severity",
            "reason",
            "metrics",
            "condition",
            "parameters",
            "findings",
            "seconds",
        ]

    def get_findings(self, check: CheckResult) -> list[dict[str, Any]]:
        raised = [finding for finding in check.audit.findings.all() if finding.check_id == check.check_id]
        return list(AuditFindingSerializer(raised, many=True).data)


class AuditSerializer(serializers.ModelSerializer[Audit]):
    """An audit; ``verdict`` is empty until the job has ended."""

    model = ModelVersionField(source="version", read_only=True)
    dataset = DatasetVersionField(read_only=True)
    training_data = DatasetVersionField(read_only=True, allow_null=True)
    policy = PolicyField(read_only=True)
    checks = CheckResultSerializer(many=True, read_only=True)
    reports = serializers.SerializerMethodField()
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Audit
        fields = [
            "id",
            "model",
            "dataset",
            "training_data",
            "policy",
            "criteria",
            "criteria_digest",
            "verdict",
            "verdict_reason",
            "coverage",
            "checks",
            "reports",
            "digest",
            "job",
            "created_by",
            "created_at",
        ]

    def get_reports(self, audit: Audit) -> dict[str, str]:
        """Return the digest of each frozen report, by format."""
        return {report.format: report.digest for report in audit.reports.all()}


class AuditBody(StrictSerializer):
    """What to audit, on what, under which policy; ``checks`` selects some, and then the audit cannot pass."""

    model = ModelVersionField(source="version")
    dataset = DatasetVersionField()
    training_data = DatasetVersionField(required=False)
    policy = PolicyField(required=False)
    checks = serializers.ListField(child=serializers.CharField(max_length=20), min_length=1, required=False)


class AuditViewSet(Readable[Audit], StartsWork[Audit]):
    """Audits; a POST locks the criteria and starts one."""

    queryset = Audit.objects.select_related(
        "version__model", "dataset__dataset", "training_data__dataset", "policy", "job__created_by", "created_by"
    ).prefetch_related("checks__audit__findings", "reports")
    serializer_class = AuditSerializer
    body_class = AuditBody
    filterset_fields = ["version__model__name", "verdict"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_AUDIT,
        "report": Action.VIEW,
        "pack": Action.VIEW,
    }

    def start(self, body: dict[str, Any]) -> Audit:
        return audits.request_audit(by=self.user, **body)

    @extend_schema(request=AuditBody, responses={202: AuditSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Lock the criteria, by digest, and start a job that measures the version against them."""
        return super().create(request, *args, **kwargs)

    @extend_schema(
        parameters=[OpenApiParameter("format", str, enum=list(Report.Format.values), default="html")],
        responses={(200, "text/html"): OpenApiTypes.STR, (200, "application/json"): OpenApiTypes.OBJECT},
    )
    @action(detail=True, methods=["get"])
    def report(self, request: Request, pk: int) -> HttpResponse:
        """Download the report as it was frozen when the audit ended."""
        audit = self.get_object()
        wanted = request.query_params.get("format", Report.Format.HTML)
        if wanted not in Report.Format.values:
            raise InvalidInput(
                f"There is no report as {wanted!r}.",
                errors=[{"place": "format", "detail": f"Formats are {', '.join(Report.Format.values)}."}],
            )
        report = audit.reports.filter(format=wanted).first()
        if report is None:
            raise StateConflict(f"{str(audit).capitalize()} has no report: its job has not ended with a result.")
        with store().open(report.file_id) as stream:
            response = HttpResponse(stream.read(), content_type=CONTENT_TYPES[Report.Format(wanted)])
        response["Content-Disposition"] = f'attachment; filename="audit-{audit.pk}.{wanted}"'
        return response

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"])
    def pack(self, request: Request, pk: int) -> HttpResponse:
        """Download the evidence pack: reports, signed statements, BOM, keys and events, for `assay-verify`."""
        audit = self.get_object()
        response = HttpResponse(packs.evidence_pack(audit), content_type="application/zip")
        response["Content-Disposition"] = f'attachment; filename="audit-{audit.pk}.zip"'
        return response
