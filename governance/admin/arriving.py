"""Uploads that arrive in pieces, in the admin: who sends what, how far it is, and how much room there is left."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.defaultfilters import filesizeformat
from django.urls import reverse

from governance import permissions
from governance.admin.base import ReadOnly, person, sentences_of
from governance.exceptions import AssayError
from governance.models import Upload, UploadState
from governance.permissions import Action
from governance.services import quota, uploads


@admin.register(Upload)
class UploadAdmin(ReadOnly[Upload]):
    """One's own uploads, and everybody's for administrators; deleting one gives it up."""

    kept_sentence = (
        "A file that arrives in pieces (tus). It is removed when it expires, unless it became a version before."
    )
    list_display = ["__str__", "owner", "filename", "state", "length", "arrived", "used_for", "expires_at"]
    list_filter = ["state"]
    list_select_related = ["owner"]
    search_fields = ["filename", "owner__username", "used_for"]
    # Of several, some may be written to just then; each is given up on its own page.
    actions = None
    readonly_when_kept = [
        "owner",
        "quota",
        "state",
        "filename",
        "length",
        "arrived",
        "expected_digest",
        "digest",
        "used_for",
        "created_at",
        "expires_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Upload]:
        queryset = super().get_queryset(request).select_related("owner")
        sees_all = permissions.ADMINISTRATORS in permissions.groups_of(request.user)
        return queryset if sees_all else queryset.filter(owner=person(request))

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"subtitle": f"You hold {_held(person(request))}."})

    @admin.display(description="length", ordering="length_bytes")
    def length(self, upload: Upload) -> str:
        return filesizeformat(upload.length_bytes)

    @admin.display(description="arrived")
    def arrived(self, upload: Upload) -> str:
        return filesizeformat(uploads.offset_of(upload))

    @admin.display(description="the owner holds")
    def quota(self, upload: Upload) -> str:
        return _held(upload.owner)

    def has_delete_permission(self, request: HttpRequest, obj: Upload | None = None) -> bool:
        if obj is not None and obj.state == UploadState.USED:
            return False
        return permissions.may(request.user, Action.TERMINATE_UPLOAD, obj)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None) -> Any:
        try:
            return super().delete_view(request, object_id, extra_context)
        except AssayError as error:
            self.message_user(request, " ".join(sentences_of(error)), messages.ERROR)
            return redirect(reverse("admin:governance_upload_change", args=[object_id]))

    def delete_model(self, request: HttpRequest, obj: Upload) -> None:
        uploads.terminate(upload=obj, by=person(request))


def _held(user: User) -> str:
    used, most = quota.used_bytes(user), settings.ASSAY_UPLOAD_QUOTA_BYTES
    return f"{filesizeformat(used)} of {filesizeformat(most)}" if most else f"{filesizeformat(used)}, without a limit"
