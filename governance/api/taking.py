"""Collections whose POST brings a file: in a form, or by the number of an upload that arrived in pieces."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, cast

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_field
from knox.auth import TokenAuthentication
from rest_framework import serializers
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from governance.api.base import ModelT, StartsWork, StrictSerializer
from governance.api.parsers import MultipartUploadParser, StrictJSONParser, strict_json
from governance.exceptions import DigestMismatch, InvalidInput
from governance.models import StoredFile
from governance.services import uploads
from governance.services.subjects import plain_filename
from governance.uploads import ReceivedForm

#: For ``extend_schema`` of such a POST.
CONTENT_DIGEST = OpenApiParameter(
    "Content-Digest",
    str,
    OpenApiParameter.HEADER,
    description="`sha-256=:BASE64:` or `sha-512=:BASE64:` of the whole body (RFC 9530); Repr-Digest is read too.",
)


@extend_schema_field(OpenApiTypes.BINARY)
class UploadField(serializers.Field[Any, Any, Any, Any]):
    """The file of a form, on disk already."""

    def to_internal_value(self, data: Any) -> ReceivedForm:
        if not isinstance(data, ReceivedForm) or data.file is None:
            raise serializers.ValidationError("Send a file, with its name, in this field.")
        try:
            plain_filename(data.filename)
        except InvalidInput as error:
            raise serializers.ValidationError(error.detail) from error
        return data


@extend_schema_field(OpenApiTypes.OBJECT)
class JSONTextField(serializers.Field[Any, Any, Any, Any]):
    """JSON: as it is in a JSON body, as text in a field of a form, where an empty one is one that was not sent.

    ``reads`` parses it and raises ValueError, so that what is wrong is told before the file is kept.
    """

    def __init__(self, *, reads: Callable[[Any], object] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.reads = reads

    def to_internal_value(self, data: Any) -> Any:
        document = data
        if isinstance(data, str):
            try:
                document = strict_json(data) if data.strip() else None
            except ValueError as error:
                raise serializers.ValidationError(f"This is not JSON that can be kept: {error}.") from error
        if document is not None and self.reads is not None:
            try:
                self.reads(document)
            except ValueError as error:
                raise serializers.ValidationError(str(error)) from error
        return document


class FileInForm(StrictSerializer):
    """The file, and its digest where the sender wants it checked."""

    file = UploadField()
    digest = serializers.RegexField(r"\Asha256:[0-9a-f]{64}\Z", required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        said, came = attrs.pop("digest", None), attrs["file"].file
        if said is not None and said != came.digest:
            raise DigestMismatch(
                f"The file that came has the digest {came.digest}, not {said}; send it again.",
                errors=[{"place": "digest", "detail": f"What came has {came.size_bytes:,} bytes."}],
            )
        return attrs


class FinishedUpload(StrictSerializer):
    """The number of an upload of the sender's that is complete; it has its file name where none is given."""

    upload = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    filename = serializers.CharField(required=False, max_length=1000)


class TakesUploads(StartsWork[ModelT]):
    """A collection whose POST brings a file: a multipart form, streamed to disk once it is clear that the sender may,
    or the number of a complete upload.

    ``body_class`` reads the form, ``upload_body_class`` the JSON with the number; ``take_in`` calls the service. Only
    a token opens it: a session would have Django read the whole form for its CSRF field first.
    """

    authentication_classes = [TokenAuthentication]
    upload_body_class: ClassVar[type[FinishedUpload]]

    def may_upload(self) -> None:
        """Raise unless the sender may upload here; called before a byte of the body is read."""
        raise NotImplementedError

    def look_at(self, digest: str, values: dict[str, Any]) -> None:
        """Raise when what was said does not go with a file of this digest; called before the file is kept."""

    def take_in(self, file: StoredFile, filename: str, values: dict[str, Any]) -> ModelT:
        """Call the service that makes a version of a file; inside a transaction, before the file has its name."""
        raise NotImplementedError

    def get_parsers(self) -> list[BaseParser]:
        """Take a file where something is uploaded, and JSON alone where somebody says something about a thing."""
        if self.detail:
            return super().get_parsers()
        if self.request is None or self.request.method != "POST":
            return []
        return [MultipartUploadParser(), StrictJSONParser()]

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.may_upload()
        form: AbstractContextManager[Any] = nullcontext()
        if isinstance(request.data, ReceivedForm):
            form = request.data
        with form:
            return super().create(request, *args, **kwargs)

    def read_body(self, serializer_class: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        if self.detail:
            return super().read_body(serializer_class)
        body = self.request.data
        if isinstance(body, ReceivedForm):
            serializer = serializer_class(data={**body.fields, "file": body}, context=self.get_serializer_context())
        elif body:
            serializer = self.upload_body_class(data=body, context=self.get_serializer_context())
        else:
            raise serializers.ValidationError({"file": ["Send a file, with its name, in this field."]})
        serializer.is_valid(raise_exception=True)
        values = cast(dict[str, Any], serializer.validated_data)
        if "upload" in values:
            # Whatever takes long is done here, before the transaction of the version.
            upload = values["upload"] = uploads.completed(upload_id=values["upload"], by=self.user)
            values["filename"] = plain_filename(values.get("filename", upload.filename))
            self.look_at(upload.digest, values)
        else:
            self.look_at(values["file"].file.digest, values)
        return values

    def start(self, body: dict[str, Any]) -> ModelT:
        if "upload" in body:
            upload, filename = body.pop("upload"), body.pop("filename")
            return uploads.use(upload=upload, by=self.user, make=lambda file: self.take_in(file, filename, body))
        form = body.pop("file")
        return uploads.take(arrived=form.file, by=self.user, make=lambda file: self.take_in(file, form.filename, body))
