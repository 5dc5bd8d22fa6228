"""Splits, comparisons and datasheets are started or written here, and read, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import JSONField, StartedHere, as_json, job_link, person
from governance.permissions import Action
from validators.models import Comparison, Datasheet, Split
from validators.services import comparisons, datasheets, splits


class SplitForm(forms.ModelForm[Split]):
    """A data set version and a plan."""

    plan = JSONField(
        label="Plan",
        rows=6,
        help_text='{"fractions": {"train": 0.7, "validation": 0.15, "test": 0.15}, "by": "id column", "group": ..., '
        '"time": ..., "salt": ...}; without by, group and time the column of role id decides, or the whole row.',
    )

    class Meta:
        model = Split
        fields = ["dataset", "plan"]


@admin.register(Split)
class SplitAdmin(StartedHere[Split]):
    """Splits: adding one starts it."""

    form = SplitForm
    add_action = Action.REQUEST_SPLIT
    autocomplete_fields = ["dataset"]
    list_display = ["__str__", "dataset", "split_to", "job_state", "created_by", "created_at"]
    list_select_related = ["dataset__dataset", "split_to__dataset", "job", "created_by"]
    search_fields = ["dataset__dataset__name"]
    fieldsets = [
        (None, {"fields": ["dataset", "plan"], "description": "Saving starts a job that makes a version with parts."})
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "dataset", "plan_shown", "split_to", "report_shown", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="job", ordering="job__state")
    def job_state(self, split: Split) -> SafeString | str:
        return job_link(split.job)

    @admin.display(description="plan")
    def plan_shown(self, split: Split) -> SafeString:
        return as_json(split.plan)

    @admin.display(description="report")
    def report_shown(self, split: Split) -> SafeString:
        return as_json(split.report)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Split:
        return splits.request_split(dataset=values["dataset"], plan=values["plan"], by=person(request))


class ComparisonForm(forms.ModelForm[Comparison]):
    class Meta:
        model = Comparison
        fields = ["before", "after"]


@admin.register(Comparison)
class ComparisonAdmin(StartedHere[Comparison]):
    """Comparisons of data: adding one starts it."""

    form = ComparisonForm
    add_action = Action.REQUEST_COMPARISON
    autocomplete_fields = ["before", "after"]
    list_display = ["__str__", "before", "after", "job_state", "created_by", "created_at"]
    list_select_related = ["before__dataset", "after__dataset", "job", "created_by"]
    search_fields = ["before__dataset__name", "after__dataset__name"]
    fieldsets = [
        (None, {"fields": ["before", "after"], "description": "Saving starts a job that tells how they differ."})
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "before", "before_digest", "after", "after_digest", "result_shown", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="job", ordering="job__state")
    def job_state(self, comparison: Comparison) -> SafeString | str:
        return job_link(comparison.job)

    @admin.display(description="result")
    def result_shown(self, comparison: Comparison) -> SafeString:
        return as_json(comparison.result)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Comparison:
        return comparisons.request_comparison(before=values["before"], after=values["after"], by=person(request))


class DatasheetForm(forms.ModelForm[Datasheet]):
    """A data set and the answers; the page of the datasheet has a form with the questions."""

    answers = JSONField(label="Answers", rows=20, help_text='{"purpose": "...", "license": "...", ...}')

    class Meta:
        model = Datasheet
        fields = ["dataset", "answers"]


@admin.register(Datasheet)
class DatasheetAdmin(StartedHere[Datasheet]):
    """Datasheets: other answers are the next number."""

    form = DatasheetForm
    add_action = Action.WRITE_DATASHEET
    autocomplete_fields = ["dataset"]
    list_display = ["__str__", "dataset", "answered", "created_by", "created_at"]
    list_select_related = ["dataset", "created_by"]
    search_fields = ["dataset__name"]
    fieldsets = [
        (None, {"fields": ["dataset", "answers"], "description": "Only the owner of a data set writes its datasheet."})
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "dataset", "number", "digest", "answers_shown", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="answered")
    def answered(self, datasheet: Datasheet) -> int:
        return len(datasheet.answers)

    @admin.display(description="answers")
    def answers_shown(self, datasheet: Datasheet) -> SafeString:
        return as_json(datasheet.answers)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Datasheet:
        return datasheets.write_datasheet(dataset=values["dataset"], answers=values["answers"], by=person(request))
