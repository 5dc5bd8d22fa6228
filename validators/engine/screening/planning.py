"""Cleaning steps out of what a screening found: the rows to put aside, by rules with pinned bounds.

Only what its detector recommends to quarantine becomes a step; wrong labels, repeated rows and the like are for a
person to decide. The standard library is enough here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Step = dict[str, Any]

#: What a step may remove at most, beyond what the screening saw: the cleaning refuses to do more than was looked at.
_SLACK = 1.5
_LEAST_FRACTION = 0.001


def steps_of(detections: Sequence[Mapping[str, Any]], *, screening: int, row_count: int) -> list[Step]:
    """Return one quarantine step for each column and quarantine detector that found something, strictest last.

    Args:
        detections: of a screening, as its result has them.
        screening: its number, which the steps name as the reason of what they remove.
        row_count: rows of the version that was screened.
    """
    steps = []
    for detection in detections:
        if detection["action"] != "quarantine" or detection["status"] != "found":
            continue
        shares = {entry["column"]: float(entry["score"]) for entry in detection["columns"]}
        for bound in detection["bounds"]:
            share = shares.get(bound["column"], 0.0)
            steps.append(
                {
                    "action": "quarantine",
                    "rule": {
                        "type": "expect_column_values_to_be_between",
                        "kwargs": {
                            "column": bound["column"],
                            "min_value": bound["lower"],
                            "max_value": bound["upper"],
                        },
                    },
                    "expectation": f"screening {screening}: {detection['detector']}",
                    "max_fraction": min(1.0, max(_LEAST_FRACTION, 2 / max(1, row_count), _SLACK * share)),
                }
            )
    return steps


def left_out(detections: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each detector that found something that no step is made of."""
    return [
        f"{detection['title']}: {'flag only' if detection['action'] == 'flag' else 'look'}. {detection['sentence']}"
        for detection in detections
        if detection["status"] == "found" and detection["action"] != "quarantine"
    ]
