"""Suites are written here, and the one that a data set requires is pinned."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import JSONField, StartedHere, as_json, person
from governance.permissions import Action
from validators.models import ExpectationSuite, RequiredSuite
from validators.services import suites


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
        return suites.create_suite(name=values["name"], document=document, by=person(request))


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
        return suites.require_suite(dataset=values["dataset"], suite=values["suite"], by=person(request))
