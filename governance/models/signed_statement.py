"""What this installation vouches for with its signature."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

_IMMUTABLE = "Signed statements are never changed or deleted."


class StatementQuerySet(models.QuerySet["SignedStatement"]):
    """Statements can be read and created, nothing else."""

    def update(self, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Django's signature
        raise TypeError(_IMMUTABLE)

    def delete(self) -> NoReturn:
        raise TypeError(_IMMUTABLE)


class StatementKind(models.TextChoices):
    """What a statement is made for; each thing gets one."""

    VERSION = "version", "model version"
    DATASET = "dataset", "data set version"
    EVALUATION = "evaluation", "evaluation"
    AUDIT = "audit", "audit"
    REPORT = "report", "report"


class SignedStatement(models.Model):
    """An in-toto statement in a DSSE envelope, signed when the thing that it is made for became final.

    ``name`` says which thing of its kind: ``credit-scorer/3``, ``12``, ``12.html``. The envelope is what anybody can
    verify; every other field is there to find it by.
    """

    kind = models.CharField(max_length=20, choices=StatementKind)
    name = models.CharField(max_length=200)
    predicate_type = models.CharField(max_length=200)
    envelope = models.JSONField(help_text="payloadType, payload, signatures")
    key = models.ForeignKey("governance.InstallationKey", on_delete=models.PROTECT, related_name="statements")
    created_at = models.DateTimeField()

    objects = StatementQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["kind", "name"], name="one_statement_a_thing")]

    def __str__(self) -> str:
        return f"statement {self.pk} about {self.get_kind_display()} {self.name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(_IMMUTABLE)
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Django's signature
        raise TypeError(_IMMUTABLE)


class StatementSubject(models.Model):
    """One digest that a statement is about, so that it is found by it."""

    statement = models.ForeignKey(SignedStatement, on_delete=models.PROTECT, related_name="subjects")
    digest = models.CharField(max_length=71, db_index=True)

    def __str__(self) -> str:
        return self.digest
