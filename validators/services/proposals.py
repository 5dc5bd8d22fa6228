"""Ask for a suite, decide on what is suggested, and make a suite of what was accepted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from governance import permissions
from governance.exceptions import InvalidInput, StateConflict
from governance.models import DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs
from governance.services.subjects import dataset_input
from validators.engine.suites import SEVERITIES, columns_of
from validators.models import ExpectationSuite, SuiteProposal
from validators.services import suites

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DECISIONS = ("accept", "drop", "edit")
_DECISION_KEYS = frozenset({"id", "decision", "kwargs", "severity", "mostly"})


def request_proposal(*, dataset: DatasetVersion, by: User) -> SuiteProposal:
    """Start a job that suggests a suite for a data set version."""
    permissions.require(by, Action.CREATE_SUITE)
    with transaction.atomic():
        job = jobs.submit(
            kind="suggestion",
            parameters={"schema": dataset.schema},
            inputs={"dataset": dataset_input(dataset)},
            subject=dataset.ref,
            by=by,
        )
        proposal = SuiteProposal.objects.create(
            dataset=dataset, dataset_digest=dataset.content_digest, job=job, created_by=by
        )
        events.record(name="proposal.requested", subject=dataset.ref, by=by, detail={"proposal": proposal.pk})
    return proposal


def record_proposal(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:  # noqa: ARG001
    """Keep what the job suggests; runs in the transaction that ends the job."""
    proposal = SuiteProposal.objects.select_related("dataset__dataset").get(job=job)
    proposal.suggestions = value["suggestions"]
    proposal.suggestion_count = len(value["suggestions"])
    proposal.measured = {name: value[name] for name in ("rows", "fit_rows", "holdout_rows", "proposed")}
    proposal.save()
    events.record(
        name="proposal.ended",
        subject=proposal.dataset.ref,
        by=job.created_by,
        detail={"proposal": proposal.pk, "suggestions": proposal.suggestion_count},
    )


def decide_on_suggestions(*, proposal: SuiteProposal, decisions: Sequence[Any], by: User) -> SuiteProposal:
    """Keep decisions on some suggestions; they become a suite when the proposal is accepted.

    Raises:
        InvalidInput: with one error a decision that names no suggestion, or edits what may not be edited.
        StateConflict: the proposal has no suggestions yet, or was accepted.
    """
    permissions.require(by, Action.CREATE_SUITE)
    with transaction.atomic():
        locked = _open_proposal(proposal)
        decided = _checked(locked, decisions)
        locked.decisions = {**locked.decisions, **decided}
        locked.save(update_fields=["decisions"])
        events.record(
            name="proposal.decided",
            subject=locked.dataset.ref,
            by=by,
            detail={"proposal": locked.pk, **_counts(decided)},
        )
    return locked


def accept_proposal(
    *, proposal: SuiteProposal, name: str, by: User, decisions: Sequence[Any] = (), others: str = "accept"
) -> ExpectationSuite:
    """Make the next number of a suite of what is accepted or edited; a proposal is accepted once.

    Args:
        decisions: join those that were kept before, and go before them.
        others: ``accept`` or ``drop``, for suggestions that nobody decided on.

    Raises:
        InvalidInput: a decision is wrong, nothing is left, or the suite would not be a valid one.
        StateConflict: the proposal has no suggestions yet, or was accepted.
    """
    permissions.require(by, Action.CREATE_SUITE)
    if others not in ("accept", "drop"):
        raise InvalidInput("`others` is accept or drop.", errors=[{"place": "others", "detail": f"It is {others!r}."}])
    with transaction.atomic():
        locked = _open_proposal(proposal)
        locked.decisions = {**locked.decisions, **_checked(locked, decisions)}
        if others == "drop":
            undecided = [entry["id"] for entry in locked.suggestions if entry["id"] not in locked.decisions]
            locked.decisions |= {identity: {"decision": "drop"} for identity in undecided}
        expectations = _expectations(locked)
        if not expectations:
            raise InvalidInput("Every suggestion was dropped; a suite has at least one expectation.")
        document = {
            "expectations": expectations,
            "meta": {"proposal": locked.pk, "dataset": locked.dataset.ref, "digest": locked.dataset_digest},
        }
        suite = suites.create_suite(name=name, document=document, by=by)
        locked.suite, locked.accepted_by = suite, by
        locked.save(update_fields=["decisions", "suite", "accepted_by"])
        events.record(
            name="proposal.accepted",
            subject=locked.dataset.ref,
            by=by,
            detail={
                "proposal": locked.pk,
                "suite": suite.ref,
                "suggestions": locked.suggestion_count,
                "rules": len(expectations),
            },
        )
    return suite


def rule_of(suggestion: Mapping[str, Any], decision: Mapping[str, Any]) -> dict[str, Any]:
    """Return a suggestion as an expectation of a suite, with what was decided; an edited one gets another id."""
    rule = {name: suggestion[name] for name in ("id", "type", "kwargs", "severity", "meta")}
    rule["notes"] = suggestion["why"]
    if decision["decision"] != "edit":
        return rule
    kwargs = decision.get("kwargs", rule["kwargs"])
    if kwargs != rule["kwargs"]:
        rule.pop("id")
    return {**rule, "kwargs": kwargs, "severity": decision.get("severity", rule["severity"])}


def _open_proposal(proposal: SuiteProposal) -> SuiteProposal:
    """Return the proposal, locked, when it can be decided on."""
    locked = (
        SuiteProposal.objects.select_for_update(of=("self",))
        .select_related("dataset__dataset", "job", "suite")
        .get(pk=proposal.pk)
    )
    if locked.suite is not None:
        raise StateConflict(f"Proposal {locked.pk} was accepted as {locked.suite.ref}; ask for another proposal.")
    if not locked.is_ready:
        raise StateConflict(
            f"Proposal {locked.pk} has no suggestions: its job {locked.job_id} is {locked.job.get_state_display()}."
        )
    return locked


def _expectations(proposal: SuiteProposal) -> list[dict[str, Any]]:
    decided = [(entry, proposal.decision_on(entry["id"])) for entry in proposal.suggestions]
    return [rule_of(entry, decision) for entry, decision in decided if decision["decision"] != "drop"]


def _checked(proposal: SuiteProposal, decisions: Sequence[Any]) -> dict[str, dict[str, Any]]:
    """Return the decisions by the id of their suggestion; what is wrong with them is told all at once."""
    suggestions = {entry["id"]: entry for entry in proposal.suggestions}
    found: dict[str, dict[str, Any]] = {}
    errors = []
    for place, decision in enumerate(decisions):
        problem = _problem_of(decision, suggestions)
        if problem:
            errors.append({"place": f"decisions[{place}]", "detail": problem})
        else:
            found[decision["id"]] = _kept(decision, suggestions[decision["id"]])
    if errors:
        count = f"{len(errors)} decision{'s' * (len(errors) != 1)} cannot be kept"
        raise InvalidInput(f"{count}; the first: {errors[0]['detail']}", errors=errors)
    return found


def _problem_of(decision: Any, suggestions: Mapping[str, Mapping[str, Any]]) -> str | None:
    if not isinstance(decision, Mapping) or not isinstance(decision.get("id"), str):
        return "A decision is an object with the `id` of a suggestion and a `decision`."
    unknown = set(decision) - _DECISION_KEYS
    if unknown:
        return f"A decision has no key {sorted(unknown)[0]!r}; known are {', '.join(sorted(_DECISION_KEYS))}."
    suggestion = suggestions.get(decision["id"])
    if suggestion is None:
        return f"There is no suggestion {decision['id']!r} in this proposal."
    if decision.get("decision") not in DECISIONS:
        return f"`decision` is one of {', '.join(DECISIONS)}."
    if decision["decision"] != "edit":
        edits = sorted({"kwargs", "severity", "mostly"} & set(decision))
        return f"`{edits[0]}` goes with the decision edit." if edits else None
    return _problem_of_edit(decision, suggestion)


def _problem_of_edit(decision: Mapping[str, Any], suggestion: Mapping[str, Any]) -> str | None:
    kwargs, mostly = decision.get("kwargs", suggestion["kwargs"]), decision.get("mostly", 1)
    if not isinstance(kwargs, Mapping):
        return "`kwargs` is an object."
    if columns_of(kwargs) != columns_of(suggestion["kwargs"]):
        return f"An edit changes what is expected of {', '.join(columns_of(suggestion['kwargs']))}, not the columns."
    if decision.get("severity", SEVERITIES[0]) not in SEVERITIES:
        return f"`severity` is one of {', '.join(SEVERITIES)}, not {decision['severity']!r}."
    if isinstance(mostly, bool) or not isinstance(mostly, int | float) or not 0 < mostly <= 1:
        return "`mostly` is a number above 0 and at most 1."
    low, high = kwargs.get("min_value"), kwargs.get("max_value")
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        return f"`min_value` ({low}) is above `max_value` ({high})."
    return None


def _kept(decision: Mapping[str, Any], suggestion: Mapping[str, Any]) -> dict[str, Any]:
    """Return a decision as it is kept: an edit with all its arguments, ``mostly`` among them."""
    if decision["decision"] != "edit":
        return {"decision": decision["decision"]}
    kwargs = dict(decision.get("kwargs", suggestion["kwargs"]))
    if "mostly" in decision:
        kwargs["mostly"] = decision["mostly"]
    if kwargs.get("mostly") == 1:
        del kwargs["mostly"]
    return {
        "decision": "edit",
        "kwargs": kwargs,
        "severity": decision.get("severity", suggestion["severity"]),
    }


def _counts(decided: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    return {word: sum(entry["decision"] == word for entry in decided.values()) for word in DECISIONS}
