"""``trainings/``: retrainings, and the versions they made."""

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
from governance.models import Training
from governance.permissions import Action
from governance.services import trainings


class TrainingSerializer(serializers.ModelSerializer[Training]):
    """A retraining; ``produced`` is null until its job has ended."""

    model = ModelVersionField(source="version", read_only=True)
    dataset = DatasetVersionField(read_only=True)
    devices = serializers.CharField(source="job.device_kind", read_only=True)
    produced = ModelVersionField(read_only=True, allow_null=True)
    environment = serializers.JSONField(source="job.environment", read_only=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Training
        fields = [
            "id",
            "model",
            "dataset",
            "recipe",
            "devices",
            "produced",
            "history",
            "summary",
            "environment",
            "job",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class TrainingBody(StrictSerializer):
    """What to train on what; without a recipe the version's own holds."""

    model = ModelVersionField(source="version")
    dataset = DatasetVersionField()
    recipe = serializers.DictField(required=False)
    devices = serializers.CharField(default="cpu", help_text="cpu, cuda, or cuda*2 for two GPUs")


class TrainingViewSet(Readable[Training], StartsWork[Training]):
    """Retrainings; a POST starts one."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "create": Action.REQUEST_TRAINING}
    queryset = Training.objects.select_related(
        "version__model", "dataset__dataset", "produced__model", "job__created_by", "created_by"
    )
    serializer_class = TrainingSerializer
    body_class = TrainingBody
    filterset_fields = ["version__model__name", "dataset__dataset__name"]

    @extend_schema(request=TrainingBody, responses={202: TrainingSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Retrain a version on a data set that the gate of training lets through."""
        return super().create(request, *args, **kwargs)

    def start(self, body: dict[str, Any]) -> Training:
        return trainings.request_training(by=self.user, **body)
