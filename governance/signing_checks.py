"""System checks of the keys: whether statements are signed here, and whose model signatures are accepted."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from governance.exceptions import IntegrityFailure
from governance.services import model_signatures, signing_keys


@register("governance")
def signing_key_is_usable(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:  # noqa: ARG001 - the signature of a check
    """There is a key to sign with; it is one, and nobody else on the machine can read it."""
    if not signing_keys.is_configured():
        return [
            Warning(
                "This installation has no signing key, so nothing that it makes final gets a signed statement.",
                hint="`manage.py create_signing_key` makes one; `serve` does so at its first start.",
                id="governance.W020",
            )
        ]
    try:
        signing_keys.private_key()
    except IntegrityFailure as error:
        return [Error(error.detail, hint="Restore the key from a backup, or rotate it.", id="governance.E020")]
    path = settings.ASSAY_SIGNING_KEY_FILE
    if not settings.ASSAY_SIGNING_KEY and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return [
            Error(
                f"Others than its owner may use the signing key {path}.",
                hint="Give the file the mode 0600; rotate the key if somebody may have read it.",
                id="governance.E021",
            )
        ]
    return []


@register("governance")
def model_signing_keys_are_readable(app_configs: Sequence[AppConfig] | None, **options: Any) -> list[CheckMessage]:  # noqa: ARG001 - the signature of a check
    """Every public key that uploads are held against can be read."""
    try:
        model_signatures.accepted_keys()
    except IntegrityFailure as error:
        return [
            Error(
                error.detail,
                hint="Name a folder of public keys (PEM), or a file of them.",
                id="governance.E022",
            )
        ]
    return []
