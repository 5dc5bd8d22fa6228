"""Keys: read strictly, named by their content, and never shown."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from workers.provenance.keys import MAX_KEY_BYTES, KeyFormatError, PublicKey, SigningKey

PEM = serialization.Encoding.PEM
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo


def private_pem(key) -> bytes:
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def test_what_one_key_signs_no_other_verifies():
    key, other = SigningKey.generate(), SigningKey.generate()
    signature = key.sign(b"message")

    assert key.public.verifies(signature, b"message")
    assert not key.public.verifies(signature, b"massage")
    assert not other.public.verifies(signature, b"message")


def test_a_key_comes_back_from_its_file():
    key = SigningKey.generate()

    assert SigningKey.read(key.to_pem()).public == key.public
    assert PublicKey.read(key.public.pem) == key.public


def test_the_id_is_the_digest_of_the_public_key_as_der():
    raw = ed25519.Ed25519PrivateKey.generate().public_key()

    key = PublicKey.read(raw.public_bytes(PEM, SPKI))

    assert key.id == hashlib.sha256(raw.public_bytes(serialization.Encoding.DER, SPKI)).hexdigest()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_the_nist_curves_are_read(curve):
    key = ec.generate_private_key(curve).public_key()

    assert PublicKey.read(key.public_bytes(PEM, SPKI)).pem == key.public_bytes(PEM, SPKI).decode()


def test_a_private_key_is_not_shown_by_its_text():
    key = SigningKey.generate()
    secret = key.to_pem().decode().splitlines()[1]

    assert secret not in repr(key) + str(vars(key))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no key",
        b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
        ec.generate_private_key(ec.SECP256K1()).public_key().public_bytes(PEM, SPKI),
        rsa.generate_private_key(65537, 2048).public_key().public_bytes(PEM, SPKI),
        private_pem(ed25519.Ed25519PrivateKey.generate()),
        SigningKey.generate().public.pem.encode() * 2,
        b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ\n" + SigningKey.generate().public.pem.encode(),
        SigningKey.generate().public.pem.encode() + b" " * MAX_KEY_BYTES,
    ],
    ids=["empty", "text", "not a key", "another curve", "rsa", "private", "two keys", "data before", "too long"],
)
def test_what_is_no_public_key_is_refused(content):
    with pytest.raises(KeyFormatError):
        PublicKey.read(content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"TOPSECRET",
        private_pem(ec.generate_private_key(ec.SECP256R1())),
        SigningKey.generate().public.pem.encode(),
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"password")
        ),
    ],
    ids=["empty", "text", "another kind", "public", "encrypted"],
)
def test_what_is_no_signing_key_is_refused_without_repeating_it(content):
    with pytest.raises(KeyFormatError) as caught:
        SigningKey.read(content)

    assert "TOPSECRET" not in str(caught.value)
    assert caught.value.__cause__ is None
