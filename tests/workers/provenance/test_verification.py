"""What a pack shows: everything while it is whole, and after each change the thing that no longer holds, by name."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from tests.workers.provenance import evidence
from workers.protocol import canonical_json, digest_of_bytes
from workers.provenance.keys import SigningKey
from workers.provenance.pack import Pack
from workers.provenance.statement import DATASET, REGISTRATION, Subject, digest_set
from workers.provenance.verification import Finding, verify

OTHER = digest_of_bytes(b"other")
STRANGER = SigningKey.generate()


def told(name: str) -> str:
    """Return what a test of one file is called: the key is another one in each process, and named by its digest."""
    return "the key" if name.startswith("keys/") else name


def failing(pack: Pack, *trusted) -> dict[str, str]:
    """Return the checks that fail, each with its first sentence."""
    found: dict[str, str] = {}
    for outcome in verify(pack, trusted):
        if outcome.finding is Finding.FAILS:
            found.setdefault(outcome.check, outcome.sentence)
    return found


def changed_report(**parts: Any) -> bytes:
    document = copy.deepcopy(evidence.REPORT_DOCUMENT)
    for name, part in parts.items():
        document[name] = {**document[name], **part}
    return canonical_json(document)


def changed_events(index: int, **fields: Any) -> bytes:
    events = copy.deepcopy(evidence.EVENTS)
    events[index].update(fields)
    return canonical_json(events)


def changed_bom(path: str) -> bytes:
    bom = copy.deepcopy(evidence.BOM)
    component = bom["metadata"]["component"] if path == "model" else bom["components"][0]
    component["hashes"][0]["content"] = OTHER.removeprefix("sha256:")
    return canonical_json(bom)


def test_a_whole_pack_holds_and_says_what_it_cannot_know():
    outcomes = verify(evidence.pack())

    assert failing(evidence.pack()) == {}
    holding = {outcome.check for outcome in outcomes if outcome.finding is Finding.HOLDS}
    assert holding == {"manifest", "signature", "report", "model", "dataset", "training_data", "audit", "bom", "events"}
    unknown = {outcome.check for outcome in outcomes if outcome.finding is Finding.UNKNOWN}
    assert unknown == {"key", "events", "later", "files", "bom", "truth"}


def test_with_a_key_from_elsewhere_whose_it_is_is_known():
    outcomes = verify(evidence.pack(), [evidence.KEY.public])

    assert failing(evidence.pack(), evidence.KEY.public) == {}
    assert "key" not in {outcome.check for outcome in outcomes}


def test_a_pack_that_a_stranger_made_agrees_with_itself_and_not_with_the_key():
    forged = evidence.pack(key=STRANGER)

    # A key of the pack's own: everything holds, and `key` says that this means little.
    own = evidence.Pack({name: content for name, content in forged.files.items() if evidence.KEY.public.id not in name})
    assert failing(own) == {}
    assert set(failing(own, evidence.KEY.public)) >= {"signature", "report", "model", "dataset", "audit"}


def test_what_is_trusted_may_be_one_key_of_several():
    assert failing(evidence.pack(), STRANGER.public, evidence.KEY.public) == {}


@pytest.mark.parametrize("name", sorted(evidence.files()), ids=told)
def test_a_changed_byte_of_any_file_is_told_by_the_manifest(name):
    content = evidence.files()[name]
    flipped = content[:-2] + bytes([content[-2] ^ 1]) + content[-1:]

    assert name in failing(evidence.untouched_manifest({name: flipped}))["manifest"]


@pytest.mark.parametrize("name", sorted(evidence.files()), ids=told)
def test_a_file_that_was_taken_out_is_told_by_the_manifest(name):
    assert name in failing(evidence.untouched_manifest({name: None}))["manifest"]


def test_a_file_that_was_put_in_is_told_by_the_manifest():
    added = evidence.untouched_manifest({"statements/more.json": evidence.audit_statement()})

    assert "statements/more.json is in the pack" in failing(added)["manifest"]


#: What is changed, with the manifest made to fit again -> the check that fails, and words of its sentence.
CHANGES: dict[str, tuple[dict[str, bytes | None], str, str]] = {
    "another report": ({"report.json": changed_report(audit={"verdict": "passed"})}, "report", "report.json"),
    "another page": ({"report.html": b"<html>passed</html>"}, "report", "report.html"),
    "no page": ({"report.html": None}, "report", "no file report.html"),
    "a page of another audit": (
        {"report.html": b"x", "statements/report-html.json": evidence.report_statement(b"x", result=OTHER)},
        "report",
        "another audit",
    ),
    "no statement about the report": ({"statements/report-json.json": None}, "report", "No signed statement"),
    "no statement about the model": ({"statements/version.json": None}, "model", evidence.MODEL),
    "a statement about another model": (
        {"statements/version.json": evidence.signed(REGISTRATION, [Subject("scorer/1", digest_set(OTHER))], {"n": 1})},
        "model",
        evidence.MODEL,
    ),
    "no statement about the data": ({"statements/dataset.json": None}, "dataset", evidence.ROWS),
    "a statement about the bytes of other rows": (
        {"statements/dataset.json": evidence.signed(DATASET, [Subject("a", digest_set(evidence.ROWS))], {"n": 1})},
        "dataset",
        evidence.ROWS,
    ),
    "no statement about the training data": ({"statements/training.json": None}, "training_data", evidence.TRAINING),
    "no statement about the audit": ({"statements/audit.json": None}, "audit", "No signed statement"),
    "another verdict": ({"statements/audit.json": evidence.audit_statement(verdict="passed")}, "audit", "verdict"),
    "other criteria": ({"statements/audit.json": evidence.audit_statement(criteriaDigest=OTHER)}, "audit", "criteria"),
    "other data": ({"statements/audit.json": evidence.audit_statement(dataset=None)}, "audit", "data set"),
    "another model": ({"statements/audit.json": evidence.audit_statement(model=OTHER)}, "audit", "model"),
    "signed by a stranger": ({"statements/audit.json": evidence.audit_statement(STRANGER)}, "signature", "none of the"),
    "no envelope": ({"statements/audit.json": b"{}"}, "signature", "statements/audit.json"),
    "no JSON": ({"statements/audit.json": b"{"}, "signature", "statements/audit.json"),
    "a key under another name": (
        {f"keys/{'0' * 64}.pem": STRANGER.public.pem.encode()},
        "key",
        f"holds the key {STRANGER.public.id}",
    ),
    "no key": ({f"keys/{'0' * 64}.pem": b"no key"}, "key", "PEM"),
    "another model in the BOM": ({"bom.json": changed_bom("model")}, "bom", evidence.MODEL),
    "other data in the BOM": ({"bom.json": changed_bom("data")}, "bom", "applicants"),
    "no BOM": ({"bom.json": None}, "bom", "no file bom.json"),
    "a BOM that is none": ({"bom.json": b"[]"}, "bom", evidence.MODEL),
    "events out of order": ({"events.json": changed_events(2, sequence=5)}, "events", "stands behind"),
    "events that are not linked": ({"events.json": changed_events(2, previous="x")}, "events", "does not follow"),
    "no event of the audit": ({"events.json": changed_events(1, detail={})}, "events", "No event tells"),
    "events that are none": ({"events.json": b'{"a": 1}'}, "events", "not a list"),
    "no events": ({"events.json": None}, "events", "no file events.json"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_that_the_manifest_was_made_to_fit_is_told_by_name(name):
    changed, check, words = CHANGES[name]

    found = failing(evidence.pack(changed))

    assert words in found[check]
    assert "manifest" not in found


def test_a_pack_without_statements_holds_nothing():
    bare = evidence.pack({name: None for name in evidence.files() if name.startswith("statements/")})

    assert set(failing(bare)) >= {"statements", "report", "model", "dataset", "training_data", "audit", "bom", "events"}


@pytest.mark.parametrize(
    "manifest",
    [b"{}", b"[]", b"{", b'{"schema": "urn:assay:pack:1", "files": []}', b'{"schema": "x", "files": {}}', None],
)
def test_a_manifest_that_is_none_is_told(manifest):
    assert "manifest" in failing(evidence.untouched_manifest({"manifest.json": manifest}))


@pytest.mark.parametrize(
    "report", [b"[]", b"7", b"{}", b'{"audit": 3, "model": [], "dataset": null}', canonical_json({"audit": {}})]
)
def test_a_signed_report_of_another_shape_is_told_and_breaks_nothing(report):
    changed = evidence.pack({"report.json": report, "statements/report-json.json": evidence.report_statement(report)})

    assert failing(changed)


def test_json_that_is_nested_too_deep_is_told():
    deep = ("[" * 100_000 + "]" * 100_000).encode()

    found = failing(evidence.pack({"bom.json": deep, "events.json": deep, "statements/audit.json": deep}))

    assert "nested deeper" in found["bom"] + found["signature"]
    assert json.loads(evidence.files()["events.json"])
