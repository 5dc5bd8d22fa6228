"""One unit of compute; the row is also its entry in the queue."""

from __future__ import annotations

from typing import Self

from django.conf import settings
from django.db import models


class JobState(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    SUCCEEDED = "succeeded", "succeeded"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "cancelled"
    TIMED_OUT = "timed_out", "timed out"
    LOST = "lost", "lost"


class JobQuerySet(models.QuerySet["Job"]):
    """Which jobs; how they move from state to state stands in ``governance.queue``."""

    def queued(self) -> Self:
        return self.filter(state=JobState.QUEUED)

    def running(self) -> Self:
        return self.filter(state=JobState.RUNNING)

    def unfinished(self) -> Self:
        return self.filter(state__in=[JobState.QUEUED, JobState.RUNNING])


class Job(models.Model):
    """One unit of compute: what to do, where it stands, who holds it, and what came of it.

    ::

        queued -> running -> succeeded | failed | cancelled | timed_out
           |         \\-> queued again (lease ran out, attempt + 1) -> lost (no attempts left)
           \\-> cancelled

    ``attempt`` fences: whoever changes a running job names the attempt that it claimed.
    """

    kind = models.CharField(max_length=50)
    state = models.CharField(max_length=20, choices=JobState, default=JobState.QUEUED)
    spec = models.JSONField(help_text="parameters, inputs by digest, seed, limits")
    spec_digest = models.CharField(max_length=71)
    subject = models.CharField(max_length=200, blank=True, help_text="what it works on, as people write it")
    device_kind = models.CharField(max_length=10, default="cpu", help_text="cpu or cuda")
    device_count = models.PositiveSmallIntegerField(default=1)
    attempt = models.PositiveSmallIntegerField(default=0)
    max_attempts = models.PositiveSmallIntegerField(default=3)
    worker = models.CharField(max_length=200, blank=True)
    devices = models.JSONField(default=list, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    progress = models.JSONField(default=dict, blank=True, help_text="done, total, unit, message")
    progress_at = models.DateTimeField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True, help_text="code, detail, place, errored")
    result_digest = models.CharField(max_length=71, blank=True)
    environment = models.JSONField(default=dict, blank=True)
    timings = models.JSONField(default=dict, blank=True, help_text="seconds a phase")
    peak_memory_bytes = models.PositiveBigIntegerField(null=True, blank=True)
    log = models.ForeignKey("governance.StoredFile", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="jobs")
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = JobQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "id"], name="job_queue"),
            models.Index(fields=["state", "lease_until"], name="job_leases"),
        ]

    def __str__(self) -> str:
        return f"job {self.pk}: {self.kind}"

    @property
    def is_finished(self) -> bool:
        return self.state not in (JobState.QUEUED, JobState.RUNNING)
