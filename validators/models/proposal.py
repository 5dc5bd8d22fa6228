"""Proposals of suites: what a job suggests for a data set version, and what people make of it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from governance.models import JobState
from validators.models.suite import ExpectationSuite


class SuiteProposal(models.Model):
    """Suggested rules, each with its evidence; none of them is in a suite before a person accepts the proposal.

    ::

        asked for -> suggested (the job has succeeded) -> accepted (``suite`` is set, once)

    ``decisions`` holds what was decided so far, by the id of a suggestion: ``{"decision": "accept" | "drop" | "edit",
    "kwargs", "severity"}``; what nobody decided is accepted with the rest.
    """

    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="proposals")
    dataset_digest = models.CharField(max_length=71, help_text="the content that this was suggested from")
    measured = models.JSONField(default=dict, blank=True, help_text="rows, fit_rows, holdout_rows, proposed")
    suggestions = models.JSONField(default=list, blank=True, help_text="one object a rule, with its evidence")
    suggestion_count = models.PositiveIntegerField(default=0)
    decisions = models.JSONField(default=dict, blank=True, help_text="what was decided, by the id of a suggestion")
    suite = models.OneToOneField(
        ExpectationSuite, on_delete=models.PROTECT, related_name="proposal", null=True, blank=True
    )
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="proposal")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"proposal {self.pk}"

    @property
    def is_ready(self) -> bool:
        """Whether the rules are there to be decided on."""
        return self.job.state == JobState.SUCCEEDED

    def decision_on(self, identity: str) -> dict[str, Any]:
        """Return what was decided on a suggestion: to accept it, where nobody decided."""
        decided: dict[str, Any] = self.decisions.get(identity, {"decision": "accept"})
        return decided
