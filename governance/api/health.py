"""``health/``: how the installation stands."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance import health
from governance.permissions import Action


class LayerSerializer(serializers.Serializer[health.LayerState]):
    """One layer of a sandbox: what it is for, whether it is there, and what it is there."""

    name = serializers.CharField()
    purpose = serializers.CharField()
    is_there = serializers.BooleanField()
    said = serializers.CharField(allow_blank=True)


class SandboxSerializer(serializers.Serializer[health.SandboxState]):
    """A sandbox, and whether it is enough to load uploads in."""

    may_load_uploads = serializers.BooleanField()
    layers = LayerSerializer(many=True)


class WorkerSerializer(serializers.Serializer[health.WorkerState]):
    """What the newest ended job of a worker said about its sandbox."""

    worker = serializers.CharField()
    job = serializers.IntegerField()
    ended_at = serializers.DateTimeField()
    sandbox = SandboxSerializer()


class QueueSerializer(serializers.Serializer[health.QueueState]):
    """How much waits and runs."""

    queued_count = serializers.IntegerField()
    running_count = serializers.IntegerField()
    oldest_queued_seconds = serializers.FloatField(allow_null=True)


class StoreSerializer(serializers.Serializer[health.StoreState]):
    """The room on the disk of the store."""

    free_bytes = serializers.IntegerField()
    total_bytes = serializers.IntegerField()


class HealthSerializer(serializers.Serializer[health.Health]):
    """How the installation stands; ``choice`` is how it wants children to be put into their sandbox."""

    choice = serializers.CharField()
    sandbox = SandboxSerializer()
    workers = WorkerSerializer(many=True)
    queue = QueueSerializer()
    store = StoreSerializer()


class InstallationViewSet(viewsets.ViewSet):
    """The installation itself."""

    actions: ClassVar[dict[str, Action]] = {"health": Action.SEE_HEALTH}

    @extend_schema(responses=HealthSerializer)
    @action(detail=False, methods=["get"])
    def health(self, request: Request) -> Response:
        """The sandbox of the machine that answers and of each worker, the queue, and the room in the store."""
        answer: dict[str, Any] = HealthSerializer(health.look()).data
        return Response(answer)
