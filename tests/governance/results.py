"""Results as the children of the record's jobs give them."""

from __future__ import annotations

from typing import Any

from governance.models import StoredFile
from tests import factories

Given = tuple[dict[str, Any], dict[str, StoredFile]]

DIGEST = "sha256:" + "a" * 64
LAYER = {"name": "dense", "kind": "linear", "output_shape": [-1, 2], "parameter_count": 6}


def finding(**changes: Any) -> dict[str, Any]:
    return {
        "id": "ART-01",
        "severity": "critical",
        "title": "A pickle",
        "detail": "The archive holds a pickle.",
        "place": "data.pkl",
        "references": [],
        **changes,
    }


def inspection(**changes: Any) -> Given:
    """Return what an inspection answers; with a verdict other than registered, without what only that has."""
    is_registered = changes.get("verdict", "registered") == "registered"
    form = changes.get("format", "pt2")
    value = {
        "verdict": "registered",
        "reason": "",
        "framework": {"pt2": "pytorch", "keras": "keras"}.get(form),
        "format": form,
        "findings": [],
        "sources": {},
        "signature": factories.SIGNATURE if is_registered else None,
        "recipe": None,
        "layers": [LAYER] if is_registered and form != "package" else [],
        "parameter_count": 6 if is_registered else None,
        "weights_digest": DIGEST if is_registered else "",
        "rewritten": f"rewritten.{form}" if is_registered else None,
        **changes,
    }
    return value, {value["rewritten"]: factories.StoredFileFactory()} if value["rewritten"] else {}


def loading(**changes: Any) -> Given:
    """Return what the loading of a package answers; with a finding, without what only a loaded model has."""
    loads = not changes.get("findings")
    value = {
        "findings": [],
        "reason": "" if loads else "It does not load.",
        "signature": factories.SIGNATURE if loads else None,
        "layers": [LAYER] if loads else [],
        **changes,
    }
    return value, {}


def not_loaded(**changes: Any) -> dict[str, Any]:
    return finding(**{"id": "SIG-01.load", "severity": "high", "title": "It does not load", **changes})


def dataset_import(**changes: Any) -> Given:
    value = {
        "content_digest": DIGEST,
        "row_count": 40,
        "schema": factories.SCHEMA,
        "profile": {"age": {"missing": 0, "distinct": 30, "lowest": 18.0}},
        **changes,
    }
    return value, {"table.parquet": factories.StoredFileFactory(), "tree.json": factories.StoredFileFactory()}


def chart(**changes: Any) -> dict[str, Any]:
    return {
        "id": "loss",
        "caption": "The loss falls.",
        "label": "Loss by epoch.",
        "svg": "loss.svg",
        "spec": "loss.vl.json",
        "table": {"columns": ["epoch", "loss"], "rows": [[1, 0.7]]},
        **changes,
    }


def training(**changes: Any) -> Given:
    value = {
        "history": [{"epoch": 1, "loss": 0.7, "validation_loss": None, "metrics": {"accuracy": 0.5}, "seconds": 0.1}],
        "summary": {"rows": 40, "validation_rows": 0, "kept_epoch": 1, "ended_because": "all epochs", "seconds": 0.1},
        "signature": factories.SIGNATURE,
        "weights_digest": DIGEST,
        "parameter_count": 6,
        "layers": [LAYER],
        "format": "pt2",
        "file": "model.pt2",
        "rewritten": "rewritten.pt2",
        "inspection": {"verdict": "registered", "reason": "Nothing in it needs code.", "findings": []},
        "charts": [chart()],
        **changes,
    }
    names = ("model.pt2", "rewritten.pt2", "loss.svg", "loss.vl.json")
    return value, {name: factories.StoredFileFactory() for name in names}


def metric(**changes: Any) -> dict[str, Any]:
    return {
        "name": "accuracy",
        "slice": None,
        "value": 0.9,
        "low": 0.77,
        "high": 0.96,
        "n": 40,
        "method": "wilson",
        **changes,
    }


def difference(**changes: Any) -> dict[str, Any]:
    plain = metric()
    del plain["value"]
    return {**plain, "difference": 0.1, "significant": True, **changes}


def evaluation(**changes: Any) -> Given:
    value = {"metrics": [metric()], "comparison": None, "row_count": 40, **changes}
    return value, {"predictions.parquet": factories.StoredFileFactory()}
