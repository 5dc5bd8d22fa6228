"""A file in the content-addressed store."""

from django.db import models


class StoredFile(models.Model):
    """One content in the store, named by its digest; the same bytes are one row and one file.

    Rows are never changed or deleted by the application.
    """

    digest = models.CharField(max_length=71, primary_key=True, help_text="sha256:<hex> of the bytes")
    size_bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.digest
