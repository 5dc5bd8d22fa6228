"""Statements: what we write the in-toto library reads, and what has two readings is none."""

from __future__ import annotations

import json

import pytest
from google.protobuf import json_format
from in_toto_attestation.v1 import statement as peer
from in_toto_attestation.v1 import statement_pb2

from workers.provenance.statement import (
    STATEMENT_TYPE,
    TABLE,
    Statement,
    StatementError,
    Subject,
    digest_set,
)

HEX = "ab" * 32
WHOLE = Statement((Subject("scorer/1", digest_set(f"sha256:{HEX}")),), "urn:x", {"n": 3})


def document(**changes) -> bytes:
    return json.dumps({**json.loads(WHOLE.to_bytes()), **changes}).encode()


def test_the_in_toto_library_takes_what_we_write():
    message = json_format.Parse(WHOLE.to_bytes(), statement_pb2.Statement())

    peer.Statement.copy_from_pb(message).validate()
    assert message.subject[0].digest["sha256"] == HEX


def test_we_read_what_the_in_toto_library_writes():
    subject = peer.ResourceDescriptor(name="scorer/1", digest={"sha256": HEX}).pb
    written = json_format.MessageToJson(peer.Statement([subject], "urn:x", {"n": 3}).pb).encode()

    assert Statement.parse(written) == WHOLE


def test_a_statement_is_about_its_subjects_and_no_other():
    both = Statement((Subject("a", {TABLE: HEX}), Subject("b", {"sha256": "cd" * 32})), "urn:x", {"n": 1})

    assert both.has_subject(f"sha256:{HEX}", algorithm=TABLE)
    assert both.has_subject("sha256:" + "cd" * 32)
    assert not both.has_subject(f"sha256:{HEX}")
    assert not both.has_subject("")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b'{"_type": "x"}',
        document(_type="https://in-toto.io/Statement/v0.1"),
        document(subject=[]),
        document(subject=[{"name": "a"}]),
        document(subject=[{"name": "a", "digest": {}}]),
        document(subject=[{"name": "a", "digest": {"sha256": "AB" * 32}}]),
        document(subject=[{"name": 1, "digest": {"sha256": HEX}}]),
        document(subject=[{"digest": {"sha256": HEX}}] * 65),
        document(predicateType=None),
        document(predicate=[]),
        document()[:-1] + b', "predicateType": "urn:y"}',
        document(predicate=json.loads("[" * 80 + "]" * 80)),
        document(predicate={"n": float("nan")}),
    ],
)
def test_what_is_no_statement_is_refused(content):
    with pytest.raises(StatementError):
        Statement.parse(content)


def test_unknown_fields_are_ignored_as_the_specification_says():
    assert Statement.parse(document(extra=1)) == WHOLE
    assert json.loads(WHOLE.to_bytes())["_type"] == STATEMENT_TYPE


@pytest.mark.parametrize("digest", ["", HEX, "sha256:" + "AB" * 32, f"sha256:{HEX}\n", "md5:" + HEX])
def test_only_a_digest_becomes_a_digest_set(digest):
    with pytest.raises(ValueError, match="is not sha256:"):
        digest_set(digest)
