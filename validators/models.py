"""Suites of expectations, validations of data sets against them, waivers and cleanings."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone

from governance.models.registered_model import name_validator


class ExpectationSuite(models.Model):
    """An immutable suite in Great Expectations' own JSON; a change is a new number."""

    name = models.CharField(max_length=100, validators=[name_validator])
    number = models.PositiveIntegerField()
    document = models.JSONField(help_text="the suite as Great Expectations writes it")
    digest = models.CharField(max_length=71)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-number"]
        constraints = [models.UniqueConstraint(fields=["name", "number"], name="one_suite_of_a_number_a_name")]

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        return f"{self.name}/{self.number}"


class RequiredSuite(models.Model):
    """The suite that versions of a data set have to pass before a model is trained on them."""

    dataset = models.OneToOneField("governance.Dataset", on_delete=models.CASCADE, related_name="required_suite")
    suite = models.ForeignKey(ExpectationSuite, on_delete=models.PROTECT, related_name="required_by")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.dataset} asks for {self.suite}"


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


class Cleaning(models.Model):
    """A plan run on a data set version: the new version, and every removed or changed row with its reason."""

    dataset = models.ForeignKey("governance.DatasetVersion", on_delete=models.PROTECT, related_name="cleanings")
    suite = models.ForeignKey(
        ExpectationSuite, on_delete=models.PROTECT, related_name="cleanings", null=True, blank=True
    )
    plan = models.JSONField(help_text="ordered steps")
    cleaned_to = models.OneToOneField(
        "governance.DatasetVersion", on_delete=models.PROTECT, related_name="cleaned_by", null=True, blank=True
    )
    report = models.JSONField(
        default=dict, blank=True, help_text="rows_in, rows_out, rows_quarantined, cells_changed, steps"
    )
    quarantine = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    changes = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    job = models.OneToOneField("governance.Job", on_delete=models.PROTECT, related_name="cleaning")
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"cleaning {self.pk}"
