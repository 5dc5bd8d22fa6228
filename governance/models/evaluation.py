"""A measurement of a version on a data set, alone or against another version."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Evaluation(models.Model):
    """Metrics with intervals, by slice; with ``compare_with``, paired differences on the same rows."""

    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="evaluations")
    compare_with = models.ForeignKey(
        "governance.ModelVersion", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="evaluations")
    slices = models.JSONField(default=list, blank=True, help_text="names of columns")
    metrics = models.JSONField(default=list, blank=True)
    comparison = models.JSONField(null=True, blank=True)
    digest = models.CharField(max_length=71, blank=True, help_text="digest of the result")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="evaluation")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"evaluation {self.pk}"
