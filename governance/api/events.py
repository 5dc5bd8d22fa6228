"""``events/``: what happened, and whether the record of it is whole."""

from __future__ import annotations

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import Readable
from governance.models import Event
from governance.permissions import Action
from governance.services import events


class EventSerializer(serializers.ModelSerializer[Event]):
    """One thing that happened, chained to the one before it."""

    class Meta:
        model = Event
        fields = ["sequence", "name", "at", "actor", "subject", "detail", "group", "previous", "mac"]
        read_only_fields = fields


class ChainSerializer(serializers.Serializer[events.ChainState]):
    """Whether every event is there, as it was recorded; where not, the first that is not."""

    intact = serializers.BooleanField()
    event_count = serializers.IntegerField()
    head = serializers.CharField()
    broken_at = serializers.IntegerField(allow_null=True)
    reason = serializers.CharField()


class EventViewSet(Readable[Event]):
    """Events, newest first; nothing changes or deletes one."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "verify": Action.VERIFY_EVENTS}
    queryset = Event.objects.all()
    serializer_class = EventSerializer
    filterset_fields = ["name", "subject", "actor", "group"]
    lookup_field = "sequence"

    @extend_schema(request=None, responses=ChainSerializer, filters=False)
    @action(detail=False, methods=["get", "post"], pagination_class=None)
    def verify(self, request: Request) -> Response:
        """Walk the chain from its first event and check sequence, link and MAC of each."""
        return Response(ChainSerializer(events.verify()).data)
