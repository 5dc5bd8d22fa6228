"""``reviews/``: requests that a version get an alias, and the decisions on them."""

from __future__ import annotations

from typing import ClassVar

import django_filters
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ModelVersionField, Readable, StrictSerializer
from governance.models import Decision, Evidence, Review, ReviewState
from governance.models.registered_model import name_validator
from governance.permissions import Action
from governance.services import reviews


class EvidenceSerializer(serializers.ModelSerializer[Evidence]):
    """A piece of evidence by the digest that it was cited with."""

    ref = serializers.CharField(source="__str__", read_only=True)

    class Meta:
        model = Evidence
        fields = ["ref", "kind", "object_id", "digest"]
        read_only_fields = fields


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    """What one person decided, and why."""

    decision = serializers.ChoiceField(source="outcome", choices=Decision.Outcome.choices, read_only=True)
    decided_by = serializers.CharField(source="decided_by.username", read_only=True)

    class Meta:
        model = Decision
        fields = ["decision", "comment", "decided_by", "decided_at"]
        read_only_fields = fields


class ReviewSerializer(serializers.ModelSerializer[Review]):
    """A review; ``voided_because`` says what is no longer true of its evidence."""

    model = ModelVersionField(source="version", read_only=True)
    evidence = EvidenceSerializer(many=True, read_only=True)
    decisions = DecisionSerializer(many=True, read_only=True)
    requested_by = serializers.CharField(source="requested_by.username", read_only=True)

    class Meta:
        model = Review
        fields = [
            "id",
            "model",
            "alias",
            "state",
            "evidence",
            "comment",
            "approvals_needed",
            "decisions",
            "voided_because",
            "voided_at",
            "requested_by",
            "requested_at",
            "decided_at",
        ]
        read_only_fields = fields


class ReviewBody(StrictSerializer):
    """Which version should get which alias, and the evidence for it, each piece written ``kind:id``."""

    model = ModelVersionField(source="version")
    alias = serializers.CharField(max_length=100, validators=[name_validator])
    evidence = serializers.ListField(child=serializers.CharField(max_length=60), min_length=1, max_length=50)
    comment = serializers.CharField(required=False, allow_blank=True)


class DecisionBody(StrictSerializer):
    """What to decide, and why."""

    decision = serializers.ChoiceField(choices=Decision.Outcome.choices)
    comment = serializers.CharField()


class ReviewFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Which reviews to list."""

    state = django_filters.ChoiceFilter(choices=ReviewState.choices)

    class Meta:
        model = Review
        fields = ["state", "alias", "version__model__name"]


class ReviewViewSet(Readable[Review]):
    """Reviews. Reading one checks whether its evidence still holds; a list shows what was known last."""

    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_REVIEW,
        "decide": Action.DECIDE_REVIEW,
    }
    queryset = Review.objects.select_related("version__model__owner", "requested_by").prefetch_related(
        "evidence", "decisions__decided_by"
    )
    serializer_class = ReviewSerializer
    filterset_class = ReviewFilter

    def retrieve(self, request: Request, pk: int) -> Response:
        """Read a review, void if its evidence no longer holds."""
        reviews.recheck(self.get_object())
        return Response(self.get_serializer(self.get_object()).data)

    @extend_schema(request=ReviewBody, responses={201: ReviewSerializer})
    def create(self, request: Request) -> Response:
        """Ask that a version get an alias."""
        review = reviews.request_review(by=self.user, **self.read_body(ReviewBody))
        location = reverse("api:review-detail", args=[review.pk])
        return Response(self.get_serializer(review).data, status=201, headers={"Location": location})

    @extend_schema(request=DecisionBody, responses=ReviewSerializer)
    @action(detail=True, methods=["post"])
    def decide(self, request: Request, pk: int) -> Response:
        """Approve, reject, or ask for changes; the last approval needed moves the alias."""
        body = self.read_body(DecisionBody)
        reviews.decide(review=self.get_object(), outcome=body["decision"], comment=body["comment"], by=self.user)
        return Response(self.get_serializer(self.get_object()).data)
