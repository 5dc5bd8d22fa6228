"""``explanations/``: attributions for a version on rows of a data set."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar

from django.http import FileResponse, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from audits.explained import exports
from audits.explained.asked import Asked
from audits.explained.portrait import portrait_with_values
from audits.models import Explanation
from audits.services import explanations
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
from governance.permissions import Action
from governance.storage import store

METHODS = ("permutation", "exact")
OUTPUT_CHOICES = ("all", "predicted")
MAX_ROWS = 10_000

_NUMBERS = {"type": "array", "items": {"type": "integer", "minimum": 0}}


@extend_schema_field({"oneOf": [{"type": "integer", "minimum": 1, "maximum": MAX_ROWS}, _NUMBERS]})
class RowsField(serializers.Field[Any, Any, Any, Any]):
    """How many rows, drawn by the seed, or which: a number or a list of row numbers."""

    def to_internal_value(self, data: Any) -> int | list[int]:
        if _is_number(data) and 1 <= data <= MAX_ROWS:
            return int(data)
        if _is_list_of_numbers(data) and len(data) <= MAX_ROWS:
            return list(data)
        raise serializers.ValidationError(f"A number from 1 to {MAX_ROWS:,}, or a list of row numbers from 0.")

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field({"oneOf": [{"type": "string", "enum": list(OUTPUT_CHOICES)}, _NUMBERS]})
class OutputsField(serializers.Field[Any, Any, Any, Any]):
    """Which outputs: all, the predicted class of each row, or a list of output numbers."""

    def to_internal_value(self, data: Any) -> str | list[int]:
        if isinstance(data, str) and data in OUTPUT_CHOICES:
            return data
        if _is_list_of_numbers(data):
            return list(data)
        raise serializers.ValidationError(f"One of {', '.join(OUTPUT_CHOICES)}, or a list of output numbers from 0.")

    def to_representation(self, value: Any) -> Any:
        return value


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
    """What to explain, on which rows, against which background, how exactly."""

    model = ModelVersionField(source="version")
    dataset = DatasetVersionField()
    background = DatasetVersionField(required=False)
    method = serializers.ChoiceField(choices=METHODS, default="permutation")
    rows = RowsField(default=explanations.DEFAULT_ROWS)
    outputs = OutputsField(default="all")
    tolerance = serializers.FloatField(default=explanations.DEFAULT_TOLERANCE, min_value=0.001, max_value=1)
    background_rows = serializers.IntegerField(
        default=explanations.DEFAULT_BACKGROUND_ROWS, min_value=1, max_value=MAX_ROWS
    )
    seed = serializers.IntegerField(default=0, min_value=0, max_value=2**31 - 1)


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
    }

    @extend_schema(
        parameters=[
            OpenApiParameter("format", str, enum=list(exports.FORMATS), default="html"),
            OpenApiParameter("chart", str, description="A chart for `png`, `svg` and `vega`; else the first."),
            *(OpenApiParameter(entry.name, str) for entry in fields(Asked)),
        ],
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY},
    )
    @action(detail=True, methods=["get"])
    def export(self, request: Request, pk: int) -> StreamingHttpResponse:
        """Download what the page shows for the same choices: the page itself, a chart, or the numbers."""
        query = request.query_params
        shown = portrait_with_values(self.get_object(), Asked.from_query(query.dict()))
        return exports.export(shown, format=query.get("format", "html"), chart=query.get("chart", "")).response()

    def start(self, body: dict[str, Any]) -> Explanation:
        return explanations.request_explanation(by=self.user, **body)

    @extend_schema(request=ExplanationBody, responses={202: ExplanationSerializer}, parameters=[IDEMPOTENCY_KEY])
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Start a job that attributes a model's outputs to its inputs."""
        return super().create(request, *args, **kwargs)

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


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of_numbers(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(_is_number(entry) for entry in value)
