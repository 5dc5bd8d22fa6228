"""Jobs: the list, one job live, its cancelling."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone

from governance import job_kinds, permissions
from governance.models import Job, JobState
from governance.permissions import Action
from governance.presentation.numbers import duration, is_number, number
from governance.services import jobs
from governance.views.page import draw, find, page, rows_of_page, verb

#: As much of the end of a log as a page shows; the file holds the rest.
LOG_TAIL_BYTES = 16 * 1024

#: What to try first, by the code of an error; other codes say it in their own sentence.
_FIRST_THING_TO_TRY = {
    "loss_not_finite": "A smaller learning rate, or fewer epochs, is the first thing to try.",
    "out_of_memory": "Fewer rows or a smaller batch is the first thing to try; the memory limit stands in the spec.",
    "label_outside_classes": "Check the class labels of the signature against the target column of the data set.",
    "timed_out": "Fewer rows or epochs would be the first thing to try, or ask for a longer limit.",
    "lost": "Start the same work again; if it is lost again, read the log of the worker.",
    "storage_full": "Free disk space at the store, then start the same work again.",
}


@dataclass(frozen=True)
class Standing:
    """How far a job is, in words that a page shows."""

    done: float
    total: float
    said: str
    share: str
    rate: str
    left: str
    so_far: str
    message: str
    label: str


def standing_of(job: Job, *, now: datetime | None = None) -> Standing:
    """Say how far a job is; a total of 0 means that nobody knows it."""
    now = now or timezone.now()
    progress = job.progress if isinstance(job.progress, dict) else {}
    done, total = _figure(progress.get("done")), _figure(progress.get("total"))
    unit = str(progress.get("unit") or "step")
    singular = unit.removesuffix("s")
    said = f"{singular} {number(done)} of {number(total)}" if total else f"{number(done)} {unit}" if done else ""
    end = job.finished_at or now
    seconds = (end - job.started_at).total_seconds() if job.started_at else 0.0
    rate = left = ""
    if job.state == JobState.RUNNING and done >= seconds > 0:
        rate = f"{number(round(done / seconds))} {unit} a second"
    if job.state == JobState.RUNNING and total and 0 < done < total:
        left = f"about {duration(seconds * (total - done) / done)} left"
    return Standing(
        done=done,
        total=total,
        said=said,
        share=f"{100 * done / total:.0f} %" if total else "",
        rate=rate,
        left=left,
        so_far=duration(seconds) if job.started_at else "",
        message=str(progress.get("message") or ""),
        label=f"{job.subject or job.kind}: {said or job.get_state_display()}",
    )


def first_thing_to_try(job: Job) -> str:
    """Return the first thing that somebody can do about a job that did not succeed."""
    error = job.error if isinstance(job.error, dict) else {}
    known = _FIRST_THING_TO_TRY.get(str(error.get("code", ""))) or _FIRST_THING_TO_TRY.get(job.state)
    if known:
        return known
    if job.state == JobState.CANCELLED:
        return "Start the same work again when it is wanted."
    if error.get("errored"):
        return "Read the end of the log; the same work with the same inputs would break in the same place."
    return "Change what the sentence names, then start the work again; nothing of this job was kept."


def progress_context(job: Job, request: HttpRequest) -> dict[str, Any]:
    """Return what the live part of a job needs, on its own page or inside another."""
    may_not = permissions.refusal(request.user, Action.CANCEL_JOB, job)
    return {
        "job": job,
        "standing": standing_of(job),
        "title": title_of(job),
        "try_first": first_thing_to_try(job) if job.is_finished and job.state != JobState.SUCCEEDED else "",
        "cancel_refusal": may_not,
        "is_brief": request.GET.get("brief") == "1",
        "next": request.GET.get("next", ""),
    }


def title_of(job: Job) -> str:
    """Return what a kind of job is called; a kind that no app registers any more keeps its name."""
    return job_kinds.get(job.kind).title if job.kind in job_kinds.names() else job.kind.replace("_", " ").capitalize()


@page
def job_list(request: HttpRequest) -> HttpResponse:
    """Show the jobs, newest first, of one state where the address names one."""
    state = request.GET.get("state", "")
    queryset = Job.objects.select_related("created_by")
    if state in JobState.values:
        queryset = queryset.filter(state=state)
    rows = rows_of_page(request, queryset)
    context = {
        "rows": rows,
        "standings": [(job, standing_of(job), title_of(job)) for job in rows],
        "state": state,
        "states": JobState.choices,
    }
    return draw(request, "governance/job_list.html", context, section="jobs")


@page
def job(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show one job: how far it is, what it says, what came of it, where it ran."""
    return draw(request, "governance/job.html", _whole(request, pk), section="jobs")


@page
def job_region(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Answer the polling of a job's live part; the answer to an ended job no longer polls."""
    if request.GET.get("brief") == "1":
        return draw(request, "governance/_job_brief.html", progress_context(_job(pk), request))
    return draw(request, "governance/_job_region.html", _whole(request, pk))


@verb
def job_cancel(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Ask that a job end."""
    cancelled = jobs.cancel(job=_job(pk), by=request.user)  # type: ignore[arg-type]  # signed in, see ``verb``
    messages.success(
        request,
        f"Job {cancelled.pk} is cancelled."
        if cancelled.is_finished
        else f"Job {cancelled.pk} was asked to end; its worker stops it within moments.",
    )
    return redirect("job", pk=pk)


def _whole(request: HttpRequest, pk: int) -> dict[str, Any]:
    found = _job(pk)
    log = jobs.read_log(job=found, tail_bytes=LOG_TAIL_BYTES)
    kind = job_kinds.get(found.kind) if found.kind in job_kinds.names() else None
    return {
        **progress_context(found, request),
        "leads_to": kind.leads_to(found) if kind is not None and kind.leads_to is not None else None,
        "log": log,
        "parameters_json": json.dumps(found.spec.get("parameters") or {}, indent=2, ensure_ascii=False),
        "phases": [(name, seconds) for name, seconds in _timings(found).items()],
    }


def _job(pk: int) -> Job:
    return find(Job.objects.select_related("created_by", "log"), f"There is no job {pk}.", pk=pk)


def _timings(job: Job) -> dict[str, Any]:
    return job.timings if isinstance(job.timings, dict) else {}


def _figure(value: Any) -> float:
    return float(value) if is_number(value) and value >= 0 else 0.0
