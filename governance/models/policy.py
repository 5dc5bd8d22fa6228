"""What a tier asks for: versioned data."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from governance.models.registered_model import Tier, name_validator


class Policy(models.Model):
    """For a tier: which checks, with which parameters and conditions, which severities block, how many approvers.

    ``document`` is the JSON that people write; a change is a new number.
    """

    name = models.CharField(max_length=100, validators=[name_validator])
    number = models.PositiveIntegerField()
    tier = models.CharField(max_length=10, choices=Tier)
    document = models.JSONField()
    digest = models.CharField(max_length=71)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name", "-number"]
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["name", "number"], name="one_policy_of_a_number_a_name")]

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        return f"{self.name}/{self.number}"
