"""A request that a version get an alias, its evidence and the decisions on it."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class ReviewState(models.TextChoices):
    OPEN = "open", "open"
    APPROVED = "approved", "approved"
    REJECTED = "rejected", "rejected"
    CHANGES_REQUESTED = "changes_requested", "changes requested"
    VOID = "void", "void"


class Review(models.Model):
    """A request that a version get an alias.

    ::

        open -> approved | rejected | changes_requested | void
        approved -> void (cited evidence is no longer true)

    The alias moves in the transaction of the last approval that the policy asks for.
    """

    version = models.ForeignKey("governance.ModelVersion", on_delete=models.PROTECT, related_name="reviews")
    alias = models.CharField(max_length=100)
    state = models.CharField(max_length=20, choices=ReviewState, default=ReviewState.OPEN)
    comment = models.TextField(blank=True)
    approvals_needed = models.PositiveSmallIntegerField(default=1)
    voided_because = models.TextField(blank=True)
    voided_at = models.DateTimeField(null=True, blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="requested_reviews"
    )
    requested_at = models.DateTimeField(auto_now_add=True)
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"review {self.pk}"


class Evidence(models.Model):
    """One thing that a review rests on, by kind, id and digest: it holds as long as the digest does.

    ``kind`` is ``validation``, ``evaluation``, ``explanation``, ``audit`` or ``training``; each app registers how
    its kind is looked up and re-checked (``governance.evidence``).
    """

    review = models.ForeignKey(Review, on_delete=models.CASCADE, related_name="evidence")
    kind = models.CharField(max_length=30)
    object_id = models.PositiveBigIntegerField()
    digest = models.CharField(max_length=71)

    class Meta:
        verbose_name_plural = "evidence"
        constraints = [
            models.UniqueConstraint(fields=["review", "kind", "object_id"], name="evidence_cited_once_a_review")
        ]

    def __str__(self) -> str:
        return f"{self.kind}:{self.object_id}"


class Decision(models.Model):
    """What one person decided on a review, and why: the human sign-off."""

    class Outcome(models.TextChoices):
        APPROVE = "approve", "approve"
        REJECT = "reject", "reject"
        REQUEST_CHANGES = "request_changes", "request changes"

    review = models.ForeignKey(Review, on_delete=models.PROTECT, related_name="decisions")
    outcome = models.CharField(max_length=20, choices=Outcome)
    comment = models.TextField()
    decided_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    decided_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["review", "decided_by"], name="one_decision_a_person_a_review")]

    def __str__(self) -> str:
        return f"{self.outcome} on review {self.review_id}"
