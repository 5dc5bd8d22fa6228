"""Screenings are started and read here, never edited."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import StartedHere, as_json, job_link, person
from governance.exceptions import InvalidInput
from governance.permissions import Action
from validators.models import Screening
from validators.services import screenings


class ScreeningForm(forms.ModelForm[Screening]):
    class Meta:
        model = Screening
        fields = ["dataset", "purpose", "against", "detectors"]


@admin.register(Screening)
class ScreeningAdmin(StartedHere[Screening]):
    """Screenings: adding one starts it, with all detectors of the purpose unless some are named."""

    form = ScreeningForm
    add_action = Action.REQUEST_SCREENING
    autocomplete_fields = ["dataset", "against"]
    list_display = [
        "__str__",
        "dataset",
        "purpose",
        "against",
        "found",
        "row_count",
        "job_state",
        "created_by",
        "created_at",
    ]
    list_select_related = ["dataset__dataset", "against__dataset", "job", "created_by"]
    list_filter = ["purpose"]
    search_fields = ["dataset__dataset__name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["dataset", "purpose", "against", "detectors"],
                "description": "Saving starts a job that looks for faults; it changes nothing.",
            },
        )
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "dataset", "dataset_digest", "purpose", "against", "against_digest", "row_count", "detections_shown",
        "detectors_shown", "digest", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="job", ordering="job__state")
    def job_state(self, screening: Screening) -> SafeString | str:
        return job_link(screening.job)

    @admin.display(description="found")
    def found(self, screening: Screening) -> str:
        if not screening.has_ended:
            return "–"
        titles = [str(entry["title"]).lower() for entry in screening.detections if entry["status"] == "found"]
        return ", ".join(titles) or "nothing"

    @admin.display(description="detectors and parameters")
    def detectors_shown(self, screening: Screening) -> SafeString:
        return as_json(screening.detectors)

    @admin.display(description="detections")
    def detections_shown(self, screening: Screening) -> SafeString:
        return as_json(screening.detections)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Screening:
        asked = values["detectors"] or {}
        if not isinstance(asked, dict):
            raise InvalidInput("`detectors` is an object: each detector with its parameters, which may be {}.")
        return screenings.request_screening(
            dataset=values["dataset"],
            against=values["against"],
            purpose=values["purpose"],
            detectors=list(asked),
            parameters=asked,
            by=person(request),
        )
