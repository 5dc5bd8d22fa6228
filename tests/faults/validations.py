"""A validation whose regular expressions get little time, for tests of what happens when it is up."""

from __future__ import annotations

from validators.engine import validation
from validators.engine.compiled import patterns
from workers.context import JobContext
from workers.protocol import Json


def run(context: JobContext) -> dict[str, Json]:
    patterns.SECONDS = 0.5
    return validation.run(context)
