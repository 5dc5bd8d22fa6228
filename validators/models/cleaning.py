"""Cleanings: from one data set version to a cleaned one."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from validators.models.suite import ExpectationSuite


class Cleaning(models.Model):
    """A plan run on a data set version: the new version, and every removed or changed row with its reason."""

    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="cleanings")
    suite = models.ForeignKey(
        ExpectationSuite, on_delete=models.PROTECT, related_name="cleanings", null=True, blank=True
    )
    plan = models.JSONField(help_text="ordered steps")
    cleaned_to = models.OneToOneField(
        "governance.DatasetVersion", on_delete=models.PROTECT, related_name="cleaned_by", null=True, blank=True
    )
    report = models.JSONField(
        default=dict, blank=True, help_text="rows_in, rows_out, rows_quarantined, cells_changed, steps"
    )
    quarantine = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    changes = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="cleaning")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"cleaning {self.pk}"
