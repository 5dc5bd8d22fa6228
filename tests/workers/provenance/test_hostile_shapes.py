"""Whatever JSON stands where, a verification ends with sentences and not with an exception."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.provenance import evidence
from tests.workers.provenance.test_model_signature import DIGEST, key, signature
from workers.provenance.model_signature import SignatureState, judge
from workers.provenance.statement import DATASET, EVAL_RESULT, REGISTRATION, REPORT, Subject, digest_set
from workers.provenance.verification import Finding, verify

#: Words that the readers look for, so that the shapes get deep enough.
WORDS = st.sampled_from(
    ["audit", "model", "dataset", "digest", "training_data", "hashes", "alg", "content", "metadata", "component",
     "components", "type", "data", "name", "sequence", "detail", "resultDigest", "files", "schema", "resources"]
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(["bom.json", "events.json", "statements/audit.json"]), document=JSON)
def test_any_json_in_a_file_is_told(name: str, document: Any):
    outcomes = verify(evidence.pack({name: json.dumps(document).encode()}))

    assert Finding.FAILS in {outcome.finding for outcome in outcomes}


@settings(max_examples=150, deadline=None)
@given(document=JSON)
def test_any_signed_report_is_told(document: Any):
    report = json.dumps(document).encode()

    outcomes = verify(
        evidence.pack({"report.json": report, "statements/report-json.json": evidence.report_statement(report)})
    )

    assert Finding.FAILS in {outcome.finding for outcome in outcomes}


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from([DATASET, EVAL_RESULT, REGISTRATION, REPORT]),
    predicate=st.dictionaries(WORDS, JSON, max_size=4),
)
def test_any_signed_predicate_is_read(kind: str, predicate: dict[str, Any]):
    strange = evidence.signed(kind, [Subject("strange", digest_set(evidence.MODEL))], predicate)

    outcomes = verify(evidence.pack({"statements/a-strange-one.json": strange}))

    assert {outcome.check for outcome in outcomes if outcome.finding is Finding.FAILS} <= {"audit"}


@settings(max_examples=150, deadline=None)
@given(document=JSON, part=st.sampled_from(["mediaType", "verificationMaterial", "dsseEnvelope"]))
def test_any_json_in_a_model_signature_is_judged(document: Any, part: str):
    judged = judge({**signature("p256"), part: document}, artifact_digest=DIGEST, keys=[key("p256")])

    assert judged.state in (SignatureState.INVALID, SignatureState.UNKNOWN_KEY)
