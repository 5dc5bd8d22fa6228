"""The admin of data evidence: suites are written here; validations and cleanings are started and read, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import JSONField, StartedHere, as_json, job_link, person, starts
from governance.models import DatasetVersion
from governance.permissions import Action
from validators import services
from validators.models import Cleaning, ExpectationSuite, RequiredSuite, Validation, Waiver


class SuiteForm(forms.ModelForm[ExpectationSuite]):
    """A name and the expectations, written or pasted as Great Expectations' JSON."""

    document = JSONField(
        label="Suite",
        rows=24,
        help_text='Great Expectations\' own JSON: {"expectations": [{"type": ..., "kwargs": {...}, "severity": ...}]}. '
        "In meta.clean an expectation may say what a cleaning does with what does not meet it.",
    )

    class Meta:
        model = ExpectationSuite
        fields = ["name", "document"]


@admin.register(ExpectationSuite)
class ExpectationSuiteAdmin(StartedHere[ExpectationSuite]):
    """Suites; a change is the next number of the same name."""

    form = SuiteForm
    add_action = Action.CREATE_SUITE
    list_display = ["ref", "expectation_count", "created_by", "created_at"]
    list_select_related = ["created_by"]
    search_fields = ["name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "document"],
                "description": "A suite is kept as it is; the same name again makes the next number.",
            },
        )
    ]
    readonly_when_kept: ClassVar[list[str]] = ["name", "number", "digest", "expectations", "created_by", "created_at"]

    @admin.display(description="expectations")
    def expectation_count(self, suite: ExpectationSuite) -> int:
        return len(suite.document["expectations"])

    @admin.display(description="expectations")
    def expectations(self, suite: ExpectationSuite) -> SafeString:
        return as_json(suite.document["expectations"])

    def start(self, request: HttpRequest, values: dict[str, Any]) -> ExpectationSuite:
        document = values["document"]
        if not isinstance(document, dict):
            document = {"expectations": document}
        return services.create_suite(name=values["name"], document=document, by=person(request))


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
        return services.request_validation(dataset=values["dataset"], suite=values["suite"], by=person(request))


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
        return services.request_cleaning(dataset=values["dataset"], suite=values["suite"], by=person(request))


class RequiredSuiteForm(forms.ModelForm[RequiredSuite]):
    class Meta:
        model = RequiredSuite
        fields = ["dataset", "suite"]


@admin.register(RequiredSuite)
class RequiredSuiteAdmin(StartedHere[RequiredSuite]):
    """Which suite the versions of a data set have to pass before training."""

    form = RequiredSuiteForm
    add_action = Action.REQUIRE_SUITE
    autocomplete_fields = ["dataset", "suite"]
    list_display = ["dataset", "suite", "set_by", "set_at"]
    list_select_related = ["dataset", "suite", "set_by"]
    readonly_when_kept: ClassVar[list[str]] = ["dataset", "suite", "set_by", "set_at"]

    def start(self, request: HttpRequest, values: dict[str, Any]) -> RequiredSuite:
        return services.require_suite(dataset=values["dataset"], suite=values["suite"], by=person(request))


# What is done with a data set above the record is offered where its versions are listed.
_versions = admin.site.get_model_admin(DatasetVersion)
_versions.actions = [
    *(_versions.actions or ()),
    starts("admin:validators_validation_add", "dataset", "Validate the selected version …"),
    starts("admin:validators_cleaning_add", "dataset", "Clean the selected version …"),
]
