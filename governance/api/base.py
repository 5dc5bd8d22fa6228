"""What every collection of the API shares: visibility, strict bodies, references, the answer to a POST."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar, cast

from django.contrib.auth.models import User
from django.db import models
from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from knox.auth import TokenAuthentication
from rest_framework import mixins, serializers, viewsets
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from governance import permissions, references
from governance.api.parsers import MultipartUploadParser, StrictJSONParser, strict_json
from governance.exceptions import NotFound, UnreadableUpload
from governance.idempotency import once
from governance.models import StoredFile
from governance.permissions import Action
from governance.uploads import Upload

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


@extend_schema_field(OpenApiTypes.BINARY)
class UploadField(serializers.Field[Any, Any, Any, Any]):
    """The file of an upload, in the store already."""

    def to_internal_value(self, data: Any) -> Upload:
        if not isinstance(data, Upload) or data.file is None:
            raise serializers.ValidationError("Send a file, with its name, in this field.")
        return data


@extend_schema_field(OpenApiTypes.OBJECT)
class JSONTextField(serializers.Field[Any, Any, Any, Any]):
    """JSON in a field of a form; an empty field is one that was not sent."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return strict_json(str(data)) if str(data).strip() else None
        except ValueError as error:
            raise serializers.ValidationError(f"This is not JSON that can be kept: {error}.") from error


class UploadBody(StrictSerializer):
    """The file, and its digest where the sender wants it checked."""

    file = UploadField()
    digest = serializers.RegexField(r"\Asha256:[0-9a-f]{64}\Z", required=False)


class TakesUploads(StartsWork[ModelT]):
    """A collection whose POST is a multipart upload, streamed to the store once it is clear that the sender may.

    Only a token opens it: a session would have Django read the whole form for its CSRF field first.
    """

    authentication_classes = [TokenAuthentication]

    def may_upload(self) -> None:
        """Raise unless the sender may upload here; called before a byte of the body is read."""
        raise NotImplementedError

    def get_parsers(self) -> list[BaseParser]:
        return [MultipartUploadParser()] if self.request is not None and self.request.method == "POST" else []

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.may_upload()
        return super().create(request, *args, **kwargs)

    def read_body(self, serializer_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        upload = self.request.data
        if not isinstance(upload, Upload):  # an empty body
            raise serializers.ValidationError({"file": ["Send a file, with its name, in this field."]})
        serializer = serializer_class(data={**upload.fields, "file": upload})
        serializer.is_valid(raise_exception=True)
        body = cast(dict[str, Any], serializer.validated_data)
        said, stored = body.pop("digest", None), cast(StoredFile, upload.file)
        if said is not None and said != stored.digest:
            raise UnreadableUpload(
                f"The file that came has the digest {stored.digest}, not {said}; send it again.",
                errors=[{"place": "digest", "detail": f"What came has {stored.size_bytes:,} bytes."}],
            )
        return body
