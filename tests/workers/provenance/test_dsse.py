"""Envelopes: what others sign we verify, what we sign others verify, and nothing else is one."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope as PeerEnvelope
from securesystemslib.signer import CryptoSigner, SSlibKey

from workers.provenance.dsse import IN_TOTO, MAX_PAYLOAD_BYTES, MAX_SIGNATURES, Envelope, EnvelopeError, encoded
from workers.provenance.keys import PublicKey, SigningKey

KEY = SigningKey.generate()


def document(**changes) -> dict:
    return {**Envelope.sign(b'{"a": 1}', KEY).to_json(), **changes}


def test_the_encoding_is_that_of_the_specification():
    assert encoded("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@given(kind=st.text(max_size=20), payload=st.binary(max_size=40))
def test_the_encoding_is_that_of_a_peer(kind, payload):
    assert encoded(kind, payload) == PeerEnvelope(payload, kind, {}).pae()


def test_a_peer_verifies_what_we_sign():
    envelope = Envelope.sign(b"payload", KEY)
    peer_key = SSlibKey.from_crypto(serialization.load_pem_public_key(KEY.public.pem.encode()), keyid=KEY.public.id)

    verified = PeerEnvelope.from_dict(envelope.to_json()).verify([peer_key], threshold=1)

    assert list(verified) == [KEY.public.id]


@pytest.mark.parametrize("make", [Ed25519PrivateKey.generate, lambda: generate_private_key(SECP256R1())])
def test_we_verify_what_a_peer_signs(make):
    private = make()
    peer = PeerEnvelope(b"payload", IN_TOTO, {})
    peer.sign(CryptoSigner(private))
    key = PublicKey.read(
        private.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )

    envelope = Envelope.from_json(peer.to_dict())

    assert envelope.payload == b"payload"
    assert envelope.signers([KEY.public, key]) == [key]


def test_an_envelope_comes_back_from_its_json():
    envelope = Envelope.sign(b"payload", KEY)

    assert Envelope.from_json(envelope.to_json()) == envelope


def test_what_a_signature_says_of_its_key_decides_nothing():
    other = SigningKey.generate()
    signed = document()
    signed["signatures"][0]["keyid"] = other.public.id

    assert Envelope.from_json(signed).signers([other.public, KEY.public]) == [KEY.public]


@pytest.mark.parametrize(
    "changed", [{"payload": "eyJhIjogMn0="}, {"payloadType": "application/json"}], ids=["payload", "type"]
)
def test_a_change_takes_the_signer_away(changed):
    assert Envelope.from_json(document()).signers([KEY.public]) == [KEY.public]
    assert Envelope.from_json(document(**changed)).signers([KEY.public]) == []


@pytest.mark.parametrize(
    "broken",
    [
        None,
        [],
        {},
        document(extra=1),
        document(payload=7),
        document(payload="eyJhIjogMX0"),
        document(payload="eyJhIjogMX1="),
        document(payload="eyJhIjog MX0="),
        document(payload="A" * (MAX_PAYLOAD_BYTES * 4 // 3 + 8)),
        document(payloadType=None),
        document(signatures=[]),
        document(signatures={}),
        document(signatures=["x"]),
        document(signatures=[{"keyid": "k"}]),
        document(signatures=[{"sig": "AAAA", "keyid": 3}]),
        document(signatures=[{"sig": "A" * 4000, "keyid": ""}]),
        document(signatures=[{"sig": "AAAA", "keyid": "", "cert": ""}]),
        document(signatures=[{"sig": "AAAA"}] * (MAX_SIGNATURES + 1)),
    ],
)
def test_what_is_no_envelope_is_refused(broken):
    with pytest.raises(EnvelopeError):
        Envelope.from_json(broken)
