"""The digests that senders state in headers, checked against what arrives.

``Content-Digest`` and ``Repr-Digest`` (RFC 9530) are about the whole body of a request, ``Upload-Checksum`` (tus 1.0)
about one piece of an upload.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping

from governance.exceptions import InvalidHeader

#: RFC 9530 calls only these two secure.
BODY_ALGORITHMS = ("sha-256", "sha-512")

#: What ``Upload-Checksum`` may name; tus demands sha1.
CHECKSUM_ALGORITHMS = ("sha256", "sha1", "sha512")

_MEMBER = re.compile(r"\s*([a-z0-9-]{1,40})=:([A-Za-z0-9+/=]{1,120}):\s*")
_CHECKSUM = re.compile(r"([a-z0-9]{1,20}) ([A-Za-z0-9+/=]{1,120})")


class StatedDigest:
    """One digest that a sender stated, and the digest of what came so far."""

    def __init__(self, *, header: str, algorithm: str, expected: bytes) -> None:
        self.header = header
        self.expected = expected
        self._hasher = hashlib.new(algorithm.replace("-", ""), usedforsecurity=False)
        if len(expected) != self._hasher.digest_size:
            raise InvalidHeader(
                f"{header} states {len(expected)} bytes for {algorithm}, which has {self._hasher.digest_size}."
            )

    def update(self, chunk: bytes) -> None:
        self._hasher.update(chunk)

    @property
    def holds(self) -> bool:
        return self._hasher.digest() == self.expected


def of_body(headers: Mapping[str, str]) -> list[StatedDigest]:
    """Return the digests of the body that ``Content-Digest`` and ``Repr-Digest`` state.

    Both are the same for a request, whose body has no content coding. Algorithms that RFC 9530 calls broken are passed
    over, as it allows; a header with no other is refused, since nothing would be checked then.
    """
    return [digest for header in ("Content-Digest", "Repr-Digest") for digest in _stated(header, headers.get(header))]


def of_checksum(value: str | None) -> StatedDigest | None:
    """Return the digest that an ``Upload-Checksum`` states: algorithm, space, base64."""
    if value is None:
        return None
    found = _CHECKSUM.fullmatch(value)
    if found is None or found[1] not in CHECKSUM_ALGORITHMS:
        raise InvalidHeader(
            f"Upload-Checksum is an algorithm ({', '.join(CHECKSUM_ALGORITHMS)}), a space, and the digest in base64."
        )
    expected = _bytes_of("Upload-Checksum", found[2])
    return StatedDigest(header="Upload-Checksum", algorithm=found[1], expected=expected)


def _stated(header: str, value: str | None) -> list[StatedDigest]:
    if value is None:
        return []
    members = [_MEMBER.fullmatch(member) for member in value.split(",")]
    known = [found for found in members if found is not None and found[1] in BODY_ALGORITHMS]
    if not known or None in members:
        raise InvalidHeader(f"{header} is {' or '.join(f'{name}=:BASE64:' for name in BODY_ALGORITHMS)} (RFC 9530).")
    return [StatedDigest(header=header, algorithm=found[1], expected=_bytes_of(header, found[2])) for found in known]


def _bytes_of(header: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise InvalidHeader(f"The digest in {header} is not base64: {error}.") from error
