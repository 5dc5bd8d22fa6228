"""What a cleaning did, before and after side by side; rows that left can be put back from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString

from governance import permissions
from governance.exceptions import InvalidInput
from governance.models import DatasetVersion
from governance.permissions import Action
from governance.presentation.numbers import is_number, share
from governance.presentation.small import compared_histograms
from governance.views.jobs import progress_context
from governance.views.page import find, verb
from validators.cleaned_rows import Lines, changed_cells, removed_rows
from validators.models import Cleaning, Restoration, Validation
from validators.services import cleanings, restorations
from validators.views.columns import figure

LINES_ON_PAGE = 20
#: Columns that are drawn before the others are left to the pages of both versions.
MOST_COLUMNS = 40
#: Cells of a row that left that stand in the table; the file has all.
MOST_CELLS = 12
MOST = 20
#: Actions by which rows leave, in the order in which they are told.
REMOVALS = ("quarantine", "drop", "dedupe")


@dataclass(frozen=True)
class ColumnBeforeAfter:
    """A column of the version that was cleaned beside the same column of the clean one."""

    name: str
    cells: int
    drawings: tuple[SafeString, SafeString]
    missing: tuple[str, str]
    middle: tuple[str, str]
    lowest: tuple[str, str]
    highest: tuple[str, str]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        return [self.missing, self.middle, self.lowest, self.highest]


@dataclass(frozen=True)
class Part:
    """Some lines of a file, and where the lines before and behind them stand."""

    lines: list[dict[str, Any]]
    first: int
    previous: str
    next: str


def section(version: DatasetVersion, request: HttpRequest) -> dict[str, Any]:
    """Return what the page of a version says of the cleaning that made it, or of rows that were put back into it."""
    restoration = (
        Restoration.objects.filter(restored_to=version)
        .select_related("cleaning__cleaned_to__dataset", "base__dataset", "created_by")
        .first()
    )
    cleaning = (
        Cleaning.objects.filter(cleaned_to=version)
        .select_related(
            "suite", "quarantine", "changes", "flags", "report_file", "dataset__dataset", "job", "created_by"
        )
        .first()
    )
    if cleaning is None:
        return {"restoration": restoration}
    report = cleaning.report
    by_action = report.get("rows_by_action", {})
    step, column = _number(request, "step"), request.GET.get("column") or None
    made = list(cleaning.restorations.select_related("restored_to__dataset", "job__created_by", "created_by")[:MOST])
    replays = list(cleaning.replays.select_related("job__created_by", "created_by")[:MOST])
    jobs = [*(entry.job for entry in made), *(entry.job for entry in replays)]
    columns = _columns(cleaning, version)
    return {
        "restoration": restoration,
        "cleaning": cleaning,
        "report": report,
        "by_action": [(action, by_action[action]) for action in REMOVALS if by_action.get(action)],
        "steps": report.get("steps", []),
        "rules": [rule for rule in report.get("rules", []) if _is_told(rule)],
        "not_met": report.get("rules_not_met") or _rules_not_met(cleaning, version),
        "columns": columns[:MOST_COLUMNS],
        "columns_left_out": max(0, len(columns) - MOST_COLUMNS),
        "step": step,
        "column": column,
        "removed": _removed(cleaning, request, step),
        "changed": _changed(cleaning, request, step, column),
        "restored": restorations.restored_rows(cleaning),
        "restorations": made,
        "replays": replays,
        "running": [progress_context(job, request) for job in jobs if not job.is_finished],
        "restore_refusal": permissions.refusal(request.user, Action.RESTORE_ROWS, cleaning),
        "replay_refusal": permissions.refusal(request.user, Action.REPLAY_CLEANING, cleaning),
    }


@verb
def cleaning_restore(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Put back the rows that are ticked on the page."""
    cleaning = _cleaning(pk)
    rows = request.POST.getlist("rows")
    if not all(row.isascii() and row.isdigit() for row in rows):
        raise InvalidInput("Rows are named by their numbers.")
    made = restorations.restore_rows(
        cleaning=cleaning,
        rows=[int(row) for row in rows],
        reason=request.POST.get("reason", ""),
        by=cast(User, request.user),
    )
    messages.success(request, f"{str(made).capitalize()} is queued; it makes a new version, which has to be validated.")
    return _back_to(cleaning)


@verb
def cleaning_replay(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Run the pinned plan again."""
    cleaning = _cleaning(pk)
    replay = cleanings.replay_cleaning(cleaning=cleaning, by=cast(User, request.user))
    messages.success(request, f"{str(replay).capitalize()} is queued; it says whether the digest is the same.")
    return _back_to(cleaning)


def _cleaning(pk: int) -> Cleaning:
    queryset = Cleaning.objects.select_related("dataset__dataset__owner", "cleaned_to__dataset", "suite", "quarantine")
    return find(queryset, f"There is no cleaning {pk}.", pk=pk)


def _back_to(cleaning: Cleaning) -> HttpResponse:
    version = cleaning.cleaned_to or cleaning.dataset
    return redirect(reverse("dataset-version", args=[version.dataset.name, version.number]) + "#cleaning")


def _is_told(rule: Mapping[str, Any]) -> bool:
    """Say whether a rule is worth a line: one that was met before and after is not."""
    return any(rule[side]["status"] != "passed" for side in ("before", "after"))


def _rules_not_met(cleaning: Cleaning, version: DatasetVersion) -> dict[str, int | None]:
    """Return how many rules the last validations of both versions found not met, where the cleaning ran none."""
    found: dict[str, int | None] = {}
    for side, dataset in (("before", cleaning.dataset), ("after", version)):
        last = Validation.objects.filter(dataset=dataset, success__isnull=False).order_by("-pk").first()
        found[side] = None if last is None else sum(result["status"] != "passed" for result in last.results)
    return found


def _columns(cleaning: Cleaning, version: DatasetVersion) -> list[ColumnBeforeAfter]:
    """Return the columns that are not as they were, those with most changed cells first."""
    before, after = cleaning.dataset.profile or {}, version.profile or {}
    cells: Mapping[str, int] = cleaning.report.get("columns", {})
    names = [name for name in after if name in before and (name in cells or before[name] != after[name])]
    names.sort(key=lambda name: -cells.get(name, 0))
    counts = (cleaning.dataset.row_count, version.row_count)
    return [_column(name, cells.get(name, 0), (before[name], after[name]), counts) for name in names]


def _column(
    name: str,
    cells: int,
    profiles: tuple[Mapping[str, Any], Mapping[str, Any]],
    row_counts: tuple[int | None, int | None],
) -> ColumnBeforeAfter:
    before, after = profiles

    def both(write: Any) -> tuple[str, str]:
        return write(before), write(after)

    def missing(profile: Mapping[str, Any], row_count: int | None) -> str:
        count = profile.get("missing")
        return share(count / row_count) if row_count and is_number(count) and count is not None else ""

    return ColumnBeforeAfter(
        name=name,
        cells=cells,
        drawings=compared_histograms(before, after),
        missing=(missing(before, row_counts[0]), missing(after, row_counts[1])),
        middle=both(lambda profile: _figure(profile.get("median"), profile.get("most_frequent"))),
        lowest=both(lambda profile: _figure(profile.get("lowest"))),
        highest=both(lambda profile: _figure(profile.get("highest"))),
    )


def _figure(*values: Any) -> str:
    """Write the first value that is there."""
    value = next((value for value in values if value is not None), None)
    return figure(value)


def _removed(cleaning: Cleaning, request: HttpRequest, step: int | None) -> Part:
    offset = _number(request, "removed") or 0
    lines = removed_rows(cleaning, step=step, offset=offset, limit=LINES_ON_PAGE)
    for line in lines.lines:
        line["cells"] = list(line["values"].items())[:MOST_CELLS]
    return _part(request, "removed", offset, lines)


def _changed(cleaning: Cleaning, request: HttpRequest, step: int | None, column: str | None) -> Part:
    offset = _number(request, "changed") or 0
    return _part(
        request,
        "changed",
        offset,
        changed_cells(cleaning, step=step, column=column, offset=offset, limit=LINES_ON_PAGE),
    )


def _part(request: HttpRequest, name: str, offset: int, lines: Lines) -> Part:
    asked = {key: request.GET[key] for key in ("step", "column", "removed", "changed") if request.GET.get(key)}

    def address(start: int) -> str:
        return f"?{urlencode({**asked, name: start})}#{name}"

    return Part(
        lines=lines.lines,
        first=offset,
        previous=address(max(0, offset - LINES_ON_PAGE)) if offset else "",
        next=address(offset + LINES_ON_PAGE) if lines.has_more else "",
    )


def _number(request: HttpRequest, name: str) -> int | None:
    """Return a number that the address names; what is none counts as not given."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 15 else None
