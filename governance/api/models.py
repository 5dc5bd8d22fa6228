"""``models/`` and ``models/{name}/versions/``: the registry."""

from __future__ import annotations

from typing import Any, ClassVar

import django_filters
from django.db.models import Max, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from governance import permissions
from governance.api.base import (
    IDEMPOTENCY_KEY,
    DatasetVersionField,
    ModelVersionField,
    Readable,
    StrictSerializer,
)
from governance.api.jobs import JobSerializer
from governance.api.taking import CONTENT_DIGEST, FileInForm, FinishedUpload, JSONTextField, TakesUploads
from governance.idempotency import once
from governance.models import Alias, ModelVersion, ModelVersionState, RegisteredModel, ReviewState, StoredFile, Tier
from governance.models.registered_model import Task, name_validator
from governance.permissions import Action
from governance.services import bom, model_signatures, registry, reviews
from workers.protocol import canonical_json
from workers.recipe import Recipe
from workers.signature import Signature


class AliasSerializer(serializers.ModelSerializer[Alias]):
    """A movable name; while ``state`` is not approved it leads nowhere."""

    version = ModelVersionField(read_only=True)
    state = serializers.ChoiceField(source="review.state", choices=ReviewState.choices, read_only=True)
    voided_because = serializers.CharField(source="review.voided_because", read_only=True)

    class Meta:
        model = Alias
        fields = ["name", "version", "review", "state", "voided_because", "moved_at"]
        read_only_fields = fields


class ModelSerializer(serializers.ModelSerializer[RegisteredModel]):
    """A logical model; ``latest`` is its newest version, whatever the state of that."""

    owner = serializers.CharField(source="owner.username", read_only=True)
    aliases = AliasSerializer(many=True, read_only=True)
    latest = serializers.SerializerMethodField()

    class Meta:
        model = RegisteredModel
        fields = [
            "name",
            "task",
            "tier",
            "intended_use",
            "limitations",
            "owner",
            "aliases",
            "latest",
            "created_at",
        ]
        read_only_fields = fields

    def get_latest(self, model: RegisteredModel) -> str | None:
        number = getattr(model, "latest_number", None)
        return None if number is None else f"{model.name}/{number}"


class ModelBody(StrictSerializer):
    """What to register; who asks is the owner."""

    name = serializers.CharField(max_length=100, validators=[name_validator])
    task = serializers.ChoiceField(choices=Task.choices)
    tier = serializers.ChoiceField(choices=Tier.choices, default=Tier.MEDIUM)
    intended_use = serializers.CharField()
    limitations = serializers.CharField(required=False, allow_blank=True)


class ModelViewSet(Readable[RegisteredModel]):
    """Registered models."""

    actions: ClassVar = {"list": Action.VIEW, "retrieve": Action.VIEW, "create": Action.REGISTER_MODEL}
    queryset = (
        RegisteredModel.objects.select_related("owner")
        .prefetch_related("aliases__version__model", "aliases__review")
        .annotate(latest_number=Max("versions__number"))
    )
    serializer_class = ModelSerializer
    filterset_fields = ["task", "tier", "owner__username"]
    lookup_field = "name"
    lookup_value_converter = "str"

    def get_object(self) -> RegisteredModel:
        model = super().get_object()
        for alias in model.aliases.all():
            # Whether an approval still holds is asked whenever somebody looks at one model.
            alias.review = reviews.recheck(alias.review)
        return model

    @extend_schema(request=ModelBody, responses={201: ModelSerializer})
    def create(self, request: Request) -> Response:
        """Register a model."""
        model = registry.register_model(by=self.user, **self.read_body(ModelBody))
        location = reverse("api:model-detail", args=[model.name])
        return Response(self.get_serializer(model).data, status=201, headers={"Location": location})


class VersionSerializer(serializers.ModelSerializer[ModelVersion]):
    """An immutable version; it is ``quarantined`` until the job that inspects it has ended."""

    ref = serializers.CharField(read_only=True)
    model = serializers.CharField(source="model.name", read_only=True)
    digest = serializers.CharField(read_only=True)
    size_bytes = serializers.IntegerField(source="artifact.size_bytes", read_only=True)
    rewritten_digest = serializers.CharField(source="rewritten_id", read_only=True, allow_null=True)
    inspection = serializers.JSONField(read_only=True)
    training_data = DatasetVersionField(read_only=True, allow_null=True)
    retrained_from = ModelVersionField(read_only=True, allow_null=True)
    job = JobSerializer(read_only=True, allow_null=True)
    created_by = serializers.CharField(source="created_by.username", read_only=True)

    class Meta:
        model = ModelVersion
        fields = [
            "ref",
            "model",
            "number",
            "state",
            "state_reason",
            "filename",
            "framework",
            "format",
            "digest",
            "size_bytes",
            "rewritten_digest",
            "weights_digest",
            "signature",
            "recipe",
            "inspection",
            "layers",
            "parameter_count",
            "model_signature_state",
            "model_signature_key_id",
            "model_signature_reason",
            "training_data",
            "retrained_from",
            "job",
            "created_by",
            "created_at",
        ]
        read_only_fields = fields


class VersionFields(StrictSerializer):
    """What is said of a file of a model: signature and recipe where the file does not state them itself."""

    signature = JSONTextField(required=False, source="stated_signature", reads=Signature.from_json)
    recipe = JSONTextField(required=False, source="stated_recipe", reads=Recipe.from_json)
    training_data = DatasetVersionField(required=False)
    model_signature = JSONTextField(
        required=False, help_text="An OpenSSF model signature over the file (`model_signing sign key`), as its JSON."
    )


class VersionBody(VersionFields, FileInForm):
    """A file of a model, in a form."""


class VersionOfUpload(VersionFields, FinishedUpload):
    """A file of a model that arrived in pieces."""


class ReasonBody(StrictSerializer):
    """Why; kept with the decision."""

    reason = serializers.CharField(max_length=2000)


class VersionFilter(django_filters.FilterSet):  # type: ignore[misc]  # django-filter has no types
    """Which versions to list."""

    state = django_filters.ChoiceFilter(choices=ModelVersionState.choices)

    class Meta:
        model = ModelVersion
        fields = ["state", "framework", "format"]


class VersionViewSet(Readable[ModelVersion], TakesUploads[ModelVersion]):
    """Versions of one model."""

    actions: ClassVar = {
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.UPLOAD_VERSION,
        "bom": Action.VIEW,
        "release": Action.RELEASE_VERSION,
        "reject": Action.REJECT_VERSION,
    }
    queryset = ModelVersion.objects.select_related(
        "model", "artifact", "training_data__dataset", "retrained_from__model", "job__created_by", "created_by"
    )
    serializer_class = VersionSerializer
    body_class = VersionBody
    upload_body_class = VersionOfUpload
    filterset_class = VersionFilter
    lookup_field = "number"

    def get_queryset(self) -> QuerySet[ModelVersion]:
        queryset = super().get_queryset()
        return queryset.filter(model__name=self.kwargs["name"]) if "name" in self.kwargs else queryset

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self._model()
        return super().list(request, *args, **kwargs)

    @extend_schema(
        request={"multipart/form-data": VersionBody, "application/json": VersionOfUpload},
        responses={202: VersionSerializer},
        parameters=[IDEMPOTENCY_KEY, CONTENT_DIGEST],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Upload a version; it is inspected by a job before anything loads it."""
        return super().create(request, *args, **kwargs)

    @extend_schema(responses={(200, bom.CONTENT_TYPE): OpenApiTypes.OBJECT}, filters=False)
    @action(detail=True, methods=["get"])
    def bom(self, request: Request, name: str, number: int) -> HttpResponse:
        """Download the CycloneDX bill of materials: model card, data sets and libraries, with their digests."""
        version = self.get_object()
        response = HttpResponse(canonical_json(bom.bill_of_materials(version)), content_type=bom.CONTENT_TYPE)
        response["Content-Disposition"] = f'attachment; filename="{version.model.name}-{version.number}.cdx.json"'
        return response

    @extend_schema(request=ReasonBody, responses={202: VersionSerializer}, parameters=[IDEMPOTENCY_KEY])
    @action(detail=True, methods=["post"])
    def release(self, request: Request, name: str, number: int) -> Response:
        """Accept what a version is quarantined for; it is inspected once more with that accepted."""
        version, body = self.get_object(), self.read_body(ReasonBody)
        return once(request, lambda: self.accepted(registry.release_version(version=version, by=self.user, **body)))

    @extend_schema(request=ReasonBody, responses=VersionSerializer)
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, name: str, number: int) -> Response:
        """Close a quarantined version for good."""
        version, body = self.get_object(), self.read_body(ReasonBody)
        return Response(self.get_serializer(registry.reject_version(version=version, by=self.user, **body)).data)

    def may_upload(self) -> None:
        permissions.require(self.user, Action.UPLOAD_VERSION, self._model())

    def look_at(self, digest: str, values: dict[str, Any]) -> None:
        model_signatures.judge_upload(values.get("model_signature"), digest=digest)

    def take_in(self, file: StoredFile, filename: str, values: dict[str, Any]) -> ModelVersion:
        return registry.upload_version(model=self._model(), file=file, filename=filename, by=self.user, **values)

    def location_of(self, made: ModelVersion) -> str:
        return reverse("api:version-detail", args=[made.model.name, made.number])

    def _model(self) -> RegisteredModel:
        models = permissions.visible_to(self.user, RegisteredModel.objects.select_related("owner"))
        return get_object_or_404(models, name=self.kwargs["name"])
