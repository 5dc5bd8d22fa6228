"""Key pairs: an installation signs with Ed25519; signatures of others may also be of a NIST curve."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

#: No key of these kinds is longer, with its header and some room.
MAX_KEY_BYTES = 4096

_HASH_OF_CURVE: dict[str, hashes.HashAlgorithm] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
    "secp521r1": hashes.SHA512(),
}


class KeyFormatError(ValueError):
    """The content is no key that Assay works with; the sentence says why."""


@dataclass(frozen=True)
class PublicKey:
    """A public key by its content.

    Attributes:
        pem: its SubjectPublicKeyInfo as PEM, in the one form that ``cryptography`` writes.
    """

    pem: str

    @classmethod
    def read(cls, content: bytes | str) -> Self:
        """Read a PEM file that holds one public key: Ed25519, or EC on P-256, P-384 or P-521.

        Raises:
            KeyFormatError: it is not one, or holds something else beside it.
        """
        raw = content.encode() if isinstance(content, str) else content
        if len(raw) > MAX_KEY_BYTES:
            raise KeyFormatError(f"A public key has at most {MAX_KEY_BYTES:,} bytes; this has {len(raw):,}.")
        if raw.count(b"-----BEGIN ") != 1 or not raw.strip().startswith(b"-----BEGIN PUBLIC KEY-----"):
            raise KeyFormatError("This is not one PEM block of the kind PUBLIC KEY.")
        try:
            key = serialization.load_pem_public_key(raw)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyFormatError(f"This PEM block holds no public key: {error}.") from error
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name not in _HASH_OF_CURVE:
            raise KeyFormatError(f"The curve {key.curve.name} is not taken; P-256, P-384 and P-521 are.")
        if not isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
            raise KeyFormatError("This is neither an Ed25519 key nor one of a NIST curve.")
        return cls(_pem_of(key))

    @cached_property
    def id(self) -> str:
        """SHA-256, in hex, of the DER of the SubjectPublicKeyInfo."""
        der = self._key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(der).hexdigest()

    @property
    def pem_digest(self) -> str:
        """SHA-256, in hex, of the PEM text: what OpenSSF model signatures hint at their key with."""
        return hashlib.sha256(self.pem.encode()).hexdigest()

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Tell whether a signature over a message was made with the private half of this key."""
        try:
            if isinstance(self._key, ed25519.Ed25519PublicKey):
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, ec.ECDSA(_HASH_OF_CURVE[self._key.curve.name]))
        except InvalidSignature:
            return False
        return True

    @cached_property
    def _key(self) -> ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey:
        key = serialization.load_pem_public_key(self.pem.encode())
        assert isinstance(key, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey)
        return key


class SigningKey:
    """The private key of an installation (Ed25519); its text representation never shows it."""

    def __init__(self, key: ed25519.Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> Self:
        return cls(ed25519.Ed25519PrivateKey.generate())

    @classmethod
    def read(cls, content: bytes | str) -> Self:
        """Read an unencrypted PKCS #8 PEM file.

        Raises:
            KeyFormatError: it holds no such key; the sentence repeats nothing of the content.
        """
        raw = content.encode() if isinstance(content, str) else content
        try:
            key = serialization.load_pem_private_key(raw, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The cause would carry pieces of the content into a log.
            raise KeyFormatError("This is not an unencrypted private key as PEM (PKCS #8).") from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise KeyFormatError("The signing key of an installation is an Ed25519 key; this is another kind.")
        return cls(key)

    def to_pem(self) -> bytes:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @cached_property
    def public(self) -> PublicKey:
        return PublicKey(_pem_of(self._key.public_key()))

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


def _pem_of(key: ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey) -> str:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
