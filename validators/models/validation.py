"""Validations of data sets against suites, and waivers of those that failed."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from validators.models.suite import ExpectationSuite


class Validation(models.Model):
    """A suite run on a data set version. ``success`` is None until the job has ended.

    ``success`` is True when no expectation of severity critical failed or errored, and the run was whole.
    """

    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="validations")
    suite = models.ForeignKey(ExpectationSuite, on_delete=models.PROTECT, related_name="validations")
    dataset_digest = models.CharField(max_length=71, help_text="the content that this holds for")
    success = models.BooleanField(null=True)
    statistics = models.JSONField(default=dict, blank=True, help_text="counts by severity and status")
    results = models.JSONField(default=list, blank=True, help_text="one object an expectation")
    rows = models.ForeignKey("governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    result_file = models.ForeignKey(
        "governance.StoredFile",
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        help_text="the result as Great Expectations writes one",
    )
    row_count = models.PositiveBigIntegerField(default=0, help_text="how many rows fail at least one expectation")
    digest = models.CharField(max_length=71, blank=True, help_text="digest of the result")
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="validation")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"validation {self.pk}"


class WaiverQuerySet(models.QuerySet["Waiver"]):
    def in_force(self) -> WaiverQuerySet:
        return self.filter(expires_at__gt=timezone.now())


class Waiver(models.Model):
    """Somebody's decision, with a reason and an end, to go on although a validation failed."""

    validation = models.ForeignKey(Validation, on_delete=models.PROTECT, related_name="waivers")
    reason = models.TextField()
    expires_at = models.DateTimeField()
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    granted_at = models.DateTimeField(auto_now_add=True)

    objects = WaiverQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"waiver {self.pk}"
