"""Uploads in the admin: streamed to the store like those of the API, and answered before anything reads them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.views.decorators.csrf import csrf_exempt

from governance import permissions
from governance.admin.base import ReadOnly, person, sentences_of
from governance.bodies import end_when_it_stalls
from governance.exceptions import AssayError
from governance.models import Job, StoredFile
from governance.permissions import Action
from governance.services import quota, uploads
from governance.uploads import ReceivedForm, receive

ModelT = TypeVar("ModelT", bound=models.Model)


class TakesUploads(ReadOnly[ModelT]):
    """Rows that come in as uploads.

    The form's fields stand before its file, so that the CSRF token is checked before a byte of the file is stored.
    """

    add_action: ClassVar[Action]
    upload_form: ClassVar[type[forms.Form]]
    upload_sentence: ClassVar[str]

    def take_in(
        self, request: HttpRequest, values: dict[str, Any], file: StoredFile, filename: str
    ) -> tuple[ModelT, Job]:
        """Call the service; return what it made and the job that goes on with it."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.may(request.user, self.add_action)

    # Django would read the whole form for its CSRF field first; ``_upload`` checks it while the form arrives.
    @csrf_exempt
    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return self._draw(request, self.upload_form(initial={**request.GET.dict()}), status=200)
        form = self.upload_form()
        try:
            with self._received(request) as received:
                form = self.upload_form(data=received.fields)
                if received.file is None:
                    form.add_error(None, "Choose a file.")
                if form.is_valid() and received.file is not None:
                    values, filename = form.cleaned_data, received.filename
                    made = uploads.take(
                        arrived=received.file,
                        by=person(request),
                        make=lambda file: self.take_in(request, values, file, filename),
                    )
                    return self._taken_in(request, *made)
            status = 200
        except AssayError as error:
            status = error.status
            if form.is_bound:
                form.add_error(None, [forms.ValidationError(sentence) for sentence in sentences_of(error)])
            else:
                self.message_user(request, error.detail, messages.ERROR)
        return self._draw(request, form, status=status)

    def _received(self, request: HttpRequest) -> ReceivedForm:
        def demand_token(fields: Mapping[str, str]) -> None:
            request.META["HTTP_X_CSRFTOKEN"] = fields.get("csrfmiddlewaretoken", "")
            if CsrfViewMiddleware(_never_called).process_view(request, _protected, (), {}) is not None:
                raise PermissionDenied("The form is not from this site, or is too old; open it again.")

        length = int(request.META.get("CONTENT_LENGTH") or 0)
        quota.demand_room(by=person(request), size_bytes=length)
        end_when_it_stalls(request.META)
        received = receive(
            request,
            content_type=request.headers.get("Content-Type", ""),
            content_length=length,
            before_file=demand_token,
        )
        if received.file is None:
            demand_token(received.fields)
        return received

    def _taken_in(self, request: HttpRequest, made: ModelT, job: Job) -> HttpResponse:
        said = format_html(
            'Stored as {}; <a href="{}">job {}</a> goes on with it.', made, reverse("job", args=[job.pk]), job.pk
        )
        self.message_user(request, said, messages.SUCCESS)
        options = self.model._meta
        return redirect(reverse(f"admin:{options.app_label}_{options.model_name}_change", args=[made.pk]))

    def _draw(self, request: HttpRequest, form: forms.Form, *, status: int) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": f"Upload a {self.model._meta.verbose_name}",
            "form": form,
            "sentence": self.upload_sentence,
            "opts": self.model._meta,
            "person": person(request),
        }
        return TemplateResponse(request, "admin/governance/upload.html", context, status=status)


def _protected(request: HttpRequest) -> HttpResponse:
    """Stand for a view that is not exempt from the check."""
    raise NotImplementedError


def _never_called(request: HttpRequest) -> HttpResponse:
    """Stand for the rest of the middleware; only the check of one view is asked."""
    raise NotImplementedError
