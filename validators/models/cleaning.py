"""Cleanings: from one data set version to a cleaned one, and rows that somebody puts back."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from governance.models import JobState
from validators.models.suite import ExpectationSuite


class Cleaning(models.Model):
    """A plan run on a data set version: the new version, and every removed or changed row with its reason.

    A replay runs the pinned plan of another cleaning again and makes no version: ``agrees`` says whether it came to the
    same digest; it is None until the job has ended, and for a cleaning that is no replay.
    """

    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="cleanings")
    suite = models.ForeignKey(
        ExpectationSuite, on_delete=models.PROTECT, related_name="cleanings", null=True, blank=True
    )
    plan = models.JSONField(help_text="ordered steps")
    cleaned_to = models.OneToOneField(
        "governance.DatasetVersion", on_delete=models.PROTECT, related_name="cleaned_by", null=True, blank=True
    )
    report = models.JSONField(
        default=dict, blank=True, help_text="rows_in, rows_out, rows_quarantined, cells_changed, steps, rules"
    )
    quarantine = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    changes = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    flags = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    report_file = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    replay_of = models.ForeignKey("self", on_delete=models.PROTECT, related_name="replays", null=True, blank=True)
    agrees = models.BooleanField(null=True, help_text="whether a replay came to the same digest")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="cleaning")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"cleaning {self.pk}"


class RestorationQuerySet(models.QuerySet["Restoration"]):
    def made(self) -> RestorationQuerySet:
        """Return those whose version is there."""
        return self.filter(restored_to__isnull=False)

    def pending(self) -> RestorationQuerySet:
        """Return those whose job has not ended."""
        return self.filter(job__state__in=[JobState.QUEUED, JobState.RUNNING])


class Restoration(models.Model):
    """Rows that a cleaning took out and somebody put back, with a reason, as a new version.

    The rows go back to their places in ``base``: the cleaned version, or the one that the last restoration made.
    """

    cleaning = models.ForeignKey(Cleaning, on_delete=models.PROTECT, related_name="restorations")
    base = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="+")
    rows = models.JSONField(help_text="numbers of the rows, as they came into the cleaning")
    reason = models.TextField()
    restored_to = models.OneToOneField(
        "governance.DatasetVersion", on_delete=models.PROTECT, related_name="restored_by", null=True, blank=True
    )
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="restoration")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    objects = RestorationQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"restoration {self.pk}"
