"""Pages about versions of data: split one, compare two, say what no file says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from governance import permissions, references
from governance.exceptions import InvalidInput
from governance.models import Dataset, DatasetState, DatasetVersion
from governance.permissions import Action
from governance.views.jobs import progress_context
from governance.views.page import draw, find, page, verb
from validators.datasheets import SECTIONS, Question
from validators.models import Comparison, Split
from validators.services import comparisons, datasheets, splits
from workers.datasets.schema import SPLITS

MOST = 20
#: Columns of a comparison that are listed before the others are left to the file.
MOST_COLUMNS = 200
MOST_PLACES = 24
MOST_CLASSES = 8
#: Rows under one leaf of a digest tree; the compute half has it in ``workers.datasets.canonical``, with Arrow.
CHUNK_ROWS = 65_536


@dataclass(frozen=True)
class ColumnDifference:
    """One column of two versions, as the table of a comparison shows it."""

    name: str
    status: str
    words: str
    cells: int
    before: dict[str, Any]
    after: dict[str, Any]
    distance: dict[str, Any] | None

    @property
    def word(self) -> str:
        """Say that a column changed only where a cell of it did, or it is spread otherwise than chance has it."""
        is_alike = self.status == "changed" and not self.cells and not self.is_beyond_chance
        return "alike" if is_alike else self.status

    @property
    def is_beyond_chance(self) -> bool:
        return self.distance is not None and self.distance["value"] > self.distance["chance"]


def section(version: DatasetVersion, request: HttpRequest) -> dict[str, Any]:
    """Return what the page of a version says of its parts and of other versions."""
    made_by = Split.objects.filter(split_to=version).select_related("dataset__dataset", "created_by").first()
    started = Split.objects.filter(dataset=version).select_related("split_to__dataset", "job__created_by")
    compared = Comparison.objects.filter(after=version).select_related("before__dataset", "job__created_by")
    others = DatasetVersion.objects.filter(dataset=version.dataset, state=DatasetState.READY).exclude(pk=version.pk)
    schema = version.read_schema()
    return {
        "split": made_by,
        **_parts_of(made_by),
        "splits": list(started[:MOST]),
        "comparisons": list(compared[:MOST]),
        "comparable": list(others.select_related("dataset").order_by("-number")[:MOST]),
        "columns": list(schema.columns) if schema else [],
        "parts": SPLITS,
        "choices": [("by", "by the hash of"), ("group", "keeping together equal"), ("time", "by the time in")],
        "split_refusal": permissions.refusal(request.user, Action.REQUEST_SPLIT, version),
        "comparison_refusal": permissions.refusal(request.user, Action.REQUEST_COMPARISON, version),
        "is_ready": version.state == DatasetState.READY,
    }


@verb
def version_split(request: HttpRequest, *, name: str, number: int) -> HttpResponse:
    """Start a split by the form of the page."""
    dataset = references.dataset_version(f"{name}/{number}")
    split = splits.request_split(dataset=dataset, plan=_plan_of(request), by=cast(User, request.user))
    messages.success(request, f"Split {split.pk} of {dataset.ref} is queued; it makes a new version.")
    return redirect("dataset-version", name=name, number=number)


@verb
def version_compare(request: HttpRequest, *, name: str, number: int) -> HttpResponse:
    """Start a comparison by the form of the page."""
    before = references.dataset_version(request.POST.get("before", ""))
    after = references.dataset_version(f"{name}/{number}")
    made = comparisons.request_comparison(before=before, after=after, by=cast(User, request.user))
    return redirect("comparison", pk=made.pk)


@page
def comparison(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show how two versions differ."""
    found = find(
        Comparison.objects.select_related(
            "before__dataset", "after__dataset", "differences", "job__created_by", "created_by"
        ),
        f"There is no comparison {pk}.",
        pk=pk,
    )
    differences = columns_of(found)
    return draw(
        request,
        "validators/comparison.html",
        {
            "comparison": found,
            "columns": differences[:MOST_COLUMNS],
            "more_columns": max(0, len(differences) - MOST_COLUMNS),
            "places": [
                (place["column"], None if place["chunk"] is None else place["chunk"] * CHUNK_ROWS)
                for place in found.result.get("places", [])[:MOST_PLACES]
            ],
            "more_places": max(0, found.result.get("place_count", 0) - MOST_PLACES),
            "same": sum(column.word in ("same", "alike") for column in differences),
            "running": None if found.job.is_finished else progress_context(found.job, request),
            "failed": progress_context(found.job, request) if found.job.is_finished and not found.result else None,
        },
        section="data",
    )


def columns_of(found: Comparison) -> list[ColumnDifference]:
    """Return the columns of both versions, those that differ first, with what stood and stands in them."""
    columns = [
        ColumnDifference(
            name=entry["name"],
            status=entry["status"],
            words=_words(entry),
            cells=entry["cells_changed"],
            before=found.before.profile.get(entry["name"]) or {},
            after=found.after.profile.get(entry["name"]) or {},
            distance=entry["distance"],
        )
        for entry in found.result.get("columns", [])
    ]
    return sorted(columns, key=lambda column: (column.word in ("same", "alike"), -column.cells))


@page
def datasheet(request: HttpRequest, *, name: str) -> HttpResponse:
    """Show the datasheet of a data set, as a form to who may write it."""
    dataset = find(Dataset.objects.select_related("owner"), f"There is no data set {name}.", name=name)
    newest = datasheets.newest_datasheet(dataset)
    answers = {} if newest is None else newest.answers
    return draw(
        request,
        "validators/datasheet.html",
        {
            "dataset": dataset,
            "datasheet": newest,
            "sections": [(part.title, _answered(part.questions, answers)) for part in SECTIONS],
            "answered": len(answers),
            "asked": sum(len(part.questions) for part in SECTIONS),
            "refusal": permissions.refusal(request.user, Action.WRITE_DATASHEET, dataset),
        },
        section="data",
    )


@verb
def datasheet_write(request: HttpRequest, *, name: str) -> HttpResponse:
    """Keep what the form of a datasheet says."""
    dataset = find(Dataset.objects.select_related("owner"), f"There is no data set {name}.", name=name)
    answers = {question.key: request.POST.get(question.key, "") for part in SECTIONS for question in part.questions}
    written = datasheets.write_datasheet(dataset=dataset, answers=answers, by=cast(User, request.user))
    messages.success(request, f"{str(written).capitalize()} is kept, with {len(written.answers)} answers.")
    return redirect(f"{reverse('datasheet', args=[name])}")


def _parts_of(split: Split | None) -> dict[str, Any]:
    """Return the parts of a split with the shares of the target's first classes in each."""
    if split is None:
        return {"classes": [], "split_parts": []}
    classes = ((split.report.get("target") or {}).get("classes") or [])[:MOST_CLASSES]
    return {
        "classes": ["missing" if entry["value"] is None else entry["value"] for entry in classes],
        "split_parts": [
            (part, [entry["shares"].get(part["part"]) for entry in classes]) for part in split.report.get("parts", [])
        ],
    }


def _answered(questions: Sequence[Question], answers: dict[str, str]) -> list[tuple[Question, str]]:
    return [(question, answers.get(question.key, "")) for question in questions]


def _plan_of(request: HttpRequest) -> dict[str, Any]:
    """Return the plan that the form states: shares in percent, and columns where they are chosen."""
    fractions = {}
    for part in SPLITS:
        text = request.POST.get(part, "").strip().removesuffix("%").replace(",", ".")
        if text:
            try:
                share = float(text) / 100
            except ValueError:
                raise InvalidInput(f"The share of {part}, {text!r}, is no number of percent.") from None
            if share:
                fractions[part] = share
    plan: dict[str, Any] = {"fractions": fractions, "salt": request.POST.get("salt", "")}
    for word in ("by", "group", "time"):
        if request.POST.get(word):
            plan[word] = request.POST[word]
    return plan


def _words(entry: dict[str, Any]) -> str:
    before, after = entry["before"], entry["after"]
    if before is None or after is None:
        here = before or after or {}
        return f"{here.get('role', '')}, {here.get('type', '')}"
    changes = [
        f"{word} {before[word]} to {after[word]}"
        for word in ("role", "type", "stored_as")
        if before[word] != after[word]
    ]
    return "; ".join(changes) or f"{after['role']}, {after['type']}"
