"""``restorations/``: rows that a cleaning took out and somebody put back."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers

from governance.api.base import DatasetVersionField, Readable, StrictSerializer
from governance.api.jobs import JobSerializer
from governance.permissions import Action
from validators.models import Cleaning, Restoration
from validators.services.restorations import LONGEST_REASON, MOST_ROWS


class RestorationSerializer(serializers.ModelSerializer[Restoration]):
    """Which rows somebody put back, why, and where the new version is."""

    cleaning = serializers.PrimaryKeyRelatedField[Cleaning](read_only=True)
    base = DatasetVersionField(read_only=True)
    rows = serializers.ListField(child=serializers.IntegerField(), read_only=True)
    restored_to = DatasetVersionField(read_only=True, allow_null=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Restoration
        fields = ["id", "cleaning", "base", "rows", "reason", "restored_to", "job", "created_by", "created_at"]


class RestorationBody(StrictSerializer):
    """Which rows go back, by their numbers in the quarantine, and why."""

    rows = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=2**62), min_length=1, max_length=MOST_ROWS
    )
    reason = serializers.CharField(max_length=LONGEST_REASON)


class RestorationViewSet(Readable[Restoration]):
    """Restorations; one starts at the cleaning that took the rows out."""

    queryset = Restoration.objects.select_related(
        "base__dataset", "restored_to__dataset", "job__created_by", "created_by"
    )
    serializer_class = RestorationSerializer
    filterset_fields = ["cleaning"]
    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW}
