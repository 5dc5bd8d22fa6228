"""What the record says of data: the ``datasheet/`` of a data set, ``croissant/`` and ``lineage/`` of a version."""

from __future__ import annotations

from typing import Any, ClassVar

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance import permissions
from governance.api.base import AssayViewSet, StrictSerializer
from governance.exceptions import NotFound
from governance.models import Dataset, DatasetVersion
from governance.permissions import Action
from validators.datasheets import as_markdown
from validators.lineage import graph_of
from validators.models import Datasheet
from validators.services import croissant, datasheets
from workers.protocol import canonical_json


class DatasheetSerializer(serializers.ModelSerializer[Datasheet]):
    """What people answered about a data set; a question that is not there was not answered."""

    dataset = serializers.CharField(source="dataset.name", read_only=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = Datasheet
        fields = ["dataset", "number", "answers", "digest", "created_by", "created_at"]


class DatasheetBody(StrictSerializer):
    """All answers, by the key of the question; they take the place of those before, which are kept."""

    answers = serializers.JSONField()


class DatasheetViewSet(AssayViewSet[Datasheet]):
    """The datasheet of a data set."""

    queryset = Datasheet.objects.select_related("dataset", "created_by")
    serializer_class = DatasheetSerializer
    actions: ClassVar = {
        "datasheet": Action.VIEW,
        "write": Action.WRITE_DATASHEET,
        "markdown": Action.VIEW,
    }

    @extend_schema(responses=DatasheetSerializer, filters=False)
    @action(detail=False, methods=["get"])
    def datasheet(self, request: Request, name: str) -> Response:
        """Read the newest datasheet."""
        return Response(self.get_serializer(self._newest(name)).data)

    @extend_schema(request=DatasheetBody, responses=DatasheetSerializer)
    @datasheet.mapping.put
    def write(self, request: Request, name: str) -> Response:
        """Write the datasheet; who owns the data set does."""
        dataset = self._dataset(name)
        permissions.require(self.user, Action.WRITE_DATASHEET, dataset)
        answers = self.read_body(DatasheetBody)["answers"]
        written = datasheets.write_datasheet(dataset=dataset, answers=answers, by=self.user)
        return Response(self.get_serializer(written).data)

    @extend_schema(responses={(200, "text/markdown"): OpenApiTypes.STR}, filters=False)
    @action(detail=False, methods=["get"], url_path="datasheet.md")
    def markdown(self, request: Request, name: str) -> HttpResponse:
        """Read the newest datasheet as Markdown, with what was not answered."""
        text = as_markdown(name, self._newest(name).answers)
        return HttpResponse(text, content_type="text/markdown; charset=utf-8")

    def _newest(self, name: str) -> Datasheet:
        found = datasheets.newest_datasheet(self._dataset(name))
        if found is None:
            raise NotFound(f"Nobody has written a datasheet of {name} yet.")
        return found

    def _dataset(self, name: str) -> Dataset:
        return get_object_or_404(Dataset.objects.select_related("owner"), name=name)


class LineageSerializer(serializers.Serializer[Any]):
    """Everything that a data set version came from and that came of it, as a graph."""

    nodes = serializers.ListField(child=serializers.DictField())
    edges = serializers.ListField(child=serializers.DictField())


class DatasetRecordViewSet(AssayViewSet[DatasetVersion]):
    """A data set version as others describe data."""

    queryset = DatasetVersion.objects.select_related(
        "dataset__owner", "table", "cleaned_from__dataset", "split_from__dataset"
    )
    serializer_class = LineageSerializer
    actions: ClassVar = {"croissant": Action.VIEW, "lineage": Action.VIEW}

    @extend_schema(responses={(200, croissant.CONTENT_TYPE): OpenApiTypes.OBJECT}, filters=False)
    @action(detail=False, methods=["get"])
    def croissant(self, request: Request, name: str, number: int) -> HttpResponse:
        """Describe a version as Croissant 1.1 (JSON-LD)."""
        document = canonical_json(croissant.croissant_of(self._version(name, number)))
        response = HttpResponse(document, content_type=croissant.CONTENT_TYPE)
        response["Content-Disposition"] = f'attachment; filename="{name}-{number}.croissant.json"'
        return response

    @extend_schema(responses=LineageSerializer, filters=False)
    @action(detail=False, methods=["get"])
    def lineage(self, request: Request, name: str, number: int) -> Response:
        """Read what a version came from and what came of it."""
        return Response(graph_of(self._version(name, number)))

    def _version(self, name: str, number: int) -> DatasetVersion:
        return get_object_or_404(self.get_queryset(), dataset__name=name, number=number)
