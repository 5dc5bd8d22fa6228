"""``findings/``: observations, who deals with them, and what became of them."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.models import User
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audits.models import Disposition, Finding, FindingComment, Severity
from audits.services import findings
from governance.api.base import ModelVersionField, Readable, StrictSerializer
from governance.permissions import Action


class FindingCommentSerializer(serializers.ModelSerializer[FindingComment]):
    """What a person said."""

    by = serializers.CharField(source="by.username", read_only=True)

    class Meta:
        model = FindingComment
        fields = ["id", "text", "by", "at"]


class FindingSerializer(serializers.ModelSerializer[Finding]):
    """An observation with its evidence and what became of it."""

    model = ModelVersionField(source="version", read_only=True)
    check_id = serializers.CharField(read_only=True)
    owner = serializers.CharField(source="owner.username", read_only=True, default=None, allow_null=True)
    raised_by = serializers.CharField(source="raised_by.username", read_only=True)
    comments = FindingCommentSerializer(many=True, read_only=True)

    class Meta:
        model = Finding
        fields = [
            "id",
            "model",
            "audit",
            "check_id",
            "dataset_digest",
            "severity",
            "title",
            "detail",
            "evidence",
            "references",
            "remedy",
            "disposition",
            "accepted_until",
            "owner",
            "due",
            "comments",
            "raised_by",
            "raised_at",
        ]


class FindingBody(StrictSerializer):
    """An observation that a person raises."""

    model = ModelVersionField(source="version")
    severity = serializers.ChoiceField(choices=Severity.choices)
    title = serializers.CharField(max_length=300)
    detail = serializers.CharField()
    remedy = serializers.CharField(required=False)
    references = serializers.ListField(child=serializers.DictField(), required=False)


class DispositionBody(StrictSerializer):
    """What to change; what is not given stays."""

    disposition = serializers.ChoiceField(choices=Disposition.choices, required=False)
    accepted_until = serializers.DateTimeField(required=False)
    owner: serializers.SlugRelatedField[User] = serializers.SlugRelatedField(
        slug_field="username", queryset=User.objects.filter(is_active=True), required=False
    )
    due = serializers.DateField(required=False)


class CommentBody(StrictSerializer):
    """What to say."""

    text = serializers.CharField()


class FindingViewSet(Readable[Finding]):
    """Findings of audits and of people."""

    queryset = Finding.objects.select_related("version__model", "owner", "raised_by").prefetch_related("comments__by")
    serializer_class = FindingSerializer
    filterset_fields = ["version__model__name", "severity", "disposition", "check_id", "audit"]
    http_method_names = ["get", "post", "patch", "head", "options"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.RAISE_FINDING,
        "partial_update": Action.ASSIGN_FINDING,
        "comments": Action.COMMENT,
    }

    @extend_schema(request=FindingBody, responses={201: FindingSerializer})
    def create(self, request: Request) -> Response:
        """Raise a finding by hand; checks raise theirs when an audit ends."""
        finding = findings.raise_finding(by=self.user, **self.read_body(FindingBody))
        return Response(
            self.get_serializer(finding).data,
            status=201,
            headers={"Location": reverse("api:finding-detail", args=[finding.pk])},
        )

    @extend_schema(request=DispositionBody, responses={200: FindingSerializer})
    def partial_update(self, request: Request, pk: int) -> Response:
        """Say who deals with a finding, until when, and what became of it."""
        findings.deal_with_finding(finding=self.get_object(), by=self.user, **self.read_body(DispositionBody))
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=CommentBody, responses={201: FindingCommentSerializer})
    @action(detail=True, methods=["post"])
    def comments(self, request: Request, pk: int) -> Response:
        """Say something about a finding."""
        body = self.read_body(CommentBody)
        comment = findings.comment_on_finding(finding=self.get_object(), by=self.user, **body)
        return Response(FindingCommentSerializer(comment).data, status=201)
