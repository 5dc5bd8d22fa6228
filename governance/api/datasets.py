"""``datasets/`` and ``datasets/{name}/versions/``: data by content."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import Max, QuerySet
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance import permissions
from governance.api.base import (
    IDEMPOTENCY_KEY,
    DatasetVersionField,
    Readable,
    StrictSerializer,
)
from governance.api.jobs import JobSerializer
from governance.api.taking import CONTENT_DIGEST, FileInForm, FinishedUpload, JSONTextField, TakesUploads
from governance.models import Dataset, DatasetState, DatasetVersion, StoredFile
from governance.models.registered_model import name_validator
from governance.permissions import Action
from governance.services import datasets
from workers.datasets.schema import Schema


class DatasetSerializer(serializers.ModelSerializer[Dataset]):
    """A logical data set; ``latest`` is its newest version, whatever the state of that."""

    owner = serializers.CharField(source="owner.username", read_only=True)
    latest = serializers.SerializerMethodField()

    class Meta:
        model = Dataset
        fields = ["name", "description", "owner", "latest", "created_at"]
        read_only_fields = fields

    def get_latest(self, dataset: Dataset) -> str | None:
        number = getattr(dataset, "latest_number", None)
        return None if number is None else f"{dataset.name}/{number}"


class DatasetBody(StrictSerializer):
    """What to create; who asks is the owner."""

    name = serializers.CharField(max_length=100, validators=[name_validator])
    description = serializers.CharField(required=False, allow_blank=True)


class DatasetViewSet(Readable[Dataset]):
    """Data sets."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "create": Action.CREATE_DATASET}
    queryset = Dataset.objects.select_related("owner").annotate(latest_number=Max("versions__number"))
    serializer_class = DatasetSerializer
    filterset_fields = ["owner__username"]
    lookup_field = "name"
    lookup_value_converter = "str"

    @extend_schema(request=DatasetBody, responses={201: DatasetSerializer})
    def create(self, request: Request) -> Response:
        """Create a data set; its content comes with its versions."""
        dataset = datasets.create_dataset(by=self.user, **self.read_body(DatasetBody))
        location = reverse("api:dataset-detail", args=[dataset.name])
        return Response(self.get_serializer(dataset).data, status=201, headers={"Location": location})


class DatasetVersionSerializer(serializers.ModelSerializer[DatasetVersion]):
    """One content; ``digest`` is that of its rows, whatever file they came in, and empty until they are imported."""

    ref = serializers.CharField(read_only=True)
    dataset = serializers.CharField(source="dataset.name", read_only=True)
    digest = serializers.CharField(source="content_digest", read_only=True)
    upload_digest = serializers.CharField(source="upload_id", read_only=True, allow_null=True)
    cleaned_from = DatasetVersionField(read_only=True, allow_null=True)
    split_from = DatasetVersionField(read_only=True, allow_null=True)
    job = JobSerializer(read_only=True, allow_null=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = DatasetVersion
        fields = [
            "ref",
            "dataset",
            "number",
            "state",
            "state_reason",
            "filename",
            "digest",
            "upload_digest",
            "row_count",
            "schema",
            "profile",
            "media",
            "cleaned_from",
            "split_from",
            "job",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class DatasetVersionFields(StrictSerializer):
    """What is said of a file of rows: the schema says what each column is for, and is inferred if it is not given."""

    schema = JSONTextField(required=False, source="stated_schema", reads=Schema.from_json)


class DatasetVersionBody(DatasetVersionFields, FileInForm):
    """A file of rows, in a form."""


class DatasetVersionOfUpload(DatasetVersionFields, FinishedUpload):
    """A file of rows that arrived in pieces."""


class DatasetVersionFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Which versions to list."""

    state = django_filters.ChoiceFilter(choices=DatasetState.choices)

    class Meta:
        model = DatasetVersion
        fields = ["state", "content_digest"]


class DatasetVersionViewSet(Readable[DatasetVersion], TakesUploads[DatasetVersion]):
    """Versions of one data set."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "create": Action.UPLOAD_DATASET_VERSION}
    queryset = DatasetVersion.objects.select_related(
        "dataset", "cleaned_from__dataset", "split_from__dataset", "job__created_by", "created_by"
    )
    serializer_class = DatasetVersionSerializer
    body_class = DatasetVersionBody
    upload_body_class = DatasetVersionOfUpload
    filterset_class = DatasetVersionFilter
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[DatasetVersion]:
        queryset = super().get_queryset()
        return queryset.filter(dataset__name=self.kwargs["name"]) if "name" in self.kwargs else queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._dataset()
        return super().list(request, *args, **kwargs)

    @extend_schema(
        request={"multipart/form-data": DatasetVersionBody, "application/json": DatasetVersionOfUpload},
        responses={202: DatasetVersionSerializer},
        parameters=[IDEMPOTENCY_KEY, CONTENT_DIGEST],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Upload a version; a job reads it, checks it against the schema and profiles it."""
        return super().create(request, *args, **kwargs)

    def may_upload(self) -> None:
        permissions.require(self.user, Action.UPLOAD_DATASET_VERSION, self._dataset())

    def take_in(self, file: StoredFile, filename: str, values: dict[str, Any]) -> DatasetVersion:
        return datasets.upload_version(dataset=self._dataset(), file=file, filename=filename, by=self.user, **values)

    def location_of(self, made: DatasetVersion) -> str:
        return reverse("api:dataset-version-detail", args=[made.dataset.name, made.number])

    def _dataset(self) -> Dataset:
        visible = permissions.visible_to(self.user, Dataset.objects.select_related("owner"))
        return get_object_or_404(visible, name=self.kwargs["name"])
