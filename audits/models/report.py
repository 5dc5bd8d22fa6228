"""The frozen report of an audit."""

from __future__ import annotations

from django.db import models


class Report(models.Model):
    """One format of the report of an audit, frozen when the audit ended."""

    class Format(models.TextChoices):
        HTML = "html", "HTML"
        JSON = "json", "JSON"

    audit = models.ForeignKey("audits.Audit", on_delete=models.PROTECT, related_name="reports")
    format = models.CharField(max_length=10, choices=Format)
    file = models.ForeignKey("governance.StoredFile", on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["audit", "format"], name="one_report_a_format_an_audit")]

    def __str__(self) -> str:
        return f"report of audit {self.audit_id} as {self.format}"

    @property
    def digest(self) -> str:
        return self.file_id
