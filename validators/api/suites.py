"""``suites/``: expectation suites, in Great Expectations' own JSON."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import Http404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api import converters  # noqa: F401 - makes the converter `reference` known
from governance.api.base import Readable, ReferenceField, StrictSerializer
from governance.exceptions import NotFound
from governance.models import Dataset
from governance.permissions import Action
from governance.references import numbered
from validators.models import ExpectationSuite
from validators.services import suites


def suite_of(reference: str) -> ExpectationSuite:
    """Return the suite that ``name/number`` means."""
    name, number = numbered(reference, "suite", "applicants-suite/3")
    suite = ExpectationSuite.objects.filter(name=name, number=number).first()
    if suite is None:
        raise NotFound(f"There is no suite {reference}.")
    return suite


@extend_schema_field(OpenApiTypes.STR)
class SuiteField(ReferenceField):
    """``name/number``."""

    lookup = staticmethod(suite_of)


class SuiteSerializer(serializers.ModelSerializer[ExpectationSuite]):
    """A suite as it was kept: every expectation with its id."""

    ref = serializers.CharField(read_only=True)
    expectations = serializers.SerializerMethodField()
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = ExpectationSuite
        fields = ["ref", "name", "number", "digest", "expectations", "created_by", "created_at"]

    def get_expectations(self, suite: ExpectationSuite) -> list[dict[str, Any]]:
        return list(suite.document["expectations"])


class SuiteBody(StrictSerializer):
    """A suite to keep; ``meta.clean`` of an expectation says what becomes of rows that do not meet it."""

    name = serializers.CharField(max_length=100)
    expectations = serializers.ListField(child=serializers.JSONField())
    meta = serializers.JSONField(required=False)
    notes = serializers.JSONField(required=False)


class RequirementBody(StrictSerializer):
    """The data set whose versions have to pass the suite."""

    dataset = serializers.SlugRelatedField(slug_field="name", queryset=Dataset.objects.all())


class SuiteViewSet(Readable[ExpectationSuite]):
    """Suites; a suite is never changed, the same name again is the next number."""

    queryset = ExpectationSuite.objects.select_related("created_by")
    serializer_class = SuiteSerializer
    filterset_fields = ["name"]
    lookup_field = "ref"
    lookup_value_converter = "reference"
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.CREATE_SUITE,
        "require": Action.REQUIRE_SUITE,
    }

    def get_object(self) -> ExpectationSuite:
        name, _, number = self.kwargs["ref"].rpartition("/")
        suite = self.get_queryset().filter(name=name, number=number).first()
        if suite is None:
            raise Http404
        self.check_object_permissions(self.request, suite)
        return suite

    @extend_schema(request=SuiteBody, responses={201: SuiteSerializer})
    def create(self, request: Request) -> Response:
        body = self.read_body(SuiteBody)
        suite = suites.create_suite(name=body["name"], document=body, by=self.user)
        return Response(
            self.get_serializer(suite).data,
            status=201,
            headers={"Location": reverse("api:suite-detail", args=[suite.ref])},
        )

    @extend_schema(request=RequirementBody, responses={200: SuiteSerializer})
    @action(detail=True, methods=["post"])
    def require(self, request: Request, ref: str) -> Response:
        """Pin this suite as the one that versions of a data set have to pass before training."""
        suite = self.get_object()
        suites.require_suite(dataset=self.read_body(RequirementBody)["dataset"], suite=suite, by=self.user)
        return Response(self.get_serializer(suite).data)
