"""Whether attributions may be relied on: measured on some rows, held against bounds, each with a reason.

A job asks `measured_rows` which rows to keep the attributions of, lets an `ErrorSummary` see all of them as they come,
and gives both to `measure`. So no measure needs the values of all rows at once.
"""

from __future__ import annotations

from audits.engine.explainers.quality.base import Measure, Subject
from audits.engine.explainers.quality.measuring import measure, measured_rows
from audits.engine.explainers.quality.summary import ErrorSummary
from audits.engine.measures import Bounds

__all__ = ["Bounds", "ErrorSummary", "Measure", "Subject", "measure", "measured_rows"]
