"""An observation that somebody has to deal with."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Severity(models.TextChoices):
    CRITICAL = "critical", "critical"
    HIGH = "high", "high"
    MEDIUM = "medium", "medium"
    LOW = "low", "low"
    INFO = "info", "info"


class Disposition(models.TextChoices):
    OPEN = "open", "open"
    ACCEPTED = "accepted", "accepted until"
    REMEDIATED = "remediated", "remediated"
    FALSE_POSITIVE = "false_positive", "false positive"


class Finding(models.Model):
    """An observation with its severity, evidence, references and remedy, and what became of it."""

    audit = models.ForeignKey("audits.Audit", on_delete=models.PROTECT, related_name="findings", null=True, blank=True)
    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="findings")
    dataset_digest = models.CharField(max_length=71, blank=True)
    check_id = models.CharField(max_length=20, blank=True)
    severity = models.CharField(max_length=10, choices=Severity)
    title = models.CharField(max_length=300)
    detail = models.TextField()
    evidence = models.JSONField(default=list, blank=True)
    references = models.JSONField(default=list, blank=True)
    remedy = models.TextField(blank=True)
    disposition = models.CharField(max_length=20, choices=Disposition, default=Disposition.OPEN)
    accepted_until = models.DateTimeField(null=True, blank=True)
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="findings", null=True, blank=True
    )
    due = models.DateField(null=True, blank=True)
    raised_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    raised_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"F-{self.pk}"


class FindingComment(models.Model):
    """What a person said about a finding."""

    finding = models.ForeignKey(Finding, on_delete=models.CASCADE, related_name="comments")
    text = models.TextField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"comment {self.pk} on {self.finding}"
