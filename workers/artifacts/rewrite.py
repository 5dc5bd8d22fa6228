"""Writes the canonical copy of an inspected file: the only copy that a framework ever loads."""

from __future__ import annotations

from pathlib import Path

from workers.artifacts.inspection import Inspection, inspect, open_source
from workers.artifacts.limits import Limits


def rewrite(source: Path, inspection: Inspection, target: Path, limits: Limits | None = None) -> None:
    """Write a new file from what the inspection parsed, then inspect that file again.

    Raises:
        ValueError: the inspection's verdict is not ``registered``.
        RuntimeError: what was written does not pass the inspection, which is an error of ours.
    """
    if inspection.content is None or inspection.verdict != "registered":
        raise ValueError(f"A {inspection.verdict} file is not rewritten.")
    limits = limits or Limits()
    with source.open("rb") as stream:
        inspection.content.write(open_source(stream, limits), target)
    again = inspect(target, filename=target.name, limits=limits, accepted=inspection.accepted)
    if again.verdict != "registered":
        target.unlink()
        raise RuntimeError(f"The rewritten file does not pass the inspection: {again.reason}")
