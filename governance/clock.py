"""The database's clock: workers on several machines compare leases with one clock, not each with its own."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import DateTimeField, ExpressionWrapper, Value
from django.db.models.expressions import CombinedExpression
from django.db.models.functions import Now


def database_now() -> Now:
    """Return the expression that stands for the time at which the database runs the statement."""
    return Now()


def seconds_from_now(seconds: float) -> ExpressionWrapper[CombinedExpression]:
    """Return the expression that stands for so many seconds after the database's now."""
    return ExpressionWrapper(Now() + Value(timedelta(seconds=seconds)), output_field=DateTimeField())
