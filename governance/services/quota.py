"""How much of the store one person may hold, and holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.conf import settings
from django.contrib.auth.models import User as UserModel
from django.db.models import Q, QuerySet, Sum

from governance.exceptions import QuotaExceeded
from governance.models import DatasetVersion, ModelVersion, StoredFile, Upload

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def used_bytes(user: User) -> int:
    """Return what a person holds: the files of their versions, each content once, and uploads that are not used yet.

    Such an upload counts with the length that it is going to have: the room is promised.
    """
    versions = held_by(user).aggregate(total=Sum("size_bytes"))["total"] or 0
    uploads = Upload.objects.of(user.pk).unused().aggregate(total=Sum("length_bytes"))["total"] or 0
    return int(versions) + int(uploads)


def held_by(user: User) -> QuerySet[StoredFile]:
    """Return the contents that the model versions and data set versions of a person hold."""
    models = ModelVersion.objects.filter(created_by=user)
    datasets = DatasetVersion.objects.filter(created_by=user)
    return StoredFile.objects.filter(
        Q(pk__in=models.values("artifact"))
        | Q(pk__in=models.values("rewritten"))
        | Q(pk__in=datasets.values("upload"))
        | Q(pk__in=datasets.values("table"))
    )


def demand_room(*, by: User, size_bytes: int, digest: str = "") -> None:
    """Refuse what a person has no room for; content that the person holds already takes none.

    Raises:
        QuotaExceeded: with what is held, what would be added, and what to do.
    """
    quota = settings.ASSAY_UPLOAD_QUOTA_BYTES
    if not quota or (digest and held_by(by).filter(pk=digest).exists()):
        return
    used = used_bytes(by)
    if used + size_bytes > quota:
        raise QuotaExceeded(
            f"You hold {used:,} of the {quota:,} bytes that one person may, and this is {size_bytes:,} more. "
            "Terminate uploads that you do not go on with, or ask an administrator for a larger quota."
        )


def hold_still(user: User) -> None:
    """Have whoever else takes room for this person wait until this transaction ends."""
    UserModel.objects.select_for_update(no_key=True).get(pk=user.pk)
