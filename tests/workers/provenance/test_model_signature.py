"""Model signatures: those of OpenSSF's own tool are verified, and every change to one is told."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from workers.protocol import digest_of_bytes
from workers.provenance.dsse import IN_TOTO, Envelope
from workers.provenance.keys import PublicKey, SigningKey
from workers.provenance.model_signature import MEDIA_TYPE, SignatureState, judge
from workers.provenance.statement import STATEMENT_TYPE

FOLDER = Path(__file__).parent / "signatures"
#: What ``signatures/make.py`` signed.
DIGEST = digest_of_bytes(b"not a model, but signed")


def signature(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.sig").read_text())


def key(name: str) -> PublicKey:
    return PublicKey.read((FOLDER / f"{name}.pub").read_bytes())


def signed_by_us(statement: Any) -> dict[str, Any]:
    """Sign any statement as the tool would, with a key of ours that is then trusted."""
    ours = SigningKey.generate()
    envelope = Envelope.sign(json.dumps(statement).encode(), ours)
    return {
        "bundle": {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": ours.public.pem_digest}, "tlogEntries": []},
            "dsseEnvelope": envelope.to_json(),
        },
        "keys": [ours.public],
    }


def payload(name: str = "p256") -> dict[str, Any]:
    return json.loads(base64.b64decode(signature(name)["dsseEnvelope"]["payload"]))


@pytest.mark.parametrize("name", ["p256", "p384"])
def test_a_signature_of_the_tool_is_verified(name):
    judged = judge(signature(name), artifact_digest=DIGEST, keys=[key("folder"), key(name)])

    assert judged.state is SignatureState.VERIFIED
    assert judged.key_id == key(name).id
    assert judged.reason == ""


def test_no_signature_is_absent():
    assert judge(None, artifact_digest=DIGEST, keys=[key("p256")]).state is SignatureState.ABSENT


@pytest.mark.parametrize("keys", [[], ["p384"]])
def test_a_key_that_nobody_accepted_is_unknown(keys):
    judged = judge(signature("p256"), artifact_digest=DIGEST, keys=[key(name) for name in keys])

    assert judged.state is SignatureState.UNKNOWN_KEY
    assert key("p256").pem_digest in judged.reason


def test_a_signature_over_another_file_is_invalid_whoever_made_it():
    judged = judge(signature("p256"), artifact_digest=digest_of_bytes(b"other"), keys=[])

    assert judged.state is SignatureState.INVALID
    assert digest_of_bytes(b"other") in judged.reason


def test_a_signature_over_a_folder_is_invalid():
    judged = judge(signature("folder"), artifact_digest=DIGEST, keys=[key("folder")])

    assert judged.state is SignatureState.INVALID
    assert "not over one file" in judged.reason


def test_a_signature_without_a_hint_is_tried_with_every_key():
    bundle = signature("p256")
    bundle["verificationMaterial"] = {"publicKey": {}, "tlogEntries": []}

    assert judge(bundle, artifact_digest=DIGEST, keys=[key("p384"), key("p256")]).state is SignatureState.VERIFIED
    assert judge(bundle, artifact_digest=DIGEST, keys=[key("p384")]).state is SignatureState.UNKNOWN_KEY


def test_a_signature_with_a_certificate_is_of_an_unknown_key():
    bundle = signature("p256")
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": []}

    judged = judge(bundle, artifact_digest=DIGEST, keys=[key("p256")])

    assert judged.state is SignatureState.UNKNOWN_KEY
    assert "certificate" in judged.reason


def _set(bundle: Any, path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for name in parents:
        bundle = bundle[int(name) if name.isdigit() else name]
    bundle[last] = value


FLIPPED = base64.b64encode(
    bytes([b ^ 1 for b in base64.b64decode(signature("p256")["dsseEnvelope"]["signatures"][0]["sig"])])
)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("mediaType", "application/vnd.dev.sigstore.bundle.v0.1+json"),
        ("verificationMaterial", None),
        ("verificationMaterial.publicKey", "key"),
        ("verificationMaterial.publicKey.hint", 7),
        ("dsseEnvelope", {}),
        ("dsseEnvelope.payloadType", "text/plain"),
        ("dsseEnvelope.payload", "e30="),
        ("dsseEnvelope.payload", "!"),
        ("dsseEnvelope.signatures", []),
        ("dsseEnvelope.signatures.0.sig", FLIPPED.decode()),
        ("dsseEnvelope.signatures.0.sig", "AAAA"),
        ("dsseEnvelope.signatures.0.sig", signature("folder")["dsseEnvelope"]["signatures"][0]["sig"]),
        ("messageSignature", {}),
    ],
)
def test_a_changed_bundle_is_invalid(path, value):
    bundle = copy.deepcopy(signature("p256"))
    _set(bundle, path, value)

    judged = judge(bundle, artifact_digest=DIGEST, keys=[key("p256")])

    assert judged.state is SignatureState.INVALID
    assert judged.reason


@pytest.mark.parametrize("bundle", [[], "signature", 7, {}, {"mediaType": MEDIA_TYPE}])
def test_what_is_no_bundle_is_invalid(bundle):
    assert judge(bundle, artifact_digest=DIGEST, keys=[]).state is SignatureState.INVALID


def _without_resources(statement: Any) -> None:
    del statement["predicate"]["resources"]


def _another_algorithm(statement: Any) -> None:
    statement["predicate"]["resources"][0]["algorithm"] = "blake3"


def _another_digest_type(statement: Any) -> None:
    statement["predicate"]["resources"][0]["digest"] = 7


def _two_resources(statement: Any) -> None:
    statement["predicate"]["resources"] *= 2


def _another_subject(statement: Any) -> None:
    statement["subject"][0]["digest"]["sha256"] = "00" * 32


def _two_subjects(statement: Any) -> None:
    statement["subject"] *= 2


def _another_predicate(statement: Any) -> None:
    statement["predicateType"] = "https://model_signing/Digests/v0.1"


def test_the_same_statement_signed_by_another_key_is_verified():
    assert judge(artifact_digest=DIGEST, **signed_by_us(payload())).state is SignatureState.VERIFIED


@pytest.mark.parametrize(
    "change",
    [
        _without_resources,
        _another_algorithm,
        _another_digest_type,
        _two_resources,
        _another_subject,
        _two_subjects,
        _another_predicate,
    ],
)
def test_a_well_signed_statement_that_is_not_about_the_file_is_invalid(change: Callable[[Any], None]):
    statement = payload()
    change(statement)

    assert judge(artifact_digest=DIGEST, **signed_by_us(statement)).state is SignatureState.INVALID


def test_the_fixtures_are_statements_of_in_toto():
    assert signature("p256")["dsseEnvelope"]["payloadType"] == IN_TOTO
    assert payload()["_type"] == STATEMENT_TYPE
