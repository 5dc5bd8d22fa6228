"""How the installation stands: the sandbox here and at each worker, what waits, how much room is left."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

from governance.models import Job
from workers import sandbox
from workers.protocol import JobError
from workers.sandbox import Layers

#: Workers that ended a job longest ago are left out; a worker that is started again is another one.
MOST_WORKERS = 20


@dataclass(frozen=True)
class LayerState:
    """One layer as people read it: what it is for, whether it is there, and what it is here."""

    name: str
    purpose: str
    is_there: bool
    said: str


@dataclass(frozen=True)
class SandboxState:
    """A sandbox, layer by layer, and whether it is enough to load uploads in."""

    may_load_uploads: bool
    layers: list[LayerState]


@dataclass(frozen=True)
class WorkerState:
    """What the newest ended job of a worker said about its sandbox."""

    worker: str
    job: int
    ended_at: datetime
    sandbox: SandboxState

    @property
    def missing(self) -> list[str]:
        return [layer.name for layer in self.sandbox.layers if not layer.is_there]


@dataclass(frozen=True)
class QueueState:
    """How much waits and runs, and for how long the oldest waiting job has done so."""

    queued_count: int
    running_count: int
    oldest_queued_seconds: float | None


@dataclass(frozen=True)
class StoreState:
    """The room on the disk of the store."""

    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Health:
    """Everything of it; ``choice`` is how the installation wants children to be started."""

    choice: str
    sandbox: SandboxState
    workers: list[WorkerState]
    queue: QueueState
    store: StoreState


def look() -> Health:
    """Return how the installation stands now; it neither walks the event chain nor reads the store."""
    here = state_of(sandbox.probe(settings.ASSAY_SANDBOX))
    return Health(
        choice=settings.ASSAY_SANDBOX,
        sandbox=replace(here, layers=[*here.layers, _cards(sandbox.Driver())]),
        workers=_workers(),
        queue=_queue(),
        store=_store(),
    )


def state_of(layers: Layers) -> SandboxState:
    """Put the layers of a sandbox into words."""
    version = f"version {layers.bubblewrap}" if layers.bubblewrap else ""
    interface = f"interface {layers.landlock}" if layers.landlock else ""
    rows = (
        ("bubblewrap", "no file, process or mount but its own is there at all", bool(layers.bubblewrap), version),
        ("namespaces", "nobody to reach: no network", "net" in layers.namespaces, ", ".join(layers.namespaces)),
        (
            "Landlock",
            "writes in its job folder only, reads no home, no store, no other job",
            layers.landlock > 0,
            interface,
        ),
        ("seccomp", "no socket, no way into the kernel; on a CPU no process and no program", layers.seccomp, ""),
        ("no new privileges", "a set-uid program gives nothing back", layers.no_new_privileges, ""),
        ("no capabilities", "nothing of root's power is left", layers.no_capabilities, ""),
        ("read-only inputs", "what its digest was checked of stays as it is", layers.read_only_inputs, ""),
        ("limits", "memory, processor time, file size, threads, open files", layers.limits, ""),
        ("dies with its worker", "no job outlives the worker that holds it", layers.parent_death, ""),
    )
    return SandboxState(may_load_uploads=layers.may_load_uploads, layers=[LayerState(*row) for row in rows])


def _cards(driver: sandbox.Driver) -> LayerState:
    """Return whether a job on a GPU of this machine can be kept to its own cards."""
    try:
        cards = driver.cards()
        driver.assigned(card.device for card in cards)
        is_told, said = True, ", ".join(f"{card.device} is {card.device_file}" for card in cards) or "none here"
    except JobError as error:
        is_told, said = False, error.detail
    return LayerState("own GPUs only", "on a GPU, opens the device files of its own cards and no others", is_told, said)


def _workers() -> list[WorkerState]:
    ended = Job.objects.filter(finished_at__isnull=False, environment__has_key="sandbox").exclude(worker="")
    newest = ended.order_by().values("worker").annotate(newest=Max("pk")).order_by("-newest")[:MOST_WORKERS]
    jobs = Job.objects.filter(pk__in=[row["newest"] for row in newest]).only("worker", "environment", "finished_at")
    return [
        WorkerState(
            worker=job.worker,
            job=job.pk,
            ended_at=job.finished_at,
            # A child wrote it: read as a stranger's.
            sandbox=state_of(Layers.from_json(job.environment["sandbox"])),
        )
        for job in jobs.order_by("-pk")
        if job.finished_at is not None
    ]


def _queue() -> QueueState:
    oldest = Job.objects.queued().order_by("created_at").values_list("created_at", flat=True).first()
    return QueueState(
        queued_count=Job.objects.queued().count(),
        running_count=Job.objects.running().count(),
        oldest_queued_seconds=None if oldest is None else max(0.0, (timezone.now() - oldest).total_seconds()),
    )


def _store() -> StoreState:
    folder = Path(settings.ASSAY_STORE_FOLDER)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    usage = shutil.disk_usage(folder)
    return StoreState(free_bytes=usage.free, total_bytes=usage.total)
