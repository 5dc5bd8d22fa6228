"""A logical data set and its immutable versions."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from governance.models.registered_model import name_validator
from workers.datasets.schema import Schema


class Dataset(models.Model):
    """A logical data set: what it describes and who answers for it."""

    name = models.CharField(max_length=100, unique=True, validators=[name_validator])
    description = models.TextField(blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="owned_datasets")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class DatasetState(models.TextChoices):
    IMPORTING = "importing", "importing"
    READY = "ready", "ready"
    REJECTED = "rejected", "rejected"


class DatasetVersion(models.Model):
    """One content of a data set.

    ::

        importing -> ready | rejected

    ``upload`` is the file that came, ``table`` the canonical Parquet that jobs read, ``content_digest`` the digest of
    the rows whatever file they came in: claims are bound to it. ``tree`` (JSON) is what that digest is made of.
    """

    dataset = models.ForeignKey(Dataset, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=DatasetState, default=DatasetState.IMPORTING)
    state_reason = models.TextField(blank=True)
    filename = models.CharField(
        max_length=255, blank=True, help_text="the name that the upload had; never used as a path"
    )
    upload = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    table = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    tree = models.ForeignKey(
        "governance.StoredFile",
        on_delete=models.PROTECT,
        related_name="+",
        null=True,
        blank=True,
        help_text="the digest of each 65,536 rows of each column, which tells where two versions differ",
    )
    content_digest = models.CharField(max_length=71, blank=True, db_index=True)
    stated_schema = models.JSONField(null=True, blank=True)
    schema = models.JSONField(null=True, blank=True)
    row_count = models.PositiveBigIntegerField(null=True, blank=True)
    profile = models.JSONField(default=dict, blank=True, help_text="column name -> what stands in it")
    media = models.JSONField(default=dict, blank=True, help_text="image or text column -> rows of it that a page shows")
    cleaned_from = models.ForeignKey("self", on_delete=models.PROTECT, related_name="cleaned_to", null=True, blank=True)
    split_from = models.ForeignKey("self", on_delete=models.PROTECT, related_name="split_to", null=True, blank=True)
    job = models.ForeignKey("governance.Job", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["dataset__name", "-number"]
        constraints = [models.UniqueConstraint(fields=["dataset", "number"], name="one_version_of_a_number_a_dataset")]

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        return f"{self.dataset.name}/{self.number}"

    @property
    def digest(self) -> str:
        return self.content_digest

    @property
    def made_from(self) -> DatasetVersion | None:
        """The version that this one was cleaned or split from."""
        return self.cleaned_from or self.split_from

    def read_schema(self) -> Schema | None:
        return None if self.schema is None else Schema.from_json(self.schema)
