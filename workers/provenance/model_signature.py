"""OpenSSF model signatures: a Sigstore bundle, made with a key, over the digest of a model's one file.

Source: model-signing 1.x (``model_signing sign key``), predicate ``https://model_signing/signature/v1.0``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from workers.provenance.dsse import IN_TOTO, Envelope, EnvelopeError
from workers.provenance.keys import PublicKey
from workers.provenance.statement import SHA256, Statement, StatementError

PREDICATE_TYPE = "https://model_signing/signature/v1.0"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"

#: A signature over one file has about 2 KB.
MAX_SIGNATURE_BYTES = 64 * 1024


class SignatureState(StrEnum):
    """What a model's own signature is worth here."""

    ABSENT = "absent"
    VERIFIED = "verified"
    INVALID = "invalid"
    UNKNOWN_KEY = "unknown_key"


@dataclass(frozen=True)
class Judgement:
    """The state of a signature, the id of the key that verifies it, and a sentence where none does."""

    state: SignatureState
    key_id: str = ""
    reason: str = ""


class _NotASignatureError(ValueError):
    """The document is no signature over one file."""


def judge(bundle: Any, *, artifact_digest: str, keys: Sequence[PublicKey]) -> Judgement:
    """Judge the signature that came with an artefact.

    What it says is read before its key is looked for: one over another content is invalid whoever signed it.

    Args:
        bundle: the JSON of the signature; None where none came.
        artifact_digest: ``sha256:<hex>`` of the file that came.
        keys: the public keys that this installation accepts.
    """
    if bundle is None:
        return Judgement(SignatureState.ABSENT)
    try:
        envelope, hint = _read_bundle(bundle)
        _demand_digest(Statement.parse(envelope.payload), artifact_digest)
    except (_NotASignatureError, EnvelopeError, StatementError) as error:
        return Judgement(SignatureState.INVALID, reason=str(error))
    if hint is None:
        reason = "It was made with a certificate and not with a key; this installation verifies signatures of keys."
        return Judgement(SignatureState.UNKNOWN_KEY, reason=reason)
    hinted = [key for key in keys if hint in ("", key.pem_digest)]
    if not hinted:
        named = f" {hint}" if hint else ""
        reason = f"None of the {len(keys)} public keys that this installation accepts is the key{named} that it names."
        return Judgement(SignatureState.UNKNOWN_KEY, reason=reason)
    signers = envelope.signers(hinted)
    if signers:
        return Judgement(SignatureState.VERIFIED, key_id=signers[0].id)
    if not hint:
        return Judgement(SignatureState.UNKNOWN_KEY, reason="It names no key, and no accepted key verifies it.")
    return Judgement(SignatureState.INVALID, reason="The key that it names did not sign it: it was changed since.")


def _read_bundle(document: Any) -> tuple[Envelope, str | None]:
    """Return envelope and hint at the key (empty where there is none); a hint of None stands for a certificate."""
    if not isinstance(document, Mapping) or set(document) != {"mediaType", "verificationMaterial", "dsseEnvelope"}:
        raise _NotASignatureError("A model signature is a Sigstore bundle that holds a DSSE envelope.")
    if document["mediaType"] != MEDIA_TYPE:
        raise _NotASignatureError(f"The media type of the bundle is not {MEDIA_TYPE}.")
    material = document["verificationMaterial"]
    if not isinstance(material, Mapping):
        raise _NotASignatureError("The verificationMaterial of the bundle is not an object.")
    envelope = Envelope.from_json(document["dsseEnvelope"])
    if envelope.payload_type != IN_TOTO:
        raise _NotASignatureError(f"The payload of the envelope is not of the type {IN_TOTO}.")
    if "publicKey" not in material:
        return envelope, None
    key = material["publicKey"]
    hint = key.get("hint") if isinstance(key, Mapping) else 0
    if hint is not None and not isinstance(hint, str):
        raise _NotASignatureError("The publicKey of the bundle is not an object whose hint is a text.")
    return envelope, hint or ""


def _demand_digest(statement: Statement, artifact_digest: str) -> None:
    """Refuse a statement that is not about the one file of a digest."""
    if statement.predicate_type != PREDICATE_TYPE:
        raise _NotASignatureError(f"The predicate of the signature is not {PREDICATE_TYPE}.")
    resources = statement.predicate.get("resources")
    if not isinstance(resources, list) or len(resources) != 1 or not isinstance(resources[0], Mapping):
        raise _NotASignatureError("The signature is not over one file; a version is one file, so sign that file.")
    resource = resources[0]
    if resource.get("algorithm") != SHA256 or not isinstance(resource.get("digest"), str):
        raise _NotASignatureError("The signature names the file by another digest than SHA-256.")
    if f"sha256:{resource['digest']}" != artifact_digest:
        raise _NotASignatureError(
            f"The signature is over sha256:{resource['digest'][:64]}; the file that came has {artifact_digest}."
        )
    root = hashlib.sha256(bytes.fromhex(resource["digest"])).hexdigest()
    if len(statement.subjects) != 1 or not statement.has_subject(f"sha256:{root}"):
        raise _NotASignatureError("The subject of the signature is not the digest of the file that it lists.")
