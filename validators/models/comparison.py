"""Comparisons: how two versions of data differ."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Comparison(models.Model):
    """What differs between two data set versions: schema, rows, cells, and how each column is spread."""

    before = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="+")
    after = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="comparisons")
    before_digest = models.CharField(max_length=71, help_text="the content that this holds for")
    after_digest = models.CharField(max_length=71)
    result = models.JSONField(default=dict, blank=True)
    differences = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="comparison")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"comparison {self.pk}"
