"""Splits: a version of a data set divided into parts for training, validation and testing."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Split(models.Model):
    """A split plan run on a data set version: the new version has a column that says the part of each row."""

    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="splits")
    plan = models.JSONField(help_text="shares of the parts and what decides; with pinned cuts once it has run")
    split_to = models.OneToOneField(
        "governance.DatasetVersion", on_delete=models.PROTECT, related_name="split_by", null=True, blank=True
    )
    report = models.JSONField(default=dict, blank=True, help_text="rows of each part, and the target by part")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="split")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"split {self.pk}"
