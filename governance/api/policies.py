"""``policies/`` and ``policies/{name}/``: what a tier asks for, by number."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import AssayViewSet, Readable, StrictSerializer
from governance.models import Policy, Tier
from governance.models.registered_model import name_validator
from governance.permissions import Action
from governance.services import policies
from workers.artifacts.findings import ACCEPTABLE


class ExplanationRules(StrictSerializer):
    """What explanations have to keep to: a bound by measure; a measure that is not named keeps its default."""

    bounds = serializers.DictField(child=serializers.FloatField(min_value=0), required=False)


class PolicySerializer(serializers.ModelSerializer[Policy]):
    """A policy; a change is a new number."""

    ref = serializers.CharField(read_only=True)
    checks = serializers.JSONField(source="document.checks", read_only=True)
    blocks = serializers.JSONField(source="document.blocks", read_only=True)
    approvers = serializers.IntegerField(source="document.approvers", read_only=True)
    requires_signature = serializers.SerializerMethodField()
    accepts = serializers.SerializerMethodField()
    explanations = serializers.SerializerMethodField()

    class Meta:
        model = Policy
        fields = [
            "ref",
            "name",
            "number",
            "tier",
            "checks",
            "blocks",
            "approvers",
            "requires_signature",
            "accepts",
            "explanations",
            "digest",
            "created_at",
        ]
        read_only_fields = fields

    def get_requires_signature(self, policy: Policy) -> bool:
        return policies.requires_signature(policy)

    def get_accepts(self, policy: Policy) -> list[str]:
        return policies.accepted_by(policy)

    @extend_schema_field(ExplanationRules)
    def get_explanations(self, policy: Policy) -> dict[str, Any]:
        return {"bounds": policies.explanation_bounds(policy)}


class PolicyBody(StrictSerializer):
    """A policy as people write it; an empty entry of a check asks for the check's own parameters and condition."""

    name = serializers.CharField(max_length=100, validators=[name_validator])
    tier = serializers.ChoiceField(choices=Tier.choices)
    checks = serializers.DictField(child=serializers.DictField())
    blocks = serializers.ListField(child=serializers.ChoiceField(choices=policies.SEVERITIES), required=False)
    approvers = serializers.IntegerField(min_value=1, max_value=10, required=False)
    requires_signature = serializers.BooleanField(required=False)
    accepts = serializers.ListField(
        child=serializers.ChoiceField(choices=sorted(ACCEPTABLE)),
        required=False,
        help_text="Findings of an inspection that keep no upload in quarantine.",
    )
    explanations = ExplanationRules(required=False)


class PolicyViewSet(AssayViewSet[Policy]):
    """Every policy, newest first."""

    actions: ClassVar = {"list": Action.VIEW, "create": Action.CREATE_POLICY}
    queryset = Policy.objects.all()
    serializer_class = PolicySerializer
    filterset_fields = ["name", "tier"]

    def list(self, request: Request) -> Response:
        """List policies."""
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(request=PolicyBody, responses={201: PolicySerializer})
    def create(self, request: Request) -> Response:
        """Keep a policy as the next number of its name."""
        policy = policies.create_policy(document=self.read_body(PolicyBody), by=self.user)
        location = reverse("api:policy-number-detail", args=[policy.name, policy.number])
        return Response(self.get_serializer(policy).data, status=201, headers={"Location": location})


@extend_schema_view(
    list=extend_schema(operation_id="policy_numbers_list"),
    retrieve=extend_schema(operation_id="policy_numbers_retrieve"),
)
class PolicyNumberViewSet(Readable[Policy]):
    """The numbers of one policy."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW}
    queryset = Policy.objects.all()
    serializer_class = PolicySerializer
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[Policy]:
        queryset = super().get_queryset()
        return queryset.filter(name=self.kwargs["name"]) if "name" in self.kwargs else queryset
