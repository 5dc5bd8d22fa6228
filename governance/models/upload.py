"""A file that arrives in pieces."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone


class UploadState(models.TextChoices):
    OPEN = "open", "open"
    COMPLETE = "complete", "complete"
    USED = "used", "used"


class UploadQuerySet(models.QuerySet["Upload"]):
    """Which uploads."""

    def of(self, user_id: int | None) -> Self:
        return self.filter(owner_id=user_id)

    def unused(self) -> Self:
        """Return those whose bytes are kept for their sender: not whole yet, or not a version yet."""
        return self.filter(state__in=[UploadState.OPEN, UploadState.COMPLETE])

    def expired(self) -> Self:
        return self.unused().filter(expires_at__lte=timezone.now())


class Upload(models.Model):
    """A file that arrives in pieces (tus 1.0) until it is whole, and then becomes a version, once.

    ::

        open -> complete -> used
          \\-------\\-> deleted, with its bytes: terminated by its owner, or swept once it has expired

    ``offset_bytes`` counts bytes that are on the disk for good; the file may have more, which are dropped before
    anything is appended (``governance.partial``). ``digest`` is that of the whole file, read back from the disk.
    """

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="uploads")
    state = models.CharField(max_length=20, choices=UploadState, default=UploadState.OPEN)
    length_bytes = models.PositiveBigIntegerField()
    offset_bytes = models.PositiveBigIntegerField(default=0)
    filename = models.CharField(max_length=255, blank=True, help_text="as its sender named it; never used as a path")
    metadata = models.TextField(blank=True, help_text="the Upload-Metadata header, as it came")
    expected_digest = models.CharField(max_length=71, blank=True, help_text="what the sender said it would be")
    digest = models.CharField(max_length=71, blank=True)
    used_for = models.CharField(max_length=200, blank=True, help_text="the version that was made of it")
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(help_text="when an upload that is not used is removed")

    objects = UploadQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["state", "expires_at"], name="upload_expiry")]

    def __str__(self) -> str:
        return f"upload {self.pk}"

    @property
    def is_expired(self) -> bool:
        return self.state != UploadState.USED and self.expires_at <= timezone.now()
