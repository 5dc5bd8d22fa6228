"""What the jobs of the record may answer: the JSON schemas that a result has to follow before it is stored.

The child that answers has run somebody else's model: what a schema does not allow is not kept.
"""

from __future__ import annotations

from typing import Any

from workers.artifacts.findings import MAX_FINDINGS
from workers.artifacts.formats import FORMATS, Format

TEXT = {"type": "string"}
SHORT_TEXT = {"type": "string", "maxLength": 300}
DIGEST = {"type": "string", "pattern": r"^sha256:[0-9a-f]{64}$"}
COUNT = {"type": "integer", "minimum": 0}
NUMBER_OR_NULL = {"type": ["number", "null"]}
SECONDS = {"type": "number", "minimum": 0}
#: A file of the job's outputs; that it exists is checked when it is kept.
FILE_NAME = {"type": "string", "pattern": r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$"}


def closed(required: dict[str, Any], optional: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the schema of an object with these properties and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": {**required, **(optional or {})},
    }


def list_of(entry: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": entry}


FRAMEWORKS = sorted({framework for entry in FORMATS.values() for framework in entry.frameworks})
TRAINED = [entry for entry in FORMATS.values() if entry.trains]

FINDING = closed(
    {
        "id": {"type": "string", "minLength": 1, "maxLength": 50},
        "severity": {"enum": ["critical", "high", "medium", "low", "info"]},
        "title": {"type": "string", "minLength": 1, "maxLength": 300},
        "detail": TEXT,
        "place": TEXT,
        "references": {"type": "array"},
    }
)

LAYER = closed(
    {
        "name": SHORT_TEXT,
        "kind": SHORT_TEXT,
        "output_shape": {"type": ["array", "null"]},
        "parameter_count": {"type": ["integer", "null"], "minimum": 0},
    }
)

CHART = closed(
    {
        "id": SHORT_TEXT,
        "caption": TEXT,
        "label": TEXT,
        "svg": FILE_NAME,
        "spec": FILE_NAME,
        "table": closed({"columns": {"type": "array"}, "rows": list_of({"type": "array"})}),
    }
)


def _signature_types(entry: Format) -> list[str]:
    """Weights have no signature; a package may leave it to its code to say what it is."""
    return ["object"] * entry.holds_model + ["null"] * (entry.runs_code or not entry.holds_model)


MODEL_INSPECTION: dict[str, Any] = {
    **closed(
        {
            "verdict": {"enum": ["registered", "rejected", "quarantined"]},
            "reason": TEXT,
            "framework": {"type": ["string", "null"], "enum": ["", None, *FRAMEWORKS]},
            "format": {"type": ["string", "null"], "enum": ["", None, *FORMATS]},
            "findings": list_of(FINDING),
            # The sources of a model package: each is also a file of the job, for a reviewer to read.
            "sources": {"type": "object", "additionalProperties": DIGEST},
            "signature": {"type": ["object", "null"]},
            "recipe": {"type": ["object", "null"]},
            "layers": list_of(LAYER),
            "parameter_count": {"type": ["integer", "null"], "minimum": 0},
            "weights_digest": {"anyOf": [DIGEST, {"enum": ["", None]}]},
            "rewritten": {
                "anyOf": [
                    {"enum": sorted({entry.rewritten_name for entry in FORMATS.values()})},
                    {"type": "null"},
                ]
            },
        }
    ),
    "allOf": [
        {
            # Only what was written anew, from an artefact without a blocking finding, may be registered.
            "if": {"properties": {"verdict": {"const": "registered"}}},
            "then": {
                "properties": {
                    "format": {"enum": list(FORMATS)},
                    "parameter_count": COUNT,
                    "weights_digest": DIGEST,
                    "rewritten": {"type": "string"},
                    "findings": list_of({"properties": {"severity": {"enum": ["medium", "low", "info"]}}}),
                }
            },
            "else": {"properties": {"reason": {"type": "string", "minLength": 1}, "rewritten": {"type": "null"}}},
        },
        *(
            {
                "if": {"properties": {"verdict": {"const": "registered"}, "format": {"const": entry.name}}},
                "then": {
                    "properties": {
                        "framework": {"enum": list(entry.frameworks) if entry.holds_model else ["", *FRAMEWORKS]},
                        "signature": {"type": _signature_types(entry)},
                        # What only its code can say, another job answers.
                        "layers": {"maxItems": 0} if entry.runs_code else {},
                        "rewritten": {"const": entry.rewritten_name},
                    }
                },
            }
            for entry in FORMATS.values()
        ),
    ],
}

#: The answer comes from a process that has run an uploader's code: it is small, and says little.
MODEL_LOADING: dict[str, Any] = {
    **closed(
        {
            "findings": {**list_of(FINDING), "maxItems": MAX_FINDINGS},
            "reason": {"type": "string", "maxLength": 4000},
            "signature": {"type": ["object", "null"]},
            "layers": {**list_of(LAYER), "maxItems": 20_000},
        }
    ),
    "if": {"properties": {"findings": {"maxItems": 0}}},
    "then": {"properties": {"signature": {"type": "object"}}},
    "else": {
        "properties": {
            "findings": list_of(
                {
                    "properties": {
                        "id": {"enum": ["SIG-01.load", "SIG-01.signature"]},
                        "severity": {"const": "high"},
                        "detail": {"maxLength": 4000},
                        "place": {"maxLength": 400},
                    }
                }
            ),
            "reason": {"minLength": 1},
            "signature": {"type": "null"},
            "layers": {"maxItems": 0},
        }
    },
}

PROFILE: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "object"}}

_MEDIA_ROW = {"row": COUNT, "group": SHORT_TEXT, "value": NUMBER_OR_NULL}
_MEDIA_PROBLEMS = {
    "problem_count": COUNT,
    "problems": {"type": "array", "maxItems": 50, "items": closed({"row": COUNT, "problem": TEXT})},
}
MEDIA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": {
        "anyOf": [
            closed(
                {
                    "file": {"anyOf": [{"type": "string", "pattern": r"^images-[0-9]{1,6}\.png$"}, {"type": "null"}]},
                    "cells": {"type": "array", "maxItems": 100, "items": closed(_MEDIA_ROW)},
                    "note": TEXT,
                    **_MEDIA_PROBLEMS,
                }
            ),
            closed(
                {
                    "texts": {"type": "array", "maxItems": 100, "items": closed({**_MEDIA_ROW, "text": TEXT})},
                    **_MEDIA_PROBLEMS,
                }
            ),
        ]
    },
}

DATASET_IMPORT = closed(
    {
        "content_digest": DIGEST,
        "row_count": COUNT,
        "schema": {"type": "object"},
        "profile": PROFILE,
    },
    {"media": MEDIA},
)

EPOCH = closed(
    {
        "epoch": {"type": "integer", "minimum": 1},
        "loss": {"type": "number"},
        "validation_loss": NUMBER_OR_NULL,
        "metrics": {"type": "object", "additionalProperties": NUMBER_OR_NULL},
        "seconds": SECONDS,
    }
)

TRAINING: dict[str, Any] = {
    **closed(
        {
            "history": {"type": "array", "minItems": 1, "items": EPOCH},
            "summary": closed(
                {
                    "rows": {"type": "integer", "minimum": 1},
                    "validation_rows": COUNT,
                    "kept_epoch": {"type": "integer", "minimum": 1},
                    "ended_because": TEXT,
                    "seconds": SECONDS,
                }
            ),
            "signature": {"type": "object"},
            "weights_digest": DIGEST,
            "parameter_count": COUNT,
            "layers": list_of(LAYER),
            "format": {"enum": [entry.name for entry in TRAINED]},
            "file": {"enum": [entry.input_name for entry in TRAINED]},
            "rewritten": {"enum": [entry.rewritten_name for entry in TRAINED]},
            # What a training wrote is inspected like an upload; one that is refused is a failed training.
            "inspection": closed(
                {
                    "verdict": {"const": "registered"},
                    "reason": TEXT,
                    "findings": list_of(
                        {"allOf": [FINDING, {"properties": {"severity": {"not": {"const": "critical"}}}}]}
                    ),
                }
            ),
            "charts": list_of(CHART),
        }
    ),
    "allOf": [
        {
            "if": {"properties": {"format": {"const": entry.name}}},
            "then": {
                "properties": {
                    "file": {"const": entry.input_name},
                    "rewritten": {"const": entry.rewritten_name},
                }
            },
        }
        for entry in TRAINED
    ],
}

_INTERVAL = {
    "name": SHORT_TEXT,
    "slice": {"type": ["string", "null", "object"]},
    "low": NUMBER_OR_NULL,
    "high": NUMBER_OR_NULL,
    "n": COUNT,
    "method": TEXT,
}
METRIC = closed({**_INTERVAL, "value": NUMBER_OR_NULL}, {"note": TEXT})
DIFFERENCE = closed(
    {**_INTERVAL, "difference": NUMBER_OR_NULL, "significant": {"type": ["boolean", "null"]}}, {"note": TEXT}
)

EVALUATION = closed(
    {
        "metrics": {"type": "array", "minItems": 1, "items": METRIC},
        "comparison": {
            "anyOf": [
                {"type": "null"},
                closed({"metrics": {"type": "array", "minItems": 1, "items": DIFFERENCE}, "sentence": TEXT}),
            ]
        },
        "row_count": {"type": "integer", "minimum": 1},
    }
)
