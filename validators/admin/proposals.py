"""Proposals of suites are asked for and read here; they are decided on in their page."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin import StartedHere, as_json, job_link, person
from governance.admin.base import page_link
from governance.permissions import Action
from validators.models import SuiteProposal
from validators.services import proposals


class SuiteProposalForm(forms.ModelForm[SuiteProposal]):
    class Meta:
        model = SuiteProposal
        fields = ["dataset"]


@admin.register(SuiteProposal)
class SuiteProposalAdmin(StartedHere[SuiteProposal]):
    """Proposals: adding one starts it."""

    form = SuiteProposalForm
    add_action = Action.CREATE_SUITE
    autocomplete_fields = ["dataset"]
    list_display = ["__str__", "dataset", "suggestion_count", "suite", "job_state", "created_by", "created_at"]
    list_select_related = ["dataset__dataset", "suite", "job", "created_by"]
    search_fields = ["dataset__dataset__name"]
    fieldsets = [
        (
            None,
            {"fields": ["dataset"], "description": "Saving starts a job that suggests rules; a person decides later."},
        )
    ]
    readonly_when_kept: ClassVar[list[str]] = [
        "decided_here", "dataset", "dataset_digest", "suggestion_count", "measured_shown", "decisions_shown", "suite",
        "accepted_by", "job_state", "created_by", "created_at",
    ]  # fmt: skip

    @admin.display(description="page")
    def decided_here(self, proposal: SuiteProposal) -> SafeString:
        return page_link("proposal", proposal.pk, text="Read and decide on the suggestions")

    @admin.display(description="job", ordering="job__state")
    def job_state(self, proposal: SuiteProposal) -> SafeString | str:
        return job_link(proposal.job)

    @admin.display(description="measured")
    def measured_shown(self, proposal: SuiteProposal) -> SafeString:
        return as_json(proposal.measured)

    @admin.display(description="decisions")
    def decisions_shown(self, proposal: SuiteProposal) -> SafeString:
        return as_json(proposal.decisions)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> SuiteProposal:
        return proposals.request_proposal(dataset=values["dataset"], by=person(request))
