"""Suites of expectations, and the one that a data set requires."""

from __future__ import annotations

from django.conf import settings
from django.db import models

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
