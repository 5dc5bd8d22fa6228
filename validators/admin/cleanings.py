"""Cleanings are started and read here, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import StartedHere, as_json, job_link, person
from governance.permissions import Action
from validators.models import Cleaning
from validators.services import cleanings


class CleaningForm(forms.ModelForm[Cleaning]):
    class Meta:
        model = Cleaning
        fields = ["dataset", "suite"]


@admin.register(Cleaning)
class CleaningAdmin(StartedHere[Cleaning]):
    """Cleanings: adding one starts it, by what the suite's expectations say in ``meta.clean``."""

    form = CleaningForm
    add_action = Action.REQUEST_CLEANING
    autocomplete_fields = ["dataset", "suite"]
    list_display = ["__str__", "dataset", "cleaned_to", "suite", "job_state", "created_by", "created_at"]
    list_select_related = ["dataset__dataset", "cleaned_to__dataset", "suite", "job", "created_by"]
    search_fields = ["dataset__dataset__name"]
    fieldsets = [
        (None, {"fields": ["dataset", "suite"], "description": "Saving starts a job that makes a cleaned version."})
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "dataset", "suite", "cleaned_to", "plan_shown", "report_shown", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="job", ordering="job__state")
    def job_state(self, cleaning: Cleaning) -> SafeString | str:
        return job_link(cleaning.job)

    @admin.display(description="plan")
    def plan_shown(self, cleaning: Cleaning) -> SafeString:
        return as_json(cleaning.plan)

    @admin.display(description="report")
    def report_shown(self, cleaning: Cleaning) -> SafeString:
        return as_json(cleaning.report)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Cleaning:
        return cleanings.request_cleaning(dataset=values["dataset"], suite=values["suite"], by=person(request))
