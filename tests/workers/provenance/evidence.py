"""A small pack that holds, as an installation would make it, for tests that then change it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from workers.protocol import canonical_json, digest_of_bytes
from workers.provenance.dsse import Envelope
from workers.provenance.keys import SigningKey
from workers.provenance.pack import Pack, with_manifest
from workers.provenance.statement import (
    DATASET,
    EVAL_RESULT,
    PROVENANCE,
    REPORT,
    TABLE,
    Statement,
    Subject,
    digest_set,
)

MODEL, ROWS, TABLE_FILE, TRAINING, CRITERIA, RESULT = (
    digest_of_bytes(name.encode()) for name in ("model", "rows", "table", "training", "criteria", "result")
)
REPORT_DOCUMENT: dict[str, Any] = {
    "schema": "urn:assay:report:1",
    "audit": {"id": 3, "verdict": "failed", "criteria_digest": CRITERIA, "result_digest": RESULT},
    "model": {"ref": "scorer/1", "digest": MODEL},
    "dataset": {"ref": "applicants/2", "digest": ROWS},
    "training_data": {"ref": "applicants/1", "digest": TRAINING},
}
EVENTS: list[dict[str, Any]] = [
    {"sequence": 4, "name": "version.uploaded", "subject": "scorer/1", "detail": {}, "previous": "c", "mac": "d"},
    {
        "sequence": 7,
        "name": "audit.ended",
        "subject": "scorer/1",
        "detail": {"digest": RESULT},
        "previous": "f",
        "mac": "g",
    },
    {"sequence": 8, "name": "statement.signed", "subject": "scorer/1", "detail": {}, "previous": "g", "mac": "h"},
]
BOM: dict[str, Any] = {
    "bomFormat": "CycloneDX",
    "metadata": {"component": {"hashes": [{"alg": "SHA-256", "content": MODEL.removeprefix("sha256:")}]}},
    "components": [
        {
            "type": "data",
            "name": "applicants",
            "hashes": [{"alg": "SHA-256", "content": TABLE_FILE.removeprefix("sha256:")}],
        },
        {"type": "framework", "name": "torch"},
    ],
}
KEY = SigningKey.generate()


def rows(name: str, digest: str) -> Subject:
    return Subject(name, {**digest_set(TABLE_FILE), **digest_set(digest, algorithm=TABLE)})


def signed(predicate_type: str, subjects: list[Subject], predicate: Mapping[str, Any], key: SigningKey = KEY) -> bytes:
    statement = Statement(tuple(subjects), predicate_type, predicate)
    return json.dumps(Envelope.sign(statement.to_bytes(), key).to_json()).encode()


def audit_statement(key: SigningKey = KEY, **changes: Any) -> bytes:
    predicate = {
        "verdict": "failed",
        "criteriaDigest": CRITERIA,
        "resultDigest": RESULT,
        "dataset": rows("applicants/2", ROWS).to_json(),
        **changes,
    }
    model = changes.pop("model", MODEL)
    return signed(EVAL_RESULT, [Subject("scorer/1", digest_set(model))], predicate, key)


def report_statement(content: bytes, key: SigningKey = KEY, *, result: str = RESULT) -> bytes:
    return signed(REPORT, [Subject("report", digest_set(digest_of_bytes(content)))], {"resultDigest": result}, key)


def files(key: SigningKey = KEY) -> dict[str, bytes]:
    """Return the files of a whole pack, without its manifest."""
    report, page = canonical_json(REPORT_DOCUMENT), b"<html>failed</html>"
    return {
        "report.json": report,
        "report.html": page,
        "bom.json": canonical_json(BOM),
        "events.json": canonical_json(EVENTS),
        f"keys/{key.public.id}.pem": key.public.pem.encode(),
        "statements/version.json": signed(PROVENANCE, [Subject("scorer/1", digest_set(MODEL))], {"n": 1}, key),
        "statements/dataset.json": signed(DATASET, [rows("applicants/2", ROWS)], {"n": 1}, key),
        "statements/training.json": signed(DATASET, [rows("applicants/1", TRAINING)], {"n": 1}, key),
        "statements/audit.json": audit_statement(key),
        "statements/report-json.json": report_statement(report, key),
        "statements/report-html.json": report_statement(page, key),
    }


def pack(changed: Mapping[str, bytes | None] | None = None, *, key: SigningKey = KEY) -> Pack:
    """Return the pack with some files changed, added, or (None) left out, and a manifest that fits again."""
    merged = {**files(key), **(changed or {})}
    return with_manifest({name: content for name, content in merged.items() if content is not None}, audit=3)


def untouched_manifest(changed: Mapping[str, bytes | None]) -> Pack:
    """Return the pack with some files changed and the manifest of before."""
    merged = {**pack().files, **changed}
    return Pack({name: content for name, content in merged.items() if content is not None})
