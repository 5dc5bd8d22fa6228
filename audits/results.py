"""What an explanation and an audit job may answer: the JSON schemas that a result has to follow before it is stored."""

from __future__ import annotations

from typing import Any

from audits.models import CheckStatus, Severity

TEXT = {"type": "string"}
NUMBER_OR_NULL = {"type": ["number", "null"]}
#: A file of the job's outputs; that it exists is checked when its digest is looked up.
FILE_NAME = {"type": "string", "pattern": r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"}

CHART: dict[str, Any] = {
    "type": "object",
    "required": ["id", "caption", "label", "svg", "spec", "table"],
    "properties": {
        "id": TEXT,
        "caption": TEXT,
        "label": TEXT,
        "svg": FILE_NAME,
        "spec": FILE_NAME,
        "table": {
            "type": "object",
            "required": ["columns", "rows"],
            "properties": {"columns": {"type": "array"}, "rows": {"type": "array", "items": {"type": "array"}}},
        },
    },
}

#: One measure of quality, as far as the control half holds it against the locked bounds.
MEASURE: dict[str, Any] = {
    "type": "object",
    "required": ["name", "value", "applicable", "note"],
    "properties": {"name": TEXT, "value": NUMBER_OR_NULL, "applicable": {"type": "boolean"}, "note": TEXT},
}

EXPLANATION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["quality", "admitted", "reasons", "summary", "charts"],
    "properties": {
        "quality": {"type": "object"},
        "admitted": {"type": "boolean"},
        "reasons": {"type": "array", "items": TEXT},
        "summary": {"type": "object", "properties": {"measures": {"type": "array", "items": MEASURE}}},
        "charts": {"type": "array", "items": CHART},
    },
}

METRIC: dict[str, Any] = {
    "type": "object",
    "required": ["name", "value", "low", "high", "n"],
    "properties": {"name": TEXT, "value": NUMBER_OR_NULL, "low": NUMBER_OR_NULL, "high": NUMBER_OR_NULL},
}

FINDING: dict[str, Any] = {
    "type": "object",
    "required": ["severity", "title", "detail", "remedy", "references", "evidence"],
    "properties": {
        "severity": {"enum": list(Severity.values)},
        "title": {"type": "string", "minLength": 1},
        "detail": TEXT,
        "remedy": TEXT,
        "references": {"type": "array"},
        "evidence": {"type": "array"},
    },
}

AUDIT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["checks"],
    "properties": {
        "checks": {
            "type": "array",
            "items": {
                "type": "object",
                "required": [
                    "id", "title", "status", "severity", "reason", "metrics", "condition", "parameters",
                    "findings", "charts", "detail", "limits", "seed", "seconds",
                ],
                "properties": {
                    "id": {"type": "string", "maxLength": 20},
                    "title": {"type": "string", "maxLength": 200},
                    "status": {"enum": list(CheckStatus.values)},
                    "severity": {"enum": ["", *Severity.values]},
                    "reason": TEXT,
                    "metrics": {"type": "array", "items": METRIC},
                    "condition": {"type": "object"},
                    "parameters": {"type": "object"},
                    "findings": {"type": "array", "items": FINDING},
                    "charts": {"type": "array", "items": CHART},
                    "detail": {"type": "object"},
                    "limits": TEXT,
                    "seconds": {"type": "number", "minimum": 0},
                },
            },
        }
    },
}  # fmt: skip
