"""What an explanation job answers, as far as its admission goes."""

from __future__ import annotations

from typing import Any

from audits.engine.measures import MEASURES

#: A value of each measure with which an explanation is admitted by the default bounds.
GOOD = {**dict.fromkeys(MEASURES, 0.0), "faithfulness": 1.0, "complexity": 2.5}


def measure(
    name: str, value: float | None, *, applicable: bool = True, note: str = "so it was taken"
) -> dict[str, Any]:
    return {"name": name, "value": value, "applicable": applicable, "note": note}


def admitted_result(**values: float | None) -> dict[str, Any]:
    """Return a result that admits, with some measures of other values than good ones."""
    measures = [measure(name, value) for name, value in {**GOOD, **values}.items()]
    quality = {entry["name"]: entry["value"] for entry in measures}
    return {"quality": quality, "admitted": True, "reasons": [], "summary": {"measures": measures}, "charts": []}
