"""DSSE envelopes: a payload with its type, and signatures over both.

Source: secure-systems-lab/dsse, protocol 1.0.2 and envelope 1.0.0.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

from workers.provenance.keys import PublicKey, SigningKey

IN_TOTO = "application/vnd.in-toto+json"

#: A statement names digests; evidence itself is in files.
MAX_PAYLOAD_BYTES = 4 * 1024 * 1024
MAX_SIGNATURES = 16
_MAX_SIGNATURE_BYTES = 1024


class EnvelopeError(ValueError):
    """The document is no envelope; the sentence says why."""


@dataclass(frozen=True)
class Signature:
    """One signature, with the id that its maker gave the key; empty where none was given."""

    key_id: str
    value: bytes


@dataclass(frozen=True)
class Envelope:
    """A payload as bytes, and who signed it."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def sign(cls, payload: bytes, key: SigningKey, *, payload_type: str = IN_TOTO) -> Self:
        value = key.sign(encoded(payload_type, payload))
        return cls(payload_type, payload, (Signature(key.public.id, value),))

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read an envelope strictly: the three fields and no other, canonical base64, at least one signature.

        Raises:
            EnvelopeError: it is not one.
        """
        if not isinstance(document, Mapping) or set(document) != {"payload", "payloadType", "signatures"}:
            raise EnvelopeError("An envelope is an object of payload, payloadType and signatures.")
        signatures = document["signatures"]
        if not isinstance(document["payloadType"], str) or not isinstance(signatures, list):
            raise EnvelopeError("The payloadType of an envelope is a text, its signatures are a list.")
        if not 1 <= len(signatures) <= MAX_SIGNATURES:
            raise EnvelopeError(f"An envelope has 1 to {MAX_SIGNATURES} signatures; this has {len(signatures)}.")
        return cls(
            payload_type=document["payloadType"],
            payload=_decoded(document["payload"], "payload", MAX_PAYLOAD_BYTES),
            signatures=tuple(_signature(entry) for entry in signatures),
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "payloadType": self.payload_type,
            "payload": base64.b64encode(self.payload).decode(),
            "signatures": [
                {"keyid": signature.key_id, "sig": base64.b64encode(signature.value).decode()}
                for signature in self.signatures
            ],
        }

    def signers(self, keys: Iterable[PublicKey]) -> list[PublicKey]:
        """Return those of some keys that signed this envelope; what a signature says of its key decides nothing."""
        message = encoded(self.payload_type, self.payload)
        return [key for key in keys if any(key.verifies(entry.value, message) for entry in self.signatures)]


def encoded(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: type and payload, each with its length (the pre-authentication encoding)."""
    kind = payload_type.encode()
    return b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload))


def _signature(document: Any) -> Signature:
    if not isinstance(document, Mapping) or not {"sig"} <= set(document) <= {"sig", "keyid"}:
        raise EnvelopeError("A signature of an envelope is an object of sig and keyid.")
    key_id = document.get("keyid", "")
    if not isinstance(key_id, str) or len(key_id) > 200:
        raise EnvelopeError("The keyid of a signature is a text of at most 200 characters.")
    return Signature(key_id, _decoded(document["sig"], "sig", _MAX_SIGNATURE_BYTES))


def _decoded(value: Any, name: str, limit: int) -> bytes:
    if not isinstance(value, str):
        raise EnvelopeError(f"The {name} of an envelope is a text in base64.")
    if len(value) > (limit + 2) // 3 * 4:
        raise EnvelopeError(f"The {name} of the envelope is longer than {limit:,} bytes.")
    try:
        content = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        content = None
    # Two texts that decode to the same bytes would be two envelopes with one signature.
    if content is None or base64.b64encode(content).decode() != value:
        raise EnvelopeError(f"The {name} of the envelope is not canonical base64.")
    return content
