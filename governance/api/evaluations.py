"""``evaluations/``: measurements of versions, alone or paired with another."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import (
    IDEMPOTENCY_KEY,
    DatasetVersionField,
    ModelVersionField,
    Readable,
    StartsWork,
    StrictSerializer,
)
from governance.api.jobs import JobSerializer
from governance.models import Evaluation
from governance.permissions import Action
from governance.services import evaluations


class EvaluationSerializer(serializers.ModelSerializer[Evaluation]):
    """Metrics with intervals; empty until the job has ended."""

    model = ModelVersionField(source="version", read_only=True)
    dataset = DatasetVersionField(read_only=True)
    compare_with = ModelVersionField(read_only=True, allow_null=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Evaluation
        fields = [
            "id",
            "model",
            "dataset",
            "slices",
            "compare_with",
            "metrics",
            "comparison",
            "digest",
            "job",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class EvaluationBody(StrictSerializer):
    """What to measure on what; ``slices`` are columns, ``compare_with`` another version, paired on the same rows."""

    model = ModelVersionField(source="version")
    dataset = DatasetVersionField()
    slices = serializers.ListField(child=serializers.CharField(), required=False, max_length=20)
    compare_with = ModelVersionField(required=False, allow_null=True)
    devices = serializers.CharField(default="cpu", help_text="cpu, cuda, or cuda*2 for two GPUs")


class EvaluationViewSet(Readable[Evaluation], StartsWork[Evaluation]):
    """Evaluations; a POST starts one."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "create": Action.REQUEST_EVALUATION}
    queryset = Evaluation.objects.select_related(
        "version__model", "dataset__dataset", "compare_with__model", "job__created_by", "created_by"
    )
    serializer_class = EvaluationSerializer
    body_class = EvaluationBody
    filterset_fields = ["version__model__name", "dataset__dataset__name"]

    @extend_schema(request=EvaluationBody, responses={202: EvaluationSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Measure a version on a data set."""
        return super().create(request, *args, **kwargs)

    def start(self, body: dict[str, Any]) -> Evaluation:
        return evaluations.request_evaluation(by=self.user, **body)
