"""Signed statements and public keys in the admin, for reading."""

from __future__ import annotations

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from governance.admin.base import ReadOnly, as_json
from governance.models import InstallationKey, SignedStatement
from governance.services import statements


@admin.register(SignedStatement)
class SignedStatementAdmin(ReadOnly[SignedStatement]):
    """Statements; one is made when its thing becomes final, and never changed."""

    list_display = ["id", "kind", "name", "predicate_type", "key_id", "created_at"]
    list_filter = ["kind"]
    search_fields = ["name", "subjects__digest"]
    readonly_when_kept = ["kind", "name", "predicate_type", "key", "holds", "envelope_shown", "created_at"]

    @admin.display(description="holds")
    def holds(self, signed: SignedStatement) -> str:
        problem = statements.problem_of(signed)
        return "yes: the signature is that of its key, and it names what the record has" if problem is None else problem

    @admin.display(description="envelope")
    def envelope_shown(self, signed: SignedStatement) -> SafeString:
        return as_json(signed.envelope)


@admin.register(InstallationKey)
class InstallationKeyAdmin(ReadOnly[InstallationKey]):
    """Public keys of this installation; `manage.py create_signing_key` makes and rotates them."""

    list_display = ["id", "created_at", "retired_at"]
    readonly_when_kept = ["id", "public_key_shown", "created_at", "retired_at"]

    @admin.display(description="public key")
    def public_key_shown(self, key: InstallationKey) -> SafeString:
        return format_html('<pre class="assay-json">{}</pre>', key.public_key)
