"""A retraining of a version on a data set."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Training(models.Model):
    """One retraining: from a version and a data set, by a recipe, to a new version."""

    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="trainings")
    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="trainings")
    recipe = models.JSONField()
    produced = models.OneToOneField(
        "governance.ModelVersion", on_delete=models.PROTECT, related_name="produced_by", null=True, blank=True
    )
    history = models.JSONField(default=list, blank=True, help_text="one object an epoch")
    summary = models.JSONField(default=dict, blank=True, help_text="rows, kept epoch, why it ended, seconds")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="training")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"training {self.pk}"
