"""Writes the canonical copy of an inspected file: the only copy that a framework ever loads."""

from __future__ import annotations

from pathlib import Path

from workers.artifacts.archive import Archive
from workers.artifacts.inspection import Inspection, inspect

#: The name of the rewritten file, by format.
REWRITTEN_NAMES = {"keras": "rewritten.keras", "pt2": "rewritten.pt2"}


def rewrite(source: Path, inspection: Inspection, target: Path) -> None:
    """Write a new archive from what the inspection parsed, then inspect that archive again.

    Raises:
        ValueError: the inspection's verdict is not ``registered``.
        RuntimeError: what was written does not pass the inspection, which is an error of ours.
    """
    if inspection.content is None or inspection.verdict != "registered":
        raise ValueError(f"A {inspection.verdict} file is not rewritten.")
    with source.open("rb") as stream:
        inspection.content.write(Archive(stream), target)
    again = inspect(target, filename=target.name)
    if again.verdict != "registered":
        target.unlink()
        raise RuntimeError(f"The rewritten file does not pass the inspection: {again.reason}")
