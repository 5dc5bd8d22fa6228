"""The append-only, keyed hash chain of what happened."""

from __future__ import annotations

from typing import Any, NoReturn

from django.db import models

_APPEND_ONLY = "Events are never changed or deleted."


class EventQuerySet(models.QuerySet["Event"]):
    """Events can be read and created, nothing else."""

    def update(self, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Django's signature
        raise TypeError(_APPEND_ONLY)

    def delete(self) -> NoReturn:
        raise TypeError(_APPEND_ONLY)


class Event(models.Model):
    """One thing that happened, chained to the one before it; written in the transaction of the change it tells.

    ``mac`` is HMAC-SHA-256, under a key that the database does not hold, over the canonical JSON of every other
    field, ``previous`` included. The actor's name is copied so that it survives the user. ``group`` ties together
    the events of one user action.
    """

    sequence = models.PositiveBigIntegerField(primary_key=True)
    name = models.CharField(max_length=60)
    at = models.DateTimeField()
    actor = models.CharField(max_length=150)
    subject = models.CharField(max_length=200, db_index=True, help_text="what it happened to, as people write it")
    detail = models.JSONField(default=dict)
    group = models.UUIDField()
    previous = models.CharField(max_length=64)
    mac = models.CharField(max_length=64, unique=True)

    objects = EventQuerySet.as_manager()

    class Meta:
        ordering = ["-sequence"]

    def __str__(self) -> str:
        return f"{self.sequence} {self.name} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError(_APPEND_ONLY)
        super().save(*args, **{**kwargs, "force_insert": True})

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Django's signature
        raise TypeError(_APPEND_ONLY)
