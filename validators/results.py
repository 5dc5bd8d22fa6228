"""What the jobs of data evidence may answer: the JSON schemas that a result has to follow before it is stored."""

from __future__ import annotations

from typing import Any

from governance.results import CHART, MEDIA
from validators.engine.screening.catalogue import ENTRIES

DIGEST = {"type": "string", "pattern": r"^sha256:[0-9a-f]{64}$"}
COUNT = {"type": "integer", "minimum": 0}

VALIDATION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["success", "statistics", "results", "row_count"],
    "properties": {
        "success": {"type": "boolean"},
        "row_count": COUNT,
        "statistics": {
            "type": "object",
            "required": ["evaluated", "passed", "failed", "errored", "by_severity"],
            "properties": dict.fromkeys(("evaluated", "passed", "failed", "errored"), COUNT),
        },
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type", "kwargs", "severity", "status", "message", "sentence"],
                "properties": {
                    "id": {"type": "string"},
                    "type": {"type": "string"},
                    "kwargs": {"type": "object"},
                    "severity": {"enum": ["critical", "warning", "info"]},
                    "status": {"enum": ["passed", "failed", "error"]},
                    "unexpected_count": {"type": ["integer", "null"], "minimum": 0},
                    "message": {"type": "string"},
                    "sentence": {"type": "string"},
                },
            },
        },
    },
}

CLEANING: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["plan", "report", "content_digest", "row_count", "schema", "profile", "media", "validation"],
    "properties": {
        "plan": {"type": "array", "items": {"type": "object"}},
        "report": {
            "type": "object",
            "required": [
                "rows_in", "rows_out", "rows_quarantined", "rows_by_action", "rows_flagged", "cells_changed",
                "columns", "content_digest", "steps", "rules", "rules_not_met",
            ],
            "properties": {
                **dict.fromkeys(("rows_in", "rows_out", "rows_quarantined", "rows_flagged", "cells_changed"), COUNT),
                "rows_by_action": {"type": "object", "additionalProperties": COUNT},
                "columns": {"type": "object", "additionalProperties": COUNT},
                "content_digest": DIGEST,
                "steps": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["number", "action", "column", "expectation", "rows", "cells", "holds", "sentence"],
                        "properties": {"number": COUNT, "rows": COUNT, "cells": COUNT, "sentence": {"type": "string"}},
                    },
                },
                "rules": {"type": "array", "items": {"type": "object"}},
                "rules_not_met": {"type": ["object", "null"]},
            },
        },
        "content_digest": DIGEST,
        "row_count": COUNT,
        "schema": {"type": "object"},
        "profile": {"type": "object"},
        "media": MEDIA,
        "validation": {"anyOf": [{"type": "null"}, VALIDATION]},
    },
}  # fmt: skip

RESTORATION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["content_digest", "row_count", "schema", "profile", "media"],
    "properties": {
        "content_digest": DIGEST,
        "row_count": COUNT,
        "schema": {"type": "object"},
        "profile": {"type": "object"},
        "media": MEDIA,
    },
}

SPLIT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["plan", "report", "content_digest", "row_count", "schema", "profile", "media"],
    "properties": {
        "plan": {"type": "object"},
        "report": {
            "type": "object",
            "required": ["parts", "target"],
            "properties": {
                "parts": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["part", "rows", "share", "asked"],
                        "properties": {"part": {"enum": ["train", "validation", "test"]}, "rows": COUNT},
                    },
                },
                "target": {"type": ["object", "null"]},
            },
        },
        "content_digest": DIGEST,
        "row_count": COUNT,
        "schema": {"type": "object"},
        "profile": {"type": "object"},
        "media": MEDIA,
    },
}

COMPARISON: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "matched_by", "rows", "cells_changed", "cells_listed", "columns", "places", "place_count", "examples",
    ],
    "properties": {
        "matched_by": {
            "type": "object",
            "required": ["column", "reason"],
            "properties": {"column": {"type": ["string", "null"]}, "reason": {"type": "string"}},
        },
        "rows": {
            "type": "object",
            "required": ["before", "after", "added", "removed", "changed", "same", "order_changed"],
            "properties": {
                **dict.fromkeys(("before", "after", "added", "removed", "changed", "same"), COUNT),
                "order_changed": {"type": "boolean"},
            },
        },
        "cells_changed": COUNT,
        "cells_listed": COUNT,
        "place_count": COUNT,
        "columns": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name", "status", "before", "after", "cells_changed", "distance"],
                "properties": {
                    "name": {"type": "string"},
                    "status": {"enum": ["same", "changed", "retyped", "added", "removed"]},
                    "cells_changed": COUNT,
                },
            },
        },
        "places": {"type": "array", "items": {"type": "object", "required": ["column", "chunk"]}},
        "examples": {"type": "array", "items": {"type": "object"}},
    },
}  # fmt: skip

_NUMBER_OR_NULL = {"type": ["number", "null"]}
_SHARE = {
    "type": "object",
    "additionalProperties": False,
    "required": ["value", "low", "high", "n", "method"],
    "properties": {
        **dict.fromkeys(("value", "low", "high"), _NUMBER_OR_NULL),
        "n": COUNT,
        "method": {"type": "string"},
    },
}
_BOUND = {
    "type": "object",
    "additionalProperties": False,
    "required": ["column", "lower", "upper"],
    "properties": {"column": {"type": "string"}, "lower": {"type": "number"}, "upper": {"type": "number"}},
}
_DETECTION: dict[str, Any] = {
    "detector": {"enum": list(ENTRIES)},
    "title": {"type": "string"},
    "action": {"enum": ["quarantine", "flag", "look"]},
    "parameters": {"type": "object"},
    "status": {"enum": ["found", "not_found", "not_applicable", "error"]},
    "sentence": {"type": "string", "minLength": 1},
    "count": COUNT,
    "unit": {"enum": ["rows", "columns", "classes", "tables"]},
    "share": {"anyOf": [{"type": "null"}, _SHARE]},
    "columns": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["column", "score", "reason"],
            "properties": {"column": {"type": "string"}, "score": _NUMBER_OR_NULL, "reason": {"type": "string"}},
        },
    },
    "column_count": COUNT,
    "bounds": {"type": "array", "items": _BOUND},
    "charts": {"type": "array", "items": CHART},
    "detail": {"type": "object"},
    "looked_at": {"type": ["integer", "null"], "minimum": 0},
    "rows": {
        "type": "array",
        "items": {
            "type": "object",
            "additionalProperties": False,
            "required": ["row", "column", "score", "reason"],
            "properties": {
                "row": COUNT,
                "column": {"type": "string"},
                "score": {"type": "number"},
                "reason": {"type": "string"},
            },
        },
    },
    "limits": {"type": "string"},
    "seed": COUNT,
    "seconds": {"type": "number", "minimum": 0},
}

SCREENING: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["detections", "row_count"],
    "properties": {
        "row_count": COUNT,
        "detections": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": list(_DETECTION),
                "properties": _DETECTION,
            },
        },
    },
}

SUGGESTION: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["rows", "fit_rows", "holdout_rows", "proposed", "suggestions"],
    "properties": {
        **dict.fromkeys(("rows", "fit_rows", "holdout_rows", "proposed"), COUNT),
        "suggestions": {
            "type": "array",
            "maxItems": 10_000,
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "type", "kwargs", "severity", "meta", "column", "sentence", "why", "evidence"],
                "properties": {
                    **{key: {"type": "string"} for key in ("id", "type", "column", "sentence", "why")},
                    **{key: {"type": "object"} for key in ("kwargs", "meta", "evidence")},
                    "severity": {"enum": ["critical", "warning", "info"]},
                },
            },
        },
    },
}
