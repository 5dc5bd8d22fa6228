"""Cleanings and restorations are started and read here, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import JSONField, StartedHere, as_json, job_link, person
from governance.permissions import Action
from validators.models import Cleaning, Restoration
from validators.services import cleanings, restorations


class CleaningForm(forms.ModelForm[Cleaning]):
    """A data set version, and a suite or a plan, or both."""

    plan = JSONField(
        label="Plan",
        rows=6,
        required=False,
        help_text='[{"action": "quarantine", "column": "income", "bounds": {"method": "iqr", "factor": 3}}, ...]; '
        "without one, what the suite's expectations say in meta.clean.",
    )

    class Meta:
        model = Cleaning
        fields = ["dataset", "suite", "plan"]


@admin.register(Cleaning)
class CleaningAdmin(StartedHere[Cleaning]):
    """Cleanings: adding one starts it, by a plan or by what the suite's expectations say in ``meta.clean``."""

    form = CleaningForm
    add_action = Action.REQUEST_CLEANING
    autocomplete_fields = ["dataset", "suite"]
    list_display = ["__str__", "dataset", "cleaned_to", "suite", "agrees", "job_state", "created_by", "created_at"]
    list_select_related = ["dataset__dataset", "cleaned_to__dataset", "suite", "job", "created_by"]
    search_fields = ["dataset__dataset__name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["dataset", "suite", "plan"],
                "description": "Saving starts a job that makes a cleaned version; with a suite, what is left is "
                "validated against it at once.",
            },
        )
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "dataset", "suite", "cleaned_to", "replay_of", "agrees", "plan_shown", "report_shown", "job_state",
        "created_by", "created_at",
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
        return cleanings.request_cleaning(
            dataset=values["dataset"], suite=values["suite"], plan=values["plan"], by=person(request)
        )


class RestorationForm(forms.ModelForm[Restoration]):
    """The cleaning that took rows out, their numbers, and why they go back."""

    rows = JSONField(
        label="Rows",
        rows=2,
        help_text="[17, 204]: their numbers in the version that was cleaned, as the quarantine has them",
    )

    class Meta:
        model = Restoration
        fields = ["cleaning", "rows", "reason"]

    def clean_rows(self) -> list[int]:
        rows = self.cleaned_data["rows"]
        if not isinstance(rows, list) or not all(type(row) is int and row >= 0 for row in rows):
            raise forms.ValidationError("Rows are a list of whole numbers, such as [17, 204].")
        return rows


@admin.register(Restoration)
class RestorationAdmin(StartedHere[Restoration]):
    """Rows that were put back: adding one starts the job that makes a version with them."""

    form = RestorationForm
    add_action = Action.RESTORE_ROWS
    autocomplete_fields = ["cleaning"]
    list_display = ["__str__", "cleaning", "restored_to", "job_state", "created_by", "created_at"]
    list_select_related = ["cleaning", "restored_to__dataset", "job", "created_by"]
    search_fields = ["base__dataset__name", "reason"]
    fieldsets = [
        (
            None,
            {
                "fields": ["cleaning", "rows", "reason"],
                "description": "Saving starts a job that makes a version with these rows at their places, as they "
                "were; it has to be validated anew.",
            },
        )
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "cleaning", "base", "restored_to", "rows_shown", "reason", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="job", ordering="job__state")
    def job_state(self, restoration: Restoration) -> SafeString | str:
        return job_link(restoration.job)

    @admin.display(description="rows")
    def rows_shown(self, restoration: Restoration) -> SafeString:
        return as_json(restoration.rows)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Restoration:
        return restorations.restore_rows(
            cleaning=values["cleaning"], rows=values["rows"], reason=values["reason"], by=person(request)
        )
