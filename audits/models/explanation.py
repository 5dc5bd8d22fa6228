"""Attributions for a version on rows of a data set."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Explanation(models.Model):
    """Attributions with their quality measures and the verdict whether a report may rest on them.

    ``admitted`` is None until the job has ended.
    """

    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="explanations")
    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="explanations")
    background = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="+")
    parameters = models.JSONField(help_text="method, rows, outputs, tolerance, background size, seed")
    quality = models.JSONField(default=dict, blank=True)
    admitted = models.BooleanField(null=True)
    reasons = models.JSONField(default=list, blank=True)
    summary = models.JSONField(default=dict, blank=True, help_text="global importance with intervals, rows explained")
    charts = models.JSONField(default=list, blank=True)
    files = models.JSONField(default=dict, blank=True, help_text="file name -> digest")
    digest = models.CharField(max_length=71, blank=True, help_text="digest of the result")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="explanation")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"explanation {self.pk}"
