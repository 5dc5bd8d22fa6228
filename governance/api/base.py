"""What every collection of the API shares: visibility, strict bodies, references, the answer to a POST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast

from django.contrib.auth.models import User
from django.db import models
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from governance import permissions, references
from governance.api.parsers import StrictJSONParser
from governance.exceptions import NotFound
from governance.idempotency import once
from governance.permissions import Action

ModelT = TypeVar("ModelT", bound=models.Model)
ReferredT = TypeVar("ReferredT")

#: For ``extend_schema`` of a POST that starts work.
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    str,
    OpenApiParameter.HEADER,
    description="The same key with the same request gets the same answer, and starts the work once.",
)


class StrictSerializer(serializers.Serializer[Any]):
    """A body that may have the declared fields and no other: a misspelt field is told, not ignored."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping):
            writable = [name for name, field in self.fields.items() if not field.read_only]
            unknown = [str(name) for name in data if name not in writable]
            if unknown:
                sentence = f"There is no such field; the fields are {', '.join(writable) or 'none'}."
                raise serializers.ValidationError({name: [sentence] for name in unknown})
        return super().to_internal_value(data)


class ReferenceField(serializers.Field[Any, str, str, Any]):
    """A thing by the reference that people write; what does not exist is an error of this field."""

    lookup: ClassVar[staticmethod[[str], Any]]

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            raise serializers.ValidationError(f"A reference is a text such as name/3, not {data!r}.")
        try:
            return type(self).lookup(data)
        except NotFound as error:
            raise serializers.ValidationError(error.detail) from error

    def to_representation(self, value: Any) -> str:
        return str(value.ref)


@extend_schema_field(OpenApiTypes.STR)
class ModelVersionField(ReferenceField):
    """``name/number`` or ``name@alias``."""

    lookup = staticmethod(references.model_version)


@extend_schema_field(OpenApiTypes.STR)
class DatasetVersionField(ReferenceField):
    """``name/number``."""

    lookup = staticmethod(references.dataset_version)


@extend_schema_field(OpenApiTypes.STR)
class PolicyField(ReferenceField):
    """``name/number``."""

    lookup = staticmethod(references.policy)


class AssayViewSet(viewsets.GenericViewSet[ModelT]):
    """A collection: says in ``actions`` who may do what, and shows only what one may see.

    ``queryset`` selects everything that a row shows, so that a list takes the same number of queries however long.
    """

    actions: ClassVar[Mapping[str, Action]]
    parser_classes = [StrictJSONParser]
    lookup_value_converter = "int"

    def get_queryset(self) -> models.QuerySet[ModelT]:
        queryset = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):  # the schema is drawn without anybody asking
            return queryset
        return permissions.visible_to(self.user, queryset)

    @property
    def user(self) -> User:
        """Who asks; ``Declared`` has let nobody through who is not signed in."""
        return cast(User, self.request.user)

    def read_body(self, serializer_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        """Return what a body says, or raise what is wrong with it."""
        serializer = serializer_class(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return cast(dict[str, Any], serializer.validated_data)


class Readable(mixins.ListModelMixin, mixins.RetrieveModelMixin, AssayViewSet[ModelT]):
    """A collection that is listed and whose things are read one by one."""


class StartsWork(AssayViewSet[ModelT]):
    """A collection whose POST starts a job: 202, the new thing, its Location, and done once an Idempotency-Key.

    ``body_class`` reads the body; ``start`` calls the service and returns what it made.
    """

    body_class: ClassVar[type[serializers.Serializer[Any]]]

    def start(self, body: dict[str, Any]) -> ModelT:
        raise NotImplementedError

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        body = self.read_body(self.body_class)
        return once(request, lambda: self.accepted(self.start(body)))

    def accepted(self, made: ModelT) -> Response:
        """Answer 202 with what was made and where it is."""
        content = self.get_serializer(made).data
        return Response(content, status=202, headers={"Location": self.location_of(made)})

    def location_of(self, made: ModelT) -> str:
        return reverse(f"api:{self.basename}-detail", args=[made.pk])
