"""An audit and the results of its checks."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Verdict(models.TextChoices):
    PASSED = "passed", "passed"
    FAILED = "failed", "failed"
    INCONCLUSIVE = "inconclusive", "inconclusive"


class Audit(models.Model):
    """A policy snapshot x version x data set. Criteria are locked, by digest, before the job starts.

    ``verdict`` is empty until the job has ended. It holds for this triple of digests only.
    """

    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="audits")
    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="audits")
    training_data = models.ForeignKey(
        "governance.DatasetVersion", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    policy = models.ForeignKey("governance.Policy", on_delete=models.PROTECT, related_name="audits")
    criteria = models.JSONField(help_text="checks, parameters and conditions as they held when it was asked for")
    criteria_digest = models.CharField(max_length=71)
    version_digest = models.CharField(max_length=71)
    dataset_digest = models.CharField(max_length=71)
    verdict = models.CharField(max_length=20, choices=Verdict, blank=True)
    verdict_reason = models.TextField(blank=True)
    coverage = models.JSONField(default=dict, blank=True, help_text="selected, applicable, with_result, by status")
    digest = models.CharField(max_length=71, blank=True, help_text="digest of the result")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="audit")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"audit {self.pk}"


class CheckStatus(models.TextChoices):
    PASSED = "passed", "passed"
    FAILED = "failed", "failed"
    ERROR = "error", "error"
    SKIPPED = "skipped", "skipped"
    NOT_APPLICABLE = "not_applicable", "not applicable"


class CheckResult(models.Model):
    """One check of an audit: its status with a reason, its numbers with intervals, its evidence files."""

    audit = models.ForeignKey(Audit, on_delete=models.CASCADE, related_name="checks")
    check_id = models.CharField(max_length=20)
    title = models.CharField(max_length=200)
    status = models.CharField(max_length=20, choices=CheckStatus)
    severity = models.CharField(max_length=10, blank=True, help_text="of the worst finding, empty when it passed")
    reason = models.TextField()
    metrics = models.JSONField(default=list, blank=True)
    condition = models.JSONField(default=dict, blank=True)
    parameters = models.JSONField(default=dict, blank=True)
    charts = models.JSONField(default=list, blank=True, help_text="captions, tables and the digests of spec and SVG")
    detail = models.JSONField(default=dict, blank=True)
    seconds = models.FloatField(default=0)

    class Meta:
        ordering = ["audit", "check_id"]
        constraints = [models.UniqueConstraint(fields=["audit", "check_id"], name="one_result_a_check_an_audit")]

    def __str__(self) -> str:
        return f"{self.check_id} of audit {self.audit_id}"
