"""``uploads/``: files that arrive in pieces, by the protocol tus 1.0, and become versions once they are whole."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.conf import settings
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.http import http_date
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from governance import digests
from governance.api import tus
from governance.api.base import Readable
from governance.bodies import end_when_it_stalls, pieces
from governance.exceptions import AssayError
from governance.models import Upload, UploadState
from governance.permissions import Action
from governance.services import uploads

_HEADER: Final = OpenApiParameter.HEADER
_VERSION = OpenApiParameter("Tus-Resumable", str, _HEADER, required=True, enum=[tus.VERSION])
_OFFSET = {"type": "integer", "minimum": 0, "maximum": 10**18 - 1}
_CHECKSUM = OpenApiParameter(
    "Upload-Checksum",
    str,
    _HEADER,
    description="Algorithm, space, base64: of this piece, which then counts as a whole or not at all.",
)
_TOLD = [
    OpenApiParameter("Upload-Offset", str, _HEADER, response=True, description="How many bytes have arrived."),
    OpenApiParameter("Tus-Resumable", str, _HEADER, response=True),
]


class UploadSerializer(serializers.ModelSerializer[Upload]):
    """A file that arrives in pieces; ``digest`` is there when it is complete, ``used_for`` when it is a version."""

    offset_bytes = serializers.SerializerMethodField(help_text="how many bytes have arrived")

    class Meta:
        model = Upload
        fields = [
            "id",
            "state",
            "filename",
            "length_bytes",
            "offset_bytes",
            "digest",
            "used_for",
            "created_at",
            "expires_at",
        ]
        read_only_fields = fields

    def get_offset_bytes(self, upload: Upload) -> int:
        return uploads.offset_of(upload)


class UploadViewSet(Readable[Upload]):
    """The uploads of whoever asks; those of others do not exist here.

    HEAD tells where an upload goes on, PATCH sends from there, DELETE gives it up (tus 1.0). When it is complete, its
    number goes into ``upload`` of the version that it becomes. OPTIONS tells what this server can do.
    """

    actions: ClassVar = {
        "metadata": Action.VIEW,
        "list": Action.VIEW,
        "retrieve": Action.VIEW,
        "create": Action.UPLOAD,
        "partial_update": Action.UPLOAD,
        "destroy": Action.TERMINATE_UPLOAD,
    }
    queryset = Upload.objects.select_related("owner")
    serializer_class = UploadSerializer
    filterset_fields = ["state"]

    def get_queryset(self) -> QuerySet[Upload]:
        return super().get_queryset().filter(owner_id=self.request.user.pk)

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take the method of ``X-HTTP-Method-Override``, as tus demands for clients that know no PATCH or DELETE."""
        method = request.headers.get("X-HTTP-Method-Override")
        if method is not None:
            request.method = method.upper()
        return super().dispatch(request, *args, **kwargs)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        answer = super().finalize_response(request, response, *args, **kwargs)
        answer["Cache-Control"] = "no-store"
        if request.method != "OPTIONS":
            answer["Tus-Resumable"] = tus.VERSION
        if answer.status_code == tus.UnsupportedVersion.status:
            answer["Tus-Version"] = tus.VERSION
        if answer.status_code == uploads.ChecksumMismatch.status:
            answer.reason_phrase = "Checksum Mismatch"
        return answer

    def options(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204, headers=tus.capabilities(max_bytes=settings.ASSAY_MAX_UPLOAD_BYTES))

    @extend_schema(parameters=_TOLD)
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Read where an upload stands; HEAD tells the same in headers alone."""
        if request.method == "HEAD":
            tus.demand_version(request.headers)
        upload = self.get_object()
        uploads.demand_current(upload)
        return Response(self.get_serializer(upload).data, headers=_headers_of(upload))

    @extend_schema(
        request={tus.PIECE_TYPE: OpenApiTypes.BINARY},
        responses={201: UploadSerializer},
        parameters=[
            _VERSION,
            OpenApiParameter("Upload-Length", _OFFSET, _HEADER, required=True, description="Bytes of the whole file."),
            OpenApiParameter(
                "Upload-Metadata",
                str,
                _HEADER,
                description="`filename` and `sha256`, each with a space and its value in base64, a comma between.",
            ),
            _CHECKSUM,
            *_TOLD,
        ],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create an upload; a body is its first piece."""
        tus.demand_version(request.headers)
        length_bytes = tus.read_count(request.headers, "Upload-Length")
        metadata = tus.read_metadata(request.headers)
        piece_bytes = tus.demand_piece(request.headers) if tus.has_body(request.headers) else 0
        checksum = digests.of_checksum(request.headers.get("Upload-Checksum"))
        upload = uploads.create_upload(
            length_bytes=length_bytes,
            filename=metadata.filename,
            metadata=metadata.text,
            expected_digest=metadata.digest,
            by=self.user,
        )
        if piece_bytes or not length_bytes:
            try:
                upload = self._append(upload.pk, offset=0, length=piece_bytes, checksum=checksum)
            except AssayError:
                # Nobody was told where it is, so nobody can go on with it.
                uploads.terminate(upload=upload, by=self.user)
                raise
        location = reverse("api:upload-detail", args=[upload.pk])
        headers = {"Location": location, **_headers_of(upload)}
        return Response(self.get_serializer(upload).data, status=201, headers=headers)

    @extend_schema(
        request={tus.PIECE_TYPE: OpenApiTypes.BINARY},
        responses={204: None},
        parameters=[
            _VERSION,
            OpenApiParameter("Upload-Offset", _OFFSET, _HEADER, required=True, description="Where this piece begins."),
            _CHECKSUM,
            OpenApiParameter("Tus-Resumable", str, _HEADER, response=True),
        ],
    )
    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Send the next piece of an upload, from the offset that HEAD tells."""
        tus.demand_version(request.headers)
        length = tus.demand_piece(request.headers)
        offset = tus.read_count(request.headers, "Upload-Offset")
        checksum = digests.of_checksum(request.headers.get("Upload-Checksum"))
        upload = self._append(self.kwargs["pk"], offset=offset, length=length, checksum=checksum)
        return Response(status=204, headers=_headers_of(upload))

    @extend_schema(
        responses={204: None},
        parameters=[_VERSION, OpenApiParameter("Tus-Resumable", str, _HEADER, response=True)],
    )
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Give an upload up: its bytes are removed."""
        tus.demand_version(request.headers)
        uploads.terminate(upload=self.get_object(), by=self.user)
        return Response(status=204)

    def _append(self, upload_id: int, *, offset: int, length: int, checksum: digests.StatedDigest | None) -> Upload:
        end_when_it_stalls(self.request.META)
        return uploads.append(
            upload_id=upload_id,
            offset=offset,
            chunks=pieces(self.request, length),
            length=length,
            by=self.user,
            checksum=checksum,
        )


def _headers_of(upload: Upload) -> dict[str, str]:
    headers = {"Upload-Offset": str(uploads.offset_of(upload)), "Upload-Length": str(upload.length_bytes)}
    if upload.metadata:
        headers["Upload-Metadata"] = upload.metadata
    if upload.state != UploadState.USED:
        headers["Upload-Expires"] = http_date(upload.expires_at.timestamp())
    return headers
