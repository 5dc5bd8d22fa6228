"""The headers of tus 1.0 (https://tus.io/protocols/resumable-upload), read strictly."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass

from governance.digests import CHECKSUM_ALGORITHMS
from governance.exceptions import AssayError, InvalidHeader

VERSION = "1.0.0"
EXTENSIONS = ("creation", "creation-with-upload", "checksum", "expiration", "termination")
PIECE_TYPE = "application/offset+octet-stream"

#: A file name and a digest take a few hundred.
_LONGEST_METADATA = 4096

_COUNT = re.compile(r"[0-9]{1,18}")
_KEY = re.compile(r"[!-+\--~]{1,100}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class UnsupportedVersion(AssayError):
    code = "unsupported_version"
    status = 412
    title = "This server speaks another version of the protocol."


class WrongContentType(AssayError):
    code = "unsupported_media_type"
    status = 415
    title = "This address does not take content of this type."


class LengthRequired(AssayError):
    code = "length_required"
    status = 411
    title = "The request does not say how long its body is."


@dataclass(frozen=True)
class Metadata:
    """What ``Upload-Metadata`` says of a file: as it came, and what we read of it."""

    text: str = ""
    filename: str = ""
    digest: str = ""


def capabilities(*, max_bytes: int) -> dict[str, str]:
    """Return the headers by which a server tells what it can do."""
    return {
        "Tus-Version": VERSION,
        "Tus-Extension": ",".join(EXTENSIONS),
        "Tus-Max-Size": str(max_bytes),
        "Tus-Checksum-Algorithm": ",".join(CHECKSUM_ALGORITHMS),
    }


def demand_version(headers: Mapping[str, str]) -> None:
    """Raise UnsupportedVersion unless the request speaks the version of this server."""
    version = headers.get("Tus-Resumable")
    if version != VERSION:
        said = "names no version" if version is None else f"speaks version {version[:20]!r}"
        raise UnsupportedVersion(f"The request {said}; send the header Tus-Resumable: {VERSION}.")


def demand_piece(headers: Mapping[str, str]) -> int:
    """Return how many bytes of an upload a body has.

    Raises:
        LengthRequired: it comes in chunks of the transfer coding, so that only its end would tell.
        WrongContentType: it is something else than a piece of an upload.
    """
    if "Transfer-Encoding" in headers:
        raise LengthRequired("Send the piece with a Content-Length, not in chunks.")
    content_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type != PIECE_TYPE:
        raise WrongContentType(f"A piece of an upload is of the type {PIECE_TYPE}, not {content_type or 'none'!r}.")
    return read_count(headers, "Content-Length") if headers.get("Content-Length") else 0


def has_body(headers: Mapping[str, str]) -> bool:
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "") not in ("", "0")


def read_count(headers: Mapping[str, str], name: str) -> int:
    """Return the number of bytes that a header states."""
    text = headers.get(name, "")
    if not _COUNT.fullmatch(text):
        said = f"is {text[:40]!r}" if text else "is missing"
        raise InvalidHeader(f"The header {name} {said}; it is a number of bytes, in digits alone.")
    return int(text)


def read_metadata(headers: Mapping[str, str]) -> Metadata:
    """Return what ``Upload-Metadata`` says: pairs of a key and a value in base64, with commas between.

    ``filename`` names the file; ``sha256`` (hexadecimal) or ``digest`` (``sha256:...``) says what it will be. Other
    keys are kept and told back.
    """
    text = headers.get("Upload-Metadata", "")
    if not text:
        return Metadata()
    if len(text) > _LONGEST_METADATA:
        raise InvalidHeader(f"Upload-Metadata has {len(text):,} characters; it may have {_LONGEST_METADATA:,}.")
    values: dict[str, str] = {}
    for pair in text.split(","):
        key, _, encoded = pair.strip(" ").partition(" ")
        if not _KEY.fullmatch(key) or key in values:
            raise InvalidHeader(f"Upload-Metadata has the key {key[:40]!r}, which is not ASCII, empty or there twice.")
        values[key] = _decoded(key, encoded)
    stated = {f"sha256:{values['sha256']}".lower()} if "sha256" in values else set()
    stated |= {values["digest"]} if "digest" in values else set()
    if len(stated) > 1 or not all(_DIGEST.fullmatch(digest) for digest in stated):
        raise InvalidHeader(
            "The digest in Upload-Metadata is sha256:<64 lower-case hexadecimal digits> under the key digest, or the "
            "digits alone under the key sha256, and the same where both are there."
        )
    return Metadata(text=text, filename=values.get("filename", ""), digest="".join(stated))


def _decoded(key: str, encoded: str) -> str:
    try:
        text = base64.b64decode(encoded, validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise InvalidHeader(f"The value of {key[:40]!r} in Upload-Metadata is not UTF-8 text in base64.") from error
    return text
