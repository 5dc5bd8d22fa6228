"""Attributions for a version on rows of a data set."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Explanation(models.Model):
    """Attributions with their quality measures and the verdict whether a report may rest on them.

    ``admitted`` is None until the job has ended. What was asked for as more rows of an explanation ``extends`` the
    first one of them: same version, data, background and parameters, other rows.
    """

    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="explanations")
    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="explanations")
    background = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="+")
    extends = models.ForeignKey("self", on_delete=models.PROTECT, related_name="extensions", null=True, blank=True)
    parameters = models.JSONField(help_text="method, rows, outputs, tolerance, background, bounds, seed")
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


class ExplanationComment(models.Model):
    """What a person said about an explanation, about one of its rows or about one of its charts."""

    explanation = models.ForeignKey(Explanation, on_delete=models.CASCADE, related_name="comments")
    text = models.TextField()
    row = models.PositiveBigIntegerField(null=True, blank=True, help_text="number of a row of the data set")
    chart = models.CharField(max_length=100, blank=True, help_text="id of a chart")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(row__isnull=True) | models.Q(chart=""), name="comment_on_a_row_or_a_chart"
            )
        ]

    def __str__(self) -> str:
        return f"comment {self.pk} on {self.explanation}"
