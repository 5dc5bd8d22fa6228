"""Keep policies: what a tier asks of an audit, as versioned data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from governance import permissions
from governance.exceptions import InvalidInput, NotFound, StateConflict
from governance.models import Policy, Tier
from governance.permissions import Action
from governance.services import events
from workers.artifacts.findings import ACCEPTABLE
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User

SEVERITIES = ["critical", "high", "medium", "low", "info"]

#: The JSON that people write (DESIGN, "The JSON that people write"); parameters are the checks' own business.
DOCUMENT: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "tier", "checks"],
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?$"},
        "tier": {"enum": list(Tier.values)},
        "checks": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,19}$"},
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "properties": {"parameters": {"type": "object"}, "condition": {"type": "object"}},
            },
        },
        "blocks": {
            "type": "array",
            "items": {"enum": SEVERITIES},
            "uniqueItems": True,
            # Nobody can waive a critical finding, so no policy leaves it out.
            "contains": {"const": "critical"},
        },
        "approvers": {"type": "integer", "minimum": 1, "maximum": 10},
        # A version that came without an OpenSSF model signature of an accepted key is not approved.
        "requires_signature": {"type": "boolean"},
        # What explanations have to keep to, so that a review may rest on them; the measures are the explanations' own.
        "explanations": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "bounds": {"type": "object", "additionalProperties": {"type": "number", "minimum": 0}},
            },
        },
        # Findings of an inspection that keep no upload in quarantine.
        "accepts": {"type": "array", "items": {"enum": sorted(ACCEPTABLE)}, "uniqueItems": True},
    },
}
_DEFAULTS: dict[str, Any] = {"blocks": ["critical", "high"], "approvers": 1}


def create_policy(*, document: Mapping[str, Any], by: User) -> Policy:
    """Keep a policy as the next number of its name; severities that block and approvers are filled in.

    Raises:
        InvalidInput: with one error a problem, each naming its place.
    """
    # Its readers of formats cost a web process 22 MiB, and few ever keep a policy.
    import jsonschema

    permissions.require(by, Action.CREATE_POLICY)
    errors = [
        {"place": error.json_path.removeprefix("$").lstrip("."), "detail": error.message}
        for error in jsonschema.Draft202012Validator(DOCUMENT).iter_errors(document)
    ]
    if errors:
        raise InvalidInput(f"The policy is not valid: {errors[0]['detail']}", errors=errors)
    whole = {**_DEFAULTS, **document}
    name = whole["name"]
    try:
        with transaction.atomic():
            last = Policy.objects.filter(name=name).aggregate(last=Max("number"))["last"] or 0
            policy = Policy.objects.create(
                name=name,
                number=last + 1,
                tier=whole["tier"],
                document=whole,
                digest=digest_of_json(whole),
                created_by=by,
            )
            events.record(name="policy.created", subject=policy, by=by, detail={"digest": policy.digest})
    except IntegrityError as error:
        raise StateConflict(f"Somebody else added a number to {name} at the same moment; ask again.") from error
    return policy


def newest_for_tier(tier: str) -> Policy:
    """Return the policy that was created last for a tier.

    Raises:
        NotFound: when nobody has made one.
    """
    policy = Policy.objects.filter(tier=tier).order_by("-pk").first()
    if policy is None:
        raise NotFound(f"There is no policy for the tier {tier!r} yet; an administrator creates it.")
    return policy


def requires_signature(policy: Policy) -> bool:
    """Tell whether a version has to be signed by an accepted key to be approved under a policy."""
    return bool(policy.document.get("requires_signature", False))


def explanation_bounds(policy: Policy) -> dict[str, float]:
    """Return the bounds that a policy sets for the measures of explanations, by measure."""
    bounds: dict[str, float] = policy.document.get("explanations", {}).get("bounds", {})
    return dict(bounds)


def accepted_by(policy: Policy) -> list[str]:
    """Return the ids of an inspection's findings that a policy accepts."""
    return list(policy.document.get("accepts", []))


def approvers_of(policy: Policy) -> int:
    """Return how many people have to approve under a policy."""
    return int(policy.document.get("approvers", _DEFAULTS["approvers"]))
