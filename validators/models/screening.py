"""Screenings: what detectors found in a data set version, alone or against another one."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class ScreeningPurpose(models.TextChoices):
    QUALITY = "quality", "quality: faults within one version"
    EVALUATION = "evaluation", "evaluation: rows that training and evaluation data share"
    DRIFT = "drift", "drift: what has changed against another version"


class Screening(models.Model):
    """Detectors run on a data set version. ``detections`` is empty until the job has ended.

    It decides nothing: a person reads it, and a cleaning or a new upload follows. It holds for the digests it names.
    """

    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="screenings")
    dataset_digest = models.CharField(max_length=71, help_text="the content that this holds for")
    against = models.ForeignKey(
        "governance.DatasetVersion",
        on_delete=models.PROTECT,
        related_name="screened_against",
        null=True,
        blank=True,
        help_text="evaluation data, or an older version; needed for these two purposes",
    )
    against_digest = models.CharField(max_length=71, blank=True)
    purpose = models.CharField(max_length=20, choices=ScreeningPurpose, default=ScreeningPurpose.QUALITY)
    detectors = models.JSONField(
        default=dict, blank=True, help_text="detector -> parameters; all of the purpose where none is named"
    )
    detections = models.JSONField(default=list, blank=True, help_text="one object a detector")
    rows = models.ForeignKey("governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    row_count = models.PositiveBigIntegerField(default=0, help_text="how many rows at least one detector names")
    digest = models.CharField(max_length=71, blank=True, help_text="digest of the result")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="screening")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"screening {self.pk}"

    @property
    def has_ended(self) -> bool:
        """Whether its job has ended with a result."""
        return bool(self.digest)
