"""What every page of the admin shares: everything is read-only once it is kept, and starting goes through a service."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from governance import permissions
from governance.exceptions import AssayError
from governance.models import Job
from governance.permissions import Action

ModelT = TypeVar("ModelT", bound=models.Model)


class JSONField(forms.JSONField):
    """A field for JSON that people paste: empty where nothing stands in it, wide and in the letters of code."""

    def __init__(self, *, rows: int = 8, **options: Any) -> None:
        looks = {"rows": rows, "cols": 100, "class": "vLargeTextField code", "spellcheck": "false"}
        super().__init__(widget=forms.Textarea(attrs=looks), **options)

    def prepare_value(self, value: Any) -> Any:
        """Show no value as an empty field: Django would write ``null``."""
        return "" if value is None else super().prepare_value(value)


def as_json(value: Any) -> SafeString:
    """Show JSON as people read it, and nothing as a dash."""
    if value in (None, {}, []):
        return format_html("{}", "–")
    text = json.dumps(value, indent=2, ensure_ascii=False, sort_keys=False)
    return format_html('<pre class="assay-json">{}</pre>', text)


def job_link(job: Job | None) -> SafeString | str:
    """Link to the live page of a job, by its state."""
    if job is None:
        return "–"
    return format_html('<a href="{}">{}</a>', reverse("job", args=[job.pk]), f"job {job.pk}: {job.get_state_display()}")


def page_link(url_name: str, *parts: Any, text: str) -> SafeString:
    """Link to the page that shows a thing to reviewers."""
    return format_html('<a href="{}">{}</a>', reverse(url_name, args=parts), text)


def person(request: HttpRequest) -> User:
    """Return who asks; the admin has let nobody through who is not signed in."""
    return cast(User, request.user)


def sentences_of(error: AssayError) -> list[str]:
    """Return what an error says, each sentence once."""
    more = [*error.reasons, *(str(entry["detail"]) for entry in error.errors)]
    return list(dict.fromkeys([error.detail, *(sentence for sentence in more if sentence not in error.detail)]))


class ReadOnly(admin.ModelAdmin[ModelT]):
    """Rows for reading, by whoever may see the record."""

    #: Stands above what is shown of a row.
    kept_sentence = "Kept as it was made: nothing here can be changed or deleted."
    #: What is shown of a row, and nothing of it can be changed.
    readonly_when_kept: ClassVar[list[str]] = []

    def has_module_permission(self, request: HttpRequest) -> bool:
        return permissions.may(request.user, Action.VIEW)

    def has_view_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return permissions.may(request.user, Action.VIEW)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ModelT | None = None) -> bool:
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: ModelT | None = None) -> list[str]:
        return [] if obj is None else list(self.readonly_when_kept)

    def get_fieldsets(self, request: HttpRequest, obj: ModelT | None = None) -> Any:
        if obj is None:
            return super().get_fieldsets(request, obj)
        return [(None, {"fields": list(self.readonly_when_kept), "description": self.kept_sentence})]


class StartedHere(ReadOnly[ModelT]):
    """Rows that the admin adds through a service: ``start`` calls it with what the form says.

    What the service says no to stands above the form, which keeps what was typed.
    """

    #: What adding takes.
    add_action: ClassVar[Action]

    def start(self, request: HttpRequest, values: dict[str, Any]) -> ModelT:
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest) -> bool:
        return permissions.may(request.user, self.add_action)

    def get_form(
        self, request: HttpRequest, obj: ModelT | None = None, change: bool = False, **kwargs: Any
    ) -> type[forms.ModelForm[ModelT]]:
        plain = super().get_form(request, obj, change=change, **kwargs)
        refusal: AssayError | None = getattr(request, "assay_refusal", None)
        if refusal is None:
            return plain
        sentences = sentences_of(refusal)

        class Refused(plain):  # type: ignore[valid-type, misc]
            def clean(self) -> dict[str, Any]:
                cleaned: dict[str, Any] = super().clean() or self.cleaned_data
                self.add_error(None, [forms.ValidationError(sentence) for sentence in sentences])
                return cleaned

        return Refused

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except AssayError as error:
            # The transaction of the page is rolled back by now; draw the form again with the reasons.
            request.assay_refusal = error  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    def response_add(self, request: HttpRequest, obj: ModelT, post_url_continue: str | None = None) -> HttpResponse:
        """Lead to the page of the job that adding has started, where it can be followed."""
        job: Job | None = getattr(obj, "job", None)
        if job is None:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(
            request, format_html("{} is started: {}.", str(obj).capitalize(), job_link(job)), messages.SUCCESS
        )
        options = self.model._meta
        return redirect(reverse(f"admin:{options.app_label}_{options.model_name}_changelist"))

    def save_model(self, request: HttpRequest, obj: ModelT, form: Any, change: bool) -> None:
        made = self.start(request, form.cleaned_data)
        obj.__dict__.update(made.__dict__)  # what the page goes on with is what the service made


#: What ``admin.ModelAdmin.actions`` takes.
AdminAction = Callable[[Any, HttpRequest, models.QuerySet[Any]], HttpResponse | None]


def starts(url_name: str, parameter: str, description: str) -> AdminAction:
    """Return an action that opens the form of another page for the one selected row: ``?parameter=pk``."""

    @admin.action(description=description)
    def open_form(
        modeladmin: admin.ModelAdmin[Any], request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> HttpResponse | None:
        chosen = list(queryset.values_list("pk", flat=True)[:2])
        if len(chosen) != 1:
            modeladmin.message_user(request, "Select one row for this.", messages.WARNING)
            return None
        return redirect(f"{reverse(url_name)}?{parameter}={chosen[0]}")

    open_form.__name__ = f"{url_name.replace(':', '_')}_by_{parameter}"
    return open_form
