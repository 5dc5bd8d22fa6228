"""Validations are started and read here, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import StartedHere, as_json, job_link, person
from governance.permissions import Action
from validators.models import Validation, Waiver
from validators.services import validations


class ValidationForm(forms.ModelForm[Validation]):
    class Meta:
        model = Validation
        fields = ["dataset", "suite"]


class WaiverInline(admin.TabularInline[Waiver, Validation]):
    """Waivers, for reading; they are granted through the API, by somebody who does not own the data."""

    model = Waiver
    extra = 0
    can_delete = False
    fields = ("reason", "expires_at", "granted_by", "granted_at")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Validation)
class ValidationAdmin(StartedHere[Validation]):
    """Validations: adding one starts it."""

    form = ValidationForm
    add_action = Action.REQUEST_VALIDATION
    inlines = [WaiverInline]
    autocomplete_fields = ["dataset", "suite"]
    list_display = ["__str__", "dataset", "suite", "success", "row_count", "job_state", "created_by", "created_at"]
    list_select_related = ["dataset__dataset", "suite", "job", "created_by"]
    list_filter = ["success"]
    search_fields = ["dataset__dataset__name", "suite__name"]
    fieldsets = [(None, {"fields": ["dataset", "suite"], "description": "Saving starts a job that runs the suite."})]
    readonly_when_kept: ClassVar[list[str]] = [
        "dataset", "dataset_digest", "suite", "success", "row_count", "statistics_shown", "results_shown",
        "digest", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="job", ordering="job__state")
    def job_state(self, validation: Validation) -> SafeString | str:
        return job_link(validation.job)

    @admin.display(description="statistics")
    def statistics_shown(self, validation: Validation) -> SafeString:
        return as_json(validation.statistics)

    @admin.display(description="results")
    def results_shown(self, validation: Validation) -> SafeString:
        return as_json(validation.results)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Validation:
        return validations.request_validation(dataset=values["dataset"], suite=values["suite"], by=person(request))
