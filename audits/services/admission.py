"""What an explanation has to keep to: the bounds of the policy, locked when it is asked for, and held against later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from audits.engine.catalogue import ExplanationParameters
from audits.engine.measures import MEASURES, Bounds, BoundsError
from audits.engine.methods import METHODS
from audits.models import Explanation
from governance.exceptions import InvalidInput
from governance.models import ModelVersion, Policy
from governance.services import policies

#: The check that measures explanations within an audit.
ADMISSION_CHECK = "EXP-01"


def policy_of(version: ModelVersion) -> Policy | None:
    """Return the newest policy of a model's tier; without one the default bounds hold."""
    return Policy.objects.filter(tier=version.model.tier).order_by("-pk").first()


def locked_bounds(policy: Policy | None, asked: Mapping[str, Any] | None) -> Bounds:
    """Return the bounds of an explanation: those of its policy, of which a request may make some stricter.

    Raises:
        InvalidInput: when the policy bounds what is no measure, or the request admits more than the policy does.
    """
    try:
        bounds = bounds_of(policy)
    except BoundsError as error:
        raise InvalidInput(f"The policy {policy} cannot be explained against: {error}") from error
    try:
        return bounds.tightened(asked or {})
    except BoundsError as error:
        raise InvalidInput(
            f"The bounds are not valid: {error}", errors=[{"place": f"bounds.{error.place}", "detail": str(error)}]
        ) from error


def bounds_of(policy: Policy | None) -> Bounds:
    """Return the bounds of a policy, with the defaults where it says nothing.

    Raises:
        BoundsError: when it bounds what is no measure.
    """
    return Bounds.from_json({} if policy is None else policies.explanation_bounds(policy))


def parameters_of_check(policy: Policy) -> dict[str, float]:
    """Return what a policy's bounds of explanations mean for the check that measures explanations in an audit.

    Raises:
        InvalidInput: when the policy bounds what is no measure.
    """
    locked_bounds(policy, None)
    taken = {entry.name for entry in fields(ExplanationParameters)}
    return {name: bound for name, bound in policies.explanation_bounds(policy).items() if name in taken}


def reasons_under(policy: Policy, explanation: Explanation) -> list[str]:
    """Say what the recorded measures of an explanation miss of the bounds that a policy states itself."""
    stated = policies.explanation_bounds(policy)
    bounds = {name: bound for name, bound in locked_bounds(policy, None).to_json().items() if name in stated}
    return reasons_of(explanation.summary, bounds, method=explanation.parameters["method"])


def reasons_of(summary: Mapping[str, Any], bounds: Mapping[str, float | None], *, method: str) -> list[str]:
    """Say which measures in the summary of an explanation miss their bounds, or were not taken."""
    entry_of_method = METHODS.get(method)
    if entry_of_method is not None and not entry_of_method.is_additive:
        bounds = {name: getattr(Bounds(**bounds).for_sampled(), name) for name in bounds}
    recorded = {measure["name"]: measure for measure in summary.get("measures", [])}
    reasons = []
    for name, bound in bounds.items():
        entry, measure = MEASURES[name], recorded.get(name)
        if bound is None or (measure is not None and not measure["applicable"]):
            continue
        if measure is None:
            reasons.append(entry.unmeasured("It was not taken; explain again."))
        elif measure["value"] is None:
            reasons.append(entry.unmeasured(measure["note"]))
        elif not entry.holds(measure["value"], bound):
            reasons.append(entry.missed(measure["value"], bound))
    return reasons
