"""The signatures that uploaders make over their models, held against the keys that this installation accepts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings

from governance.exceptions import IntegrityFailure, InvalidInput
from governance.models import ModelVersion
from workers.protocol import canonical_json
from workers.provenance.keys import MAX_KEY_BYTES, KeyFormatError, PublicKey
from workers.provenance.model_signature import MAX_SIGNATURE_BYTES, Judgement, SignatureState, judge

_END_OF_KEY = "-----END PUBLIC KEY-----"
_MAX_KEYS = 100


def accepted_keys() -> list[PublicKey]:
    """Return the public keys of ``ASSAY_MODEL_SIGNING_KEYS``: every ``.pem`` and ``.pub`` of a folder, or one file.

    They are read anew each time, so that taking a key away takes its signatures away.

    Raises:
        IntegrityFailure: the place or a key in it cannot be read; leaving one out silently would hide a mistake.
    """
    if not settings.ASSAY_MODEL_SIGNING_KEYS:
        return []
    place = Path(settings.ASSAY_MODEL_SIGNING_KEYS)
    try:
        files = (
            sorted(path for path in place.iterdir() if path.suffix in (".pem", ".pub")) if place.is_dir() else [place]
        )
        return [key for path in files for key in _keys_of(path)]
    except OSError as error:
        raise IntegrityFailure(f"ASSAY_MODEL_SIGNING_KEYS is {place}, which cannot be read: {error}.") from error


def judge_upload(bundle: Any, *, digest: str) -> Judgement:
    """Judge the signature that came with an upload.

    Raises:
        InvalidInput: it is none, is over another file, or was changed.
    """
    if bundle is not None and len(canonical_json(bundle)) > MAX_SIGNATURE_BYTES:
        raise _invalid(f"It is longer than {MAX_SIGNATURE_BYTES:,} bytes.")
    judged = judge(bundle, artifact_digest=digest, keys=accepted_keys())
    if judged.state is SignatureState.INVALID:
        raise _invalid(judged.reason)
    return judged


def problem_of(version: ModelVersion) -> str | None:
    """Say why a version does not count as signed by a key that is accepted now; None when it does."""
    judged = judge(version.model_signature, artifact_digest=version.digest, keys=accepted_keys())
    if judged.state is SignatureState.VERIFIED:
        return None
    if judged.state is SignatureState.ABSENT:
        if version.retrained_from_id is not None:
            return f"{version.ref} was made here, so nobody has signed it; sign its file and upload both as a version."
        return f"{version.ref} came without a model signature."
    return f"The model signature of {version.ref} is not verified: {judged.reason}"


def _keys_of(path: Path) -> list[PublicKey]:
    """Read the keys of a file, one PEM block after the other."""
    with path.open("rb") as stream:
        content = stream.read(MAX_KEY_BYTES * _MAX_KEYS)
    *blocks, rest = content.decode("utf-8", "replace").split(_END_OF_KEY)
    try:
        if not blocks or rest.strip():
            raise KeyFormatError("It holds no public key as PEM, or something behind the last.")
        return [PublicKey.read(f"{block.strip()}\n{_END_OF_KEY}\n") for block in blocks]
    except KeyFormatError as error:
        raise IntegrityFailure(f"{path}, of ASSAY_MODEL_SIGNING_KEYS, cannot be used: {error}") from error


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput(
        f"The signature is not one of this file: {reason}", errors=[{"place": "model_signature", "detail": reason}]
    )
