"""``splits/``: from one data set version to the same rows with a column of parts."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import IDEMPOTENCY_KEY, DatasetVersionField, Readable, StartsWork, StrictSerializer
from governance.api.jobs import JobSerializer
from governance.permissions import Action
from validators.models import Split
from validators.services import splits


class SplitSerializer(serializers.ModelSerializer[Split]):
    """A split: its plan (with pinned cuts once it has run), the parts, and where the new version is."""

    dataset = DatasetVersionField(read_only=True)
    split_to = DatasetVersionField(read_only=True, allow_null=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Split
        fields = ["id", "dataset", "plan", "split_to", "report", "job", "created_by", "created_at"]


class SplitBody(StrictSerializer):
    """What to split and how: ``plan`` has ``fractions``, or ``time`` and ``cuts``; ``by``, ``group``, ``salt``."""

    dataset = DatasetVersionField()
    plan = serializers.DictField()


class SplitViewSet(Readable[Split], StartsWork[Split]):
    """Splits; a POST starts one."""

    queryset = Split.objects.select_related(
        "dataset__dataset", "split_to__dataset", "job__created_by", "created_by"
    )  # fmt: skip
    serializer_class = SplitSerializer
    body_class = SplitBody
    filterset_fields = ["dataset__dataset__name"]
    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "create": Action.REQUEST_SPLIT}

    def start(self, body: dict[str, Any]) -> Split:
        return splits.request_split(dataset=body["dataset"], plan=body["plan"], by=self.user)

    @extend_schema(request=SplitBody, responses={202: SplitSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that makes a version with a column of parts."""
        return super().create(request, *args, **kwargs)
