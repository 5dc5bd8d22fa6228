"""A logical model and its aliases."""

from __future__ import annotations

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

#: Names stand in references such as ``credit-scorer/3`` and in addresses.
name_validator = RegexValidator(
    r"\A[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?\Z",
    "A name has up to 100 lower-case letters, digits, dots, underscores and hyphens, and begins and ends with a letter "
    "or digit.",
)


class Tier(models.TextChoices):
    """Materiality: how much harm a wrong answer does."""

    LOW = "low", "low"
    MEDIUM = "medium", "medium"
    HIGH = "high", "high"


class Task(models.TextChoices):
    """What the model is asked."""

    CLASSIFICATION = "classification", "classification"
    REGRESSION = "regression", "regression"


class RegisteredModel(models.Model):
    """A logical model: what it is for, who owns it, and how much depends on it."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    task = models.CharField(max_length=20, choices=Task)
    tier = models.CharField(max_length=10, choices=Tier, default=Tier.MEDIUM)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="owned_models")
    intended_use = models.TextField()
    limitations = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Alias(models.Model):
    """A movable name on a version (``champion``); it moves only through an approved review."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="aliases")
    name = models.CharField(max_length=100, validators=[name_validator])
    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="aliases")
    review = models.ForeignKey("governance.Review", on_delete=models.PROTECT, related_name="moved_aliases")
    moved_at = models.DateTimeField(auto_now=True)

    class Meta:
        verbose_name_plural = "aliases"
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="one_alias_of_a_name_a_model")]

    def __str__(self) -> str:
        return f"{self.model.name}@{self.name}"
