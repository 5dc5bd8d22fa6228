"""``proposals/``: suites that were suggested, and what people make of them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import IDEMPOTENCY_KEY, DatasetVersionField, Readable, StartsWork, StrictSerializer
from governance.api.jobs import JobSerializer
from governance.permissions import Action
from validators.api.suites import SuiteField, SuiteSerializer
from validators.models import SuiteProposal
from validators.services import proposals


class BriefProposalSerializer(serializers.ModelSerializer[SuiteProposal]):
    """A proposal as a list shows it: what it is about, how many rules, and the suite that came of it."""

    dataset = DatasetVersionField(read_only=True)
    suite = SuiteField(read_only=True, allow_null=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = SuiteProposal
        fields = [
            "id", "dataset", "dataset_digest", "measured", "suggestion_count", "suite", "job", "created_by",
            "created_at",
        ]  # fmt: skip


class ProposalSerializer(BriefProposalSerializer):
    """A proposal whole: every suggestion with its sentence and evidence, and what was decided so far, by its id."""

    class Meta(BriefProposalSerializer.Meta):
        fields = [*BriefProposalSerializer.Meta.fields, "suggestions", "decisions"]


class ProposalBody(StrictSerializer):
    """The data set version to suggest a suite for."""

    dataset = DatasetVersionField()


class SuggestionViewSet(StartsWork[SuiteProposal]):
    """A POST starts a job that suggests a suite, and answers with the proposal."""

    queryset = SuiteProposal.objects.all()
    serializer_class = ProposalSerializer
    body_class = ProposalBody
    actions: ClassVar = {"create": Action.CREATE_SUITE}

    def start(self, body: dict[str, Any]) -> SuiteProposal:
        return proposals.request_proposal(dataset=body["dataset"], by=self.user)

    def location_of(self, made: SuiteProposal) -> str:
        return reverse("api:proposal-detail", args=[made.pk])

    @extend_schema(request=ProposalBody, responses={202: ProposalSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().create(request, *args, **kwargs)


class AcceptBody(StrictSerializer):
    """Decisions ``{id, decision: accept | drop | edit, kwargs, severity, mostly}``, and the name of the suite.

    Suggestions that no decision names are accepted as they are, or dropped where ``others`` says so.
    """

    name = serializers.CharField(max_length=100)
    decisions = serializers.ListField(child=serializers.JSONField(), required=False)
    others = serializers.ChoiceField(choices=["accept", "drop"], required=False)


class ProposalViewSet(Readable[SuiteProposal]):
    """Proposals of suites; ``POST suites/suggest/`` asks for one."""

    queryset = SuiteProposal.objects.select_related("dataset__dataset", "suite", "job__created_by", "created_by")
    serializer_class = ProposalSerializer
    filterset_fields = ["dataset__dataset__name"]
    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "accept": Action.CREATE_SUITE}

    def get_queryset(self) -> QuerySet[SuiteProposal]:
        queryset = super().get_queryset()
        return queryset.defer("suggestions", "decisions") if self.action == "list" else queryset

    def get_serializer_class(self) -> type[serializers.BaseSerializer[Any]]:
        return BriefProposalSerializer if self.action == "list" else super().get_serializer_class()

    @extend_schema(request=AcceptBody, responses={201: SuiteSerializer})
    @action(detail=True, methods=["post"])
    def accept(self, request: Request, pk: int) -> Response:
        """Make a suite of what is accepted and edited."""
        proposal = self.get_object()
        body = self.read_body(AcceptBody)
        suite = proposals.accept_proposal(proposal=proposal, by=self.user, **body)
        return Response(
            SuiteSerializer(suite, context=self.get_serializer_context()).data,
            status=201,
            headers={"Location": reverse("api:suite-detail", args=[suite.ref])},
        )
