"""The public keys of this installation."""

from __future__ import annotations

from django.db import models


class InstallationKey(models.Model):
    """The public half of a key that signs, or signed, statements; the private half is never in the database.

    A retired key signs nothing more and still verifies what it signed. ``id`` is the SHA-256, in hex, of the public
    key's DER.
    """

    id = models.CharField(max_length=64, primary_key=True)
    public_key = models.TextField(help_text="SubjectPublicKeyInfo as PEM")
    created_at = models.DateTimeField()
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "id"]

    def __str__(self) -> str:
        return self.id
