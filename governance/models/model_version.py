"""An immutable version of a model."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models

from workers.artifacts.formats import FORMATS
from workers.provenance.model_signature import SignatureState
from workers.recipe import Recipe
from workers.signature import Signature


class ModelVersionState(models.TextChoices):
    QUARANTINED = "quarantined", "quarantined"
    REGISTERED = "registered", "registered"
    REJECTED = "rejected", "rejected"


class ModelSignatureState(models.TextChoices):
    """What the uploader's own signature was worth when it came; an invalid one is refused with its upload."""

    ABSENT = SignatureState.ABSENT, "no signature"
    VERIFIED = SignatureState.VERIFIED, "verified"
    UNKNOWN_KEY = SignatureState.UNKNOWN_KEY, "signed by an unknown key"


class ModelVersion(models.Model):
    """What was uploaded or trained, by digest, and what the inspection made of it.

    ::

        quarantined -> registered | rejected

    An upload begins ``quarantined`` until its inspection job ends, and stays so while it has findings that somebody has
    to accept: the tier's policy, or an administrator, after whose word it is inspected once more. A package is then
    loaded by another job; ``said_by_code`` of the inspection names the fields that only its code can tell. ``artifact``
    is what came; ``rewritten`` is the canonical copy, the only one that is ever loaded. Content, signature and recipe
    never change once registered.
    """

    model = models.ForeignKey("governance.RegisteredModel", on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=ModelVersionState, default=ModelVersionState.QUARANTINED)
    state_reason = models.TextField(blank=True, help_text="why it was rejected or is quarantined")
    filename = models.CharField(max_length=255, help_text="the name that the upload had; never used as a path")
    artifact = models.ForeignKey("governance.StoredFile", on_delete=models.PROTECT, related_name="+")
    rewritten = models.ForeignKey(
        "governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    weights_digest = models.CharField(max_length=71, blank=True, help_text="canonical digest of weights and structure")
    framework = models.CharField(max_length=20, blank=True)
    format = models.CharField(max_length=20, blank=True)
    stated_signature = models.JSONField(null=True, blank=True, help_text="what the uploader said")
    stated_recipe = models.JSONField(null=True, blank=True)
    signature = models.JSONField(null=True, blank=True, help_text="what holds: from the artefact and the uploader")
    recipe = models.JSONField(null=True, blank=True)
    inspection = models.JSONField(
        default=dict, blank=True, help_text="verdict, findings, sources of a package, and who accepted what"
    )
    layers = models.JSONField(default=list, blank=True)
    parameter_count = models.PositiveBigIntegerField(null=True, blank=True)
    model_signature = models.JSONField(null=True, blank=True, help_text="the OpenSSF signature that came with it")
    model_signature_state = models.CharField(
        max_length=20, choices=ModelSignatureState, default=ModelSignatureState.ABSENT
    )
    model_signature_key_id = models.CharField(max_length=64, blank=True, help_text="the accepted key that verifies it")
    model_signature_reason = models.TextField(blank=True, help_text="why no accepted key verifies it")
    training_data = models.ForeignKey(
        "governance.DatasetVersion", on_delete=models.PROTECT, related_name="trained_versions", null=True, blank=True
    )
    retrained_from = models.ForeignKey(
        "self", on_delete=models.PROTECT, related_name="retrained_to", null=True, blank=True
    )
    job = models.ForeignKey("governance.Job", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["model__name", "-number"]
        constraints = [models.UniqueConstraint(fields=["model", "number"], name="one_version_of_a_number_a_model")]

    def __str__(self) -> str:
        return self.ref

    @property
    def ref(self) -> str:
        return f"{self.model.name}/{self.number}"

    @property
    def digest(self) -> str:
        """The digest that evidence is bound to: that of the uploaded or produced artefact."""
        return self.artifact_id

    @property
    def holds_model(self) -> bool:
        """Whether there is something to load; False for weights alone, which are kept and registered as such."""
        known = FORMATS.get(self.format)
        return known is None or known.holds_model

    @property
    def accepted(self) -> dict[str, Any]:
        """Which findings were accepted (``ids``), by which ``policy`` or ``by`` whom and for what ``reason``."""
        return dict(self.inspection.get("accepted") or {})

    def read_signature(self) -> Signature | None:
        return None if self.signature is None else Signature.from_json(self.signature)

    def read_recipe(self) -> Recipe | None:
        return None if self.recipe is None else Recipe.from_json(self.recipe)
