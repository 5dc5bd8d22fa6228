"""``jobs/``: what is queued, runs and has ended; its log; its cancelling."""

from __future__ import annotations

from typing import ClassVar

import django_filters
from django.http import HttpResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import Readable, StrictSerializer
from governance.models import Job, JobState
from governance.permissions import Action
from governance.services import jobs


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job as it stands; other resources hold it in their field ``job``."""

    created_by = serializers.CharField(source="created_by.username", read_only=True)
    url = serializers.HyperlinkedIdentityField(view_name="api:job-detail")

    class Meta:
        model = Job
        fields = [
            "id",
            "url",
            "kind",
            "state",
            "subject",
            "progress",
            "progress_at",
            "attempt",
            "max_attempts",
            "device_kind",
            "device_count",
            "devices",
            "worker",
            "environment",
            "error",
            "timings",
            "peak_memory_bytes",
            "spec_digest",
            "result_digest",
            "cancel_requested_at",
            "created_by",
            "created_at",
            "started_at",
            "finished_at",
        ]
        read_only_fields = fields


class JobFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Which jobs to list."""

    state = django_filters.MultipleChoiceFilter(choices=JobState.choices)

    class Meta:
        model = Job
        fields = ["kind", "state", "subject"]


class JobViewSet(Readable[Job]):
    """Jobs, newest first."""

    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "log": Action.VIEW,
        "cancel": Action.CANCEL_JOB,
    }
    queryset = Job.objects.select_related("created_by", "log")
    serializer_class = JobSerializer
    filterset_class = JobFilter

    @extend_schema(responses={(200, "text/plain"): OpenApiTypes.STR}, filters=False)
    @action(detail=True, methods=["get"])
    def log(self, request: Request, pk: int) -> HttpResponseBase:
        """What the libraries of a job printed, so far or in the end."""
        text = jobs.read_log(job=self.get_object())
        return HttpResponse(text, content_type="text/plain; charset=utf-8")

    @extend_schema(request=None, responses=JobSerializer)
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        """Ask that a job end: a queued one ends at once, a running one when its worker sees it."""
        self.read_body(StrictSerializer)
        cancelled = jobs.cancel(job=self.get_object(), by=self.user)
        return Response(self.get_serializer(cancelled).data)
