"""Pages about suggested suites: ask for one, read its rules by column, decide, accept."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString

from governance import permissions, references
from governance.exceptions import InvalidInput
from governance.models import DatasetState, DatasetVersion
from governance.permissions import Action
from governance.presentation.numbers import share
from governance.views.jobs import progress_context
from governance.views.page import draw, find, page, verb
from validators.drawings import bounds_svg
from validators.engine.sentences import sentence_of
from validators.engine.suites import SEVERITIES
from validators.models import SuiteProposal
from validators.services import proposals

MOST = 20
#: Up to so many columns stand on one page, open; of more, one is opened at a time.
MOST_OPEN_COLUMNS = 40
#: Arguments that say which columns a rule is about, and how it is run: no bounds.
_NOT_EDITED = ("column", "column_A", "column_B", "column_list", "row_condition", "condition_parser", "ignore_row_if")
_TABLE = "the table"


@dataclass(frozen=True)
class Field:
    """One argument of a rule as a form edits it; ``name`` is that of the input."""

    key: str
    name: str
    value: str
    is_long: bool


@dataclass(frozen=True)
class RuleRow:
    """One suggestion as the page shows it, with what was decided."""

    identity: str
    decision: str
    severity: str
    sentence: str
    original: str
    why: str
    held: str
    figures: Sequence[tuple[str, str]]
    drawing: SafeString
    fields: Sequence[Field]


@dataclass(frozen=True)
class Group:
    """The suggestions about one column; ``place`` names it in the address."""

    place: int
    name: str
    is_table: bool
    counts: Sequence[tuple[str, int]]
    kept: int
    dropped: int
    edited: int
    rules: Sequence[RuleRow]

    @property
    def count(self) -> int:
        return self.kept + self.dropped


def section(version: DatasetVersion, request: HttpRequest) -> dict[str, Any]:
    """Return what the page of a version says of suggested suites."""
    found = SuiteProposal.objects.filter(dataset=version).select_related("suite", "job__created_by", "created_by")
    return {
        "proposals": list(found.defer("suggestions", "decisions")[:MOST]),
        "refusal": permissions.refusal(request.user, Action.CREATE_SUITE),
        "is_ready": version.state == DatasetState.READY,
    }


@verb
def version_suggest(request: HttpRequest, *, name: str, number: int) -> HttpResponse:
    """Ask for a suite by the form of the page."""
    dataset = references.dataset_version(f"{name}/{number}")
    made = proposals.request_proposal(dataset=dataset, by=cast(User, request.user))
    return redirect("proposal", pk=made.pk)


@page
def proposal(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Show what is suggested, a column after the other; of many columns, the one that the address names.

    ``?severity=`` leaves the rules of one severity, and the columns that have some.
    """
    found = _proposal(pk)
    columns = columns_of(found)
    few = len(columns) <= MOST_OPEN_COLUMNS
    chosen = request.GET.get("column", "")
    opened = range(len(columns)) if few else [int(chosen)] if chosen.isdecimal() and int(chosen) < len(columns) else [0]
    severity = request.GET.get("severity", "")
    severity = severity if severity in SEVERITIES else ""
    shown = [
        (place, name, [entry for entry in suggestions if severity in ("", _severity_of(found, entry))])
        for place, (name, suggestions) in enumerate(columns)
    ]
    every = [_severity_of(found, entry) for entry in found.suggestions]
    return draw(
        request,
        "validators/proposal.html",
        {
            "proposal": found,
            "version": found.dataset,
            "groups": [
                group_of(found, place, name, suggestions, is_open=place in opened)
                for place, name, suggestions in shown
                if suggestions
            ],
            "opened": set(opened),
            "severity": severity,
            "by_severity": [(word, every.count(word)) for word in SEVERITIES if word in every],
            "few": few,
            "severities": SEVERITIES,
            "tally": _tally(found),
            "refusal": permissions.refusal(request.user, Action.CREATE_SUITE),
            "can_decide": found.is_ready and found.suite is None,
            "progress": None if found.is_ready else progress_context(found.job, request),
            "suite_name": found.dataset.dataset.name,
        },
        section="data",
    )


@verb
def proposal_decide(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Keep the decisions of one column's form."""
    found = _proposal(pk)
    place = request.POST.get("column", "")
    columns = columns_of(found)
    if not place.isdecimal() or int(place) >= len(columns):
        raise InvalidInput("The form names no column of this proposal.")
    name, suggestions = columns[int(place)]
    # A page that leaves some rules out names those that it shows: what was not there was not unticked.
    shown = request.POST.getlist("shown") or [suggestion["id"] for suggestion in suggestions]
    decisions = [_decision_in(request.POST, suggestion) for suggestion in suggestions if suggestion["id"] in shown]
    proposals.decide_on_suggestions(proposal=found, decisions=decisions, by=cast(User, request.user))
    messages.success(request, f"What you decided on {name or _TABLE} is kept.")
    filtered = f"&severity={request.POST['severity']}" if request.POST.get("severity") in SEVERITIES else ""
    return redirect(f"{reverse('proposal', args=[pk])}?column={place}{filtered}#column-{place}")


@verb
def proposal_accept(request: HttpRequest, *, pk: int) -> HttpResponse:
    """Make a suite of what is not dropped."""
    suite = proposals.accept_proposal(
        proposal=_proposal(pk), name=request.POST.get("name", ""), by=cast(User, request.user)
    )
    messages.success(request, f"Suite {suite.ref} was made of {len(suite.document['expectations'])} rules.")
    return redirect("proposal", pk=pk)


def columns_of(found: SuiteProposal) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """Return the suggestions by column, in the order of the proposal: first those about the table."""
    grouped: dict[str, list[Mapping[str, Any]]] = {}
    for suggestion in found.suggestions:
        grouped.setdefault(suggestion["column"], []).append(suggestion)
    return list(grouped.items())


def group_of(
    found: SuiteProposal, place: int, name: str, suggestions: Sequence[Mapping[str, Any]], *, is_open: bool
) -> Group:
    """Return one column's group; its rules are put into words only where they are shown."""
    decisions = [found.decision_on(suggestion["id"]) for suggestion in suggestions]
    severities = [
        _severity_of(found, suggestion)
        for suggestion, decision in zip(suggestions, decisions, strict=True)
        if decision["decision"] != "drop"
    ]
    profile = found.dataset.profile.get(name) or {}
    return Group(
        place=place,
        name=name or _TABLE,
        is_table=not name,
        counts=[(severity, severities.count(severity)) for severity in SEVERITIES if severity in severities],
        kept=len(severities),
        dropped=sum(decision["decision"] == "drop" for decision in decisions),
        edited=sum(decision["decision"] == "edit" for decision in decisions),
        rules=[
            _rule(suggestion, decision, profile) for suggestion, decision in zip(suggestions, decisions, strict=True)
        ]
        if is_open
        else [],
    )


def _severity_of(found: SuiteProposal, suggestion: Mapping[str, Any]) -> str:
    """Return the severity that a rule would be accepted with."""
    return str(found.decision_on(suggestion["id"]).get("severity", suggestion["severity"]))


def _rule(suggestion: Mapping[str, Any], decision: Mapping[str, Any], profile: Mapping[str, Any]) -> RuleRow:
    kwargs = decision.get("kwargs", suggestion["kwargs"])
    sentence = sentence_of(suggestion["type"], kwargs)
    return RuleRow(
        identity=suggestion["id"],
        decision=decision["decision"],
        severity=decision.get("severity", suggestion["severity"]),
        sentence=sentence,
        original=suggestion["sentence"] if sentence != suggestion["sentence"] else "",
        why=suggestion["why"],
        held=_held(suggestion["evidence"]),
        figures=_figures(suggestion["evidence"]),
        drawing=bounds_svg(profile, kwargs) if suggestion["type"] in _DRAWN else SafeString(""),
        fields=_fields(suggestion, kwargs),
    )


#: Rules whose bounds lie on the axis of the column's values.
_DRAWN = (
    "expect_column_values_to_be_between",
    "expect_column_mean_to_be_between",
    "expect_column_values_to_be_in_set",
)


def _held(evidence: Mapping[str, Any]) -> str:
    """Say how the rule did on the rows that it was not made from."""
    others = evidence.get("holdout")
    if isinstance(others, Mapping):
        failed = f"{others['failed']:,} of " if others["failed"] else "none of "
        return f"{failed}{others['rows']:,} other rows failed it"
    if "repeated" in evidence or "against" in evidence:
        return "held on all rows"
    return "held on the other rows" if "holdout_quantiles" in evidence or "holdout_observed" in evidence else ""


def _figures(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the evidence in words and figures, for whoever wants to look closer."""
    return [(name.replace("_", " "), _figure(value)) for name, value in evidence.items()]


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {_figure(entry)}" for key, entry in value.items())
    if isinstance(value, list):
        return ", ".join(_figure(entry) for entry in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)


def _fields(suggestion: Mapping[str, Any], kwargs: Mapping[str, Any]) -> list[Field]:
    fields = []
    for key, value in kwargs.items():
        if key in _NOT_EDITED or key == "mostly":
            continue
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        fields.append(Field(key, f"{suggestion['id']}.{key}", text, is_long=len(text) > 24))
    if suggestion["column"] and not suggestion["type"].startswith(_WITHOUT_MOSTLY):
        fields.append(Field("mostly", f"{suggestion['id']}.mostly", json.dumps(kwargs.get("mostly", 1)), is_long=False))
    return fields


#: Rules about a column as a whole, which no share of its values can meet.
_WITHOUT_MOSTLY = (
    "expect_column_mean", "expect_column_quantile", "expect_column_unique_value_count", "expect_column_distinct",
    "expect_column_values_to_be_in_type_list", "expect_table",
)  # fmt: skip


def _decision_in(form: Mapping[str, str], suggestion: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a form says about one suggestion: dropped where its box is not ticked, edited where it differs."""
    identity = suggestion["id"]
    if f"{identity}.keep" not in form:
        return {"id": identity, "decision": "drop"}
    kwargs = dict(suggestion["kwargs"])
    for field in _fields(suggestion, kwargs):
        typed = form.get(field.name, field.value).strip()
        if typed != field.value:
            kwargs[field.key] = _typed(field, typed, kwargs.get(field.key))
    severity = form.get(f"{identity}.severity", suggestion["severity"])
    if kwargs == suggestion["kwargs"] and severity == suggestion["severity"]:
        return {"id": identity, "decision": "accept"}
    mostly = kwargs.pop("mostly", 1)
    return {"id": identity, "decision": "edit", "kwargs": kwargs, "severity": severity, "mostly": mostly}


def _typed(field: Field, typed: str, before: Any) -> Any:
    """Read what was typed for an argument: a text as it is where there was a text, else JSON."""
    if isinstance(before, str):
        return typed
    if not typed:
        return None
    try:
        return json.loads(typed)
    except ValueError:
        detail = f"{typed[:80]!r} is neither a number nor a list as JSON writes it."
        raise InvalidInput(
            f"`{field.key}` cannot be read: {detail}", errors=[{"place": field.key, "detail": detail}]
        ) from None


def _tally(found: SuiteProposal) -> dict[str, Any]:
    """Count what is suggested, kept, edited and dropped, and the share of rows that rules were tried on."""
    decisions = [found.decision_on(suggestion["id"])["decision"] for suggestion in found.suggestions]
    rows, others = found.measured.get("rows") or 0, found.measured.get("holdout_rows") or 0
    return {
        "suggested": len(decisions),
        "kept": len(decisions) - decisions.count("drop"),
        "edited": decisions.count("edit"),
        "dropped": decisions.count("drop"),
        "proposed": found.measured.get("proposed"),
        "rows": rows,
        "others": others,
        "share": share(others / rows) if rows else "",
    }


def _proposal(pk: int) -> SuiteProposal:
    return find(
        SuiteProposal.objects.select_related(
            "dataset__dataset__owner", "suite", "accepted_by", "job__created_by", "created_by"
        ),
        f"There is no proposal {pk}.",
        pk=pk,
    )
