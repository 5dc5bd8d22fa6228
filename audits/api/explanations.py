"""``explanations/``: attributions for a version on rows of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import FileResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audits.api.explanation_comparison import (
    ExplanationComparisonExportQuery,
    ExplanationComparisonQuery,
    ExplanationComparisonSerializer,
)
from audits.api.explanation_fields import AnchorBody, BackgroundRowsField, OutputsField, RowsField, SliceBody
from audits.engine.methods import BUDGETS, METHODS
from audits.explained import exports
from audits.explained.asked import Asked
from audits.explained.paired_export import ComparisonContent
from audits.explained.portrait import portrait_with_values
from audits.explained.portrait_export import PortraitContent
from audits.models import Explanation, ExplanationComment
from audits.services import comparisons, explanations
from governance.api.base import (
    IDEMPOTENCY_KEY,
    DatasetVersionField,
    ModelVersionField,
    Readable,
    StartsWork,
    StrictSerializer,
)
from governance.api.jobs import JobSerializer
from governance.exceptions import NotFound
from governance.idempotency import once
from governance.permissions import Action
from governance.storage import store


class ExplanationSerializer(serializers.ModelSerializer[Explanation]):
    """Attributions with their quality; ``admitted`` is null until the job has ended."""

    model = ModelVersionField(source="version", read_only=True)
    dataset = DatasetVersionField(read_only=True)
    background = DatasetVersionField(read_only=True)
    job = JobSerializer(read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Explanation
        fields = [
            "id",
            "model",
            "dataset",
            "background",
            "extends",
            "parameters",
            "quality",
            "admitted",
            "reasons",
            "summary",
            "files",
            "digest",
            "job",
            "created_by",
            "created_at",
        ]


class ExplanationBody(StrictSerializer):
    """What to explain, on which rows, against which background, how exactly, and by which bounds."""

    model = ModelVersionField(source="version", label="version", help_text="For example `credit-scorer/3`.")
    dataset = DatasetVersionField(
        label="data", help_text="For example `applicants/2`; of a split column, the test rows."
    )
    background = DatasetVersionField(required=False, help_text="By default what the version was trained on.")
    background_rows = BackgroundRowsField(
        default=explanations.DEFAULT_BACKGROUND_ROWS, help_text="How many, drawn by the seed; or which."
    )
    background_method = serializers.ChoiceField(
        choices=["sample", "clusters", "rows"],
        required=False,
        help_text="By default `sample`, stratified by the target; `rows` where `background_rows` names them.",
    )
    method = serializers.ChoiceField(
        choices=[(name, entry.title) for name, entry in METHODS.items()], default="permutation"
    )
    rows = RowsField(default=explanations.DEFAULT_ROWS, help_text="How many, drawn by the seed; or which.")
    slice = SliceBody(required=False, allow_null=True, help_text="Only rows that have a value in a column.")
    outputs = OutputsField(default="all", help_text="All, the predicted class of each row, or output numbers.")
    scale = serializers.ChoiceField(
        choices=["logits", "probabilities"], default="logits", help_text="What of a class is explained."
    )
    tolerance = serializers.FloatField(
        default=explanations.DEFAULT_TOLERANCE,
        min_value=0.001,
        max_value=1,
        help_text="Two standard errors, as a share of the largest value of a row: the smaller, the longer it takes.",
    )
    seed = serializers.IntegerField(
        default=0, min_value=0, max_value=2**31 - 1, help_text="The same seed gives the same values."
    )
    groups = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField(), min_length=1),
        required=False,
        help_text="Columns that are one feature together, such as those of one category, by its name.",
    )
    patch = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=4096, help_text="Pixels a side of a patch of an image."
    )
    memory_bytes = serializers.IntegerField(
        required=False, allow_null=True, min_value=16 * 1024**2, max_value=1024**4, help_text="What the job may hold."
    )
    maximum_coalitions = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=BUDGETS["maximum_coalitions"].least,
        max_value=BUDGETS["maximum_coalitions"].most,
        help_text="Of `kernel` and `partition`: coalitions of a row at most; its error is told whatever it is.",
    )
    maximum_sweeps = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=BUDGETS["maximum_sweeps"].least,
        max_value=BUDGETS["maximum_sweeps"].most,
        help_text="Of `permutation`, `partition` and `expected_gradients`: sweeps over the background at most.",
    )
    bounds = serializers.DictField(
        child=serializers.FloatField(min_value=0),
        required=False,
        help_text="Bounds of measures that are stricter than those of the policy.",
    )


#: What an export answers.
EXPORTED = {(200, content_type.partition(";")[0]): OpenApiTypes.BINARY for content_type in exports.FORMATS.values()}


class MoreRowsBody(StrictSerializer):
    """How many more rows, or which."""

    rows = RowsField()


class ExplanationCommentSerializer(serializers.ModelSerializer[ExplanationComment]):
    """What a person said, and about what."""

    by = serializers.CharField(source="by.username", read_only=True)
    anchor = serializers.SerializerMethodField()

    class Meta:
        model = ExplanationComment
        fields = ["id", "text", "anchor", "by", "at"]

    @extend_schema_field(AnchorBody(allow_null=True))
    def get_anchor(self, comment: ExplanationComment) -> dict[str, Any] | None:
        if comment.row is not None:
            return {"row": comment.row}
        return {"chart": comment.chart} if comment.chart else None


class ExplanationCommentBody(StrictSerializer):
    """What to say, about the explanation or about a row or a chart of it."""

    text = serializers.CharField()
    anchor = AnchorBody(required=False, allow_null=True)


class ExplanationViewSet(Readable[Explanation], StartsWork[Explanation]):
    """Explanations; a POST starts one."""

    queryset = Explanation.objects.select_related(
        "version__model", "dataset__dataset", "background__dataset", "job__created_by", "created_by"
    )
    serializer_class = ExplanationSerializer
    body_class = ExplanationBody
    filterset_fields = ["version__model__name", "admitted"]
    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.REQUEST_EXPLANATION,
        "file": Action.VIEW,
        "export": Action.VIEW,
        "more": Action.REQUEST_EXPLANATION,
        "comments": Action.VIEW,
        "comment": Action.COMMENT,
        "compare": Action.VIEW,
        "compare_export": Action.VIEW,
    }

    @extend_schema(
        parameters=[
            OpenApiParameter("format", str, enum=list(exports.FORMATS), default="html"),
            OpenApiParameter("chart", str, description="A chart for `png`, `svg` and `vega`; else the first."),
            *(OpenApiParameter(entry.name, str) for entry in fields(Asked)),
        ],
        responses=EXPORTED,
    )
    @action(detail=True, methods=["get"])
    def export(self, request: Request, pk: int) -> StreamingHttpResponse:
        """Download what the page shows for the same choices: the page itself, a chart, or the numbers."""
        query = request.query_params
        content = PortraitContent(portrait_with_values(self.get_object(), Asked.from_query(query.dict())))
        return exports.export(content, format=query.get("format", "html"), chart=query.get("chart", "")).response()

    def start(self, body: dict[str, Any]) -> Explanation:
        return explanations.request_explanation(by=self.user, **body)

    @extend_schema(request=ExplanationBody, responses={202: ExplanationSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that attributes a model's outputs to its inputs."""
        return super().create(request, *args, **kwargs)

    @extend_schema(request=MoreRowsBody, responses={202: ExplanationSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def more(self, request: Request, pk: int) -> Response:
        """Start a job that explains other rows by the same parameters, against the same background."""
        explanation, body = self.get_object(), self.read_body(MoreRowsBody)
        return once(
            request,
            lambda: self.accepted(
                explanations.request_more_rows(explanation=explanation, rows=body["rows"], by=self.user)
            ),
        )

    @extend_schema(responses={200: ExplanationCommentSerializer(many=True)}, filters=False)
    @action(detail=True, methods=["get"])
    def comments(self, request: Request, pk: int) -> Response:
        """List what people said about an explanation, newest first."""
        said: QuerySet[Any] = self.get_object().comments.select_related("by")
        page: list[Any] = self.paginate_queryset(said) or []
        return self.get_paginated_response(ExplanationCommentSerializer(page, many=True).data)

    @extend_schema(request=ExplanationCommentBody, responses={201: ExplanationCommentSerializer})
    @comments.mapping.post
    def comment(self, request: Request, pk: int) -> Response:
        """Say something about an explanation, about one of its rows or about one of its charts."""
        body = self.read_body(ExplanationCommentBody)
        comment = explanations.comment_on_explanation(
            explanation=self.get_object(), text=body["text"], by=self.user, **(body.get("anchor") or {})
        )
        return Response(ExplanationCommentSerializer(comment).data, status=201)

    @extend_schema(parameters=[ExplanationComparisonQuery], responses={200: ExplanationComparisonSerializer})
    @action(detail=False, methods=["get"], filter_backends=[], pagination_class=None)
    def compare(self, request: Request) -> Response:
        """Say what changed between two explanations of the same rows, and whether it is more than the error."""
        comparison = self._comparison(_read_query(request, ExplanationComparisonQuery))
        return Response(ExplanationComparisonSerializer(comparison).data)

    @extend_schema(parameters=[ExplanationComparisonExportQuery], responses=EXPORTED)
    @action(detail=False, methods=["get"], url_path="compare/export", filter_backends=[], pagination_class=None)
    def compare_export(self, request: Request) -> StreamingHttpResponse:
        """Download what changed between two explanations: the page, its chart, or every pair of values."""
        asked = _read_query(request, ExplanationComparisonExportQuery)
        content = ComparisonContent(self._comparison(asked))
        return exports.export(content, format=asked["format"], chart=asked.get("chart", "")).response()

    def _comparison(self, asked: Mapping[str, Any]) -> comparisons.Comparison:
        found = self.get_queryset().in_bulk([asked["first"], asked["second"]])
        for number in (asked["first"], asked["second"]):
            if number not in found:
                raise NotFound(f"There is no explanation {number}.")
        return comparisons.compare(found[asked["first"]], found[asked["second"]], output=asked.get("output", ""))

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    @action(detail=True, methods=["get"], url_path="files/<str:name>")
    def file(self, request: Request, pk: int, name: str) -> FileResponse:
        """Download one of the files: ``attributions.npz`` has ``values``, ``base_values``, ``errors`` and ``data``."""
        explanation = self.get_object()
        digest = explanation.files.get(name)
        if digest is None:
            known = ", ".join(sorted(explanation.files)) or "none yet"
            raise NotFound(f"{str(explanation).capitalize()} has no file {name!r}; files are {known}.")
        return FileResponse(
            store().open(digest),
            as_attachment=True,
            filename=f"explanation-{explanation.pk}-{name}",
            content_type="application/octet-stream",
        )


def _read_query(request: Request, kind: type[StrictSerializer]) -> dict[str, Any]:
    query = kind(data=request.query_params.dict())
    query.is_valid(raise_exception=True)
    valid: dict[str, Any] = query.validated_data
    return valid
