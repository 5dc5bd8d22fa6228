"""``statements/`` and ``keys/``: what this installation vouches for, and with which keys."""

from __future__ import annotations

from typing import ClassVar

import django_filters
from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request

from governance.api.base import AssayViewSet, Readable
from governance.models import InstallationKey, SignedStatement, StatementKind
from governance.pagination import NewestFirst
from governance.permissions import Action
from workers.protocol import canonical_json

ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"


class StatementSerializer(serializers.ModelSerializer[SignedStatement]):
    """A signed statement; ``envelope`` is what anybody can verify."""

    subjects = serializers.SerializerMethodField()
    key = serializers.CharField(source="key_id", read_only=True)
    envelope = serializers.JSONField(read_only=True)

    class Meta:
        model = SignedStatement
        fields = ["id", "kind", "name", "subjects", "predicate_type", "key", "envelope", "created_at"]
        read_only_fields = fields

    def get_subjects(self, signed: SignedStatement) -> list[str]:
        """Return the digests that it is about."""
        return [subject.digest for subject in signed.subjects.all()]


class StatementFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Which statements to list."""

    subject = django_filters.CharFilter(field_name="subjects__digest")
    kind = django_filters.ChoiceFilter(choices=StatementKind.choices)

    class Meta:
        model = SignedStatement
        fields = ["subject", "kind", "name", "predicate_type", "key"]


class StatementViewSet(Readable[SignedStatement]):
    """Signed statements, newest first; `subject` finds those about a digest."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "envelope": Action.VIEW}
    queryset = SignedStatement.objects.prefetch_related("subjects")
    serializer_class = StatementSerializer
    filterset_class = StatementFilter

    @extend_schema(responses={(200, ENVELOPE_TYPE): OpenApiTypes.OBJECT}, filters=False)
    @action(detail=True, methods=["get"])
    def envelope(self, request: Request, pk: int) -> HttpResponse:
        """Download the envelope as a file."""
        signed = self.get_object()
        response = HttpResponse(canonical_json(signed.envelope), content_type=ENVELOPE_TYPE)
        name = f"{signed.kind}-{signed.name.replace('/', '-')}.intoto.json"
        response["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


class KeySerializer(serializers.ModelSerializer[InstallationKey]):
    """A public key of this installation; one with an end signs nothing more and verifies what it signed."""

    since = serializers.DateTimeField(source="created_at", read_only=True)
    until = serializers.DateTimeField(source="retired_at", read_only=True, allow_null=True)

    class Meta:
        model = InstallationKey
        fields = ["id", "public_key", "since", "until"]
        read_only_fields = fields


class NewestKeysFirst(NewestFirst):
    """Pages of keys, whose ids have no order."""

    ordering = "-created_at"


class KeyViewSet(mixins.ListModelMixin, AssayViewSet[InstallationKey]):
    """The public keys of this installation, newest first."""

    actions: ClassVar = {"list": Action.VIEW}
    queryset = InstallationKey.objects.all()
    serializer_class = KeySerializer
    pagination_class = NewestKeysFirst
