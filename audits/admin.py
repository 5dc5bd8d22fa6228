"""The admin of model evidence: explanations and audits are started and read here; findings are read."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from audits.engine.methods import METHODS
from audits.models import Audit, CheckResult, Explanation, Finding
from audits.services import audits, explanations
from governance.admin import ReadOnly, StartedHere, as_json, job_link, page_link, person, starts
from governance.models import ModelVersion
from governance.permissions import Action


class ExplanationForm(forms.ModelForm[Explanation]):
    """What to explain; the API takes more (single rows, slices, groups, bounds)."""

    method = forms.ChoiceField(
        initial="permutation", choices=[(name, f"{entry.title}: {entry.estimates}") for name, entry in METHODS.items()]
    )
    scale = forms.ChoiceField(initial="logits", choices=[("logits", "logits"), ("probabilities", "probabilities")])
    background_rows = forms.IntegerField(
        initial=explanations.DEFAULT_BACKGROUND_ROWS,
        min_value=1,
        max_value=10_000,
        help_text="How many rows of the training data to compare with.",
    )
    rows = forms.IntegerField(
        initial=explanations.DEFAULT_ROWS, min_value=1, max_value=100_000, help_text="How many rows, drawn by a seed."
    )

    class Meta:
        model = Explanation
        fields = ["version", "dataset"]


@admin.register(Explanation)
class ExplanationAdmin(StartedHere[Explanation]):
    """Explanations: adding one starts it."""

    form = ExplanationForm
    add_action = Action.REQUEST_EXPLANATION
    autocomplete_fields = ["version", "dataset"]
    list_display = ["page", "version", "dataset", "admitted", "job_state", "created_by", "created_at"]
    list_select_related = ["version__model", "dataset__dataset", "job", "created_by"]
    list_filter = ["admitted"]
    search_fields = ["version__model__name", "dataset__dataset__name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["version", "dataset", "rows", "method", "scale", "background_rows"],
                "description": (
                    "Saving starts a job. The background is the data that the version was trained on; the policy of "
                    "the model's tier bounds how good the values have to be."
                ),
            },
        )
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "page", "version", "dataset", "background", "parameters_shown", "admitted", "quality_shown", "digest",
        "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="explanation", ordering="pk")
    def page(self, explanation: Explanation) -> SafeString:
        return page_link("explanation", explanation.pk, text=str(explanation))

    @admin.display(description="job", ordering="job__state")
    def job_state(self, explanation: Explanation) -> SafeString | str:
        return job_link(explanation.job)

    @admin.display(description="parameters")
    def parameters_shown(self, explanation: Explanation) -> SafeString:
        return as_json(explanation.parameters)

    @admin.display(description="quality")
    def quality_shown(self, explanation: Explanation) -> SafeString:
        return as_json(explanation.quality)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Explanation:
        return explanations.request_explanation(
            version=values["version"],
            dataset=values["dataset"],
            rows=values["rows"],
            method=values["method"],
            scale=values["scale"],
            background_rows=values["background_rows"],
            by=person(request),
        )


class AuditForm(forms.ModelForm[Audit]):
    """What to audit; without a policy it is the newest one of the model's tier."""

    class Meta:
        model = Audit
        fields = ["version", "dataset", "training_data", "policy"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "policy" in self.fields:
            self.fields["policy"].required = False
            self.fields["policy"].help_text = "Left empty it is the newest policy of the model's tier."
        if "training_data" in self.fields:
            self.fields["training_data"].help_text = "Left empty it is what the record says the version was trained on."


class CheckResultInline(admin.TabularInline[CheckResult, Audit]):
    """The checks of an audit, for reading."""

    model = CheckResult
    extra = 0
    can_delete = False
    fields = ("check_id", "title", "status", "severity", "reason")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Audit)
class AuditAdmin(StartedHere[Audit]):
    """Audits: adding one locks its criteria and starts it."""

    form = AuditForm
    add_action = Action.REQUEST_AUDIT
    inlines = [CheckResultInline]
    autocomplete_fields = ["version", "dataset", "training_data", "policy"]
    list_display = ["page", "version", "dataset", "policy", "verdict", "job_state", "created_by", "created_at"]
    list_select_related = ["version__model", "dataset__dataset", "policy", "job", "created_by"]
    list_filter = ["verdict", "policy__tier"]
    search_fields = ["version__model__name", "dataset__dataset__name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["version", "dataset", "training_data", "policy"],
                "description": "Saving locks the criteria, by digest, and starts a job.",
            },
        )
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "page", "version", "dataset", "training_data", "policy", "verdict", "verdict_reason", "criteria_digest",
        "criteria_shown", "digest", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="audit", ordering="pk")
    def page(self, audit: Audit) -> SafeString:
        return page_link("audit", audit.pk, text=str(audit))

    @admin.display(description="job", ordering="job__state")
    def job_state(self, audit: Audit) -> SafeString | str:
        return job_link(audit.job)

    @admin.display(description="criteria")
    def criteria_shown(self, audit: Audit) -> SafeString:
        return as_json(audit.criteria)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Audit:
        return audits.request_audit(
            version=values["version"],
            dataset=values["dataset"],
            training_data=values["training_data"],
            policy=values["policy"],
            by=person(request),
        )


@admin.register(Finding)
class FindingAdmin(ReadOnly[Finding]):
    """Findings; they are dealt with on their audit's page and over the API."""

    list_display = ["__str__", "severity", "title", "version", "check_id", "disposition", "owner", "due"]
    list_select_related = ["version__model", "owner"]
    list_filter = ["severity", "disposition", "check_id"]
    search_fields = ["title", "version__model__name"]
    readonly_when_kept: ClassVar[list[str]] = [
        "audit", "version", "check_id", "severity", "title", "detail", "remedy", "disposition", "accepted_until",
        "owner", "due", "raised_by", "raised_at",
    ]  # fmt: skip


# What is done with a version above the record is offered where its versions are listed.
_versions = admin.site.get_model_admin(ModelVersion)
_versions.actions = [
    *(_versions.actions or ()),
    starts("admin:audits_explanation_add", "version", "Explain the selected version …"),
    starts("admin:audits_audit_add", "version", "Audit the selected version …"),
]
