"""How people write what they mean: ``credit-scorer/3``, ``credit-scorer@champion``, ``applicants/2``."""

from __future__ import annotations

import re

from governance.exceptions import NotFound, StateConflict
from governance.models import Alias, DatasetVersion, ModelVersion, Policy, ReviewState
from governance.services import reviews

_NUMBERED = re.compile(r"\A(?P<name>[a-z0-9._-]{1,100})/(?P<number>[1-9][0-9]{0,8})\Z")
_ALIASED = re.compile(r"\A(?P<name>[a-z0-9._-]{1,100})@(?P<alias>[a-z0-9._-]{1,100})\Z")


def model_version(reference: str) -> ModelVersion:
    """Return the version that ``name/number`` or ``name@alias`` means.

    Raises:
        NotFound: when there is none.
        StateConflict: when the alias rests on a review that is void: such an alias leads nowhere (fail closed).
    """
    aliased = _ALIASED.match(reference)
    if aliased is not None:
        return _version_of_alias(aliased["name"], aliased["alias"])
    name, number = numbered(reference, "model version", "credit-scorer/3 or credit-scorer@champion")
    version = ModelVersion.objects.select_related("model__owner").filter(model__name=name, number=number).first()
    if version is None:
        raise NotFound(f"There is no model version {reference}.")
    return version


def dataset_version(reference: str) -> DatasetVersion:
    """Return the data set version that ``name/number`` means."""
    name, number = numbered(reference, "data set version", "applicants/2")
    version = DatasetVersion.objects.select_related("dataset__owner").filter(dataset__name=name, number=number).first()
    if version is None:
        raise NotFound(f"There is no data set version {reference}.")
    return version


def policy(reference: str) -> Policy:
    """Return the policy that ``name/number`` means."""
    name, number = numbered(reference, "policy", "standard/1")
    found = Policy.objects.filter(name=name, number=number).first()
    if found is None:
        raise NotFound(f"There is no policy {reference}.")
    return found


def numbered(reference: str, kind: str, example: str) -> tuple[str, int]:
    """Split ``name/number``; ``kind`` and ``example`` are for the sentence of the refusal."""
    match = _NUMBERED.match(reference)
    if match is None:
        raise NotFound(f"{reference!r} is not how a {kind} is written; write it as {example}.")
    return match["name"], int(match["number"])


def _version_of_alias(name: str, alias_name: str) -> ModelVersion:
    alias = (
        Alias.objects.select_related("version__model__owner", "review")
        .filter(model__name=name, name=alias_name)
        .first()
    )
    if alias is None:
        raise NotFound(f"The model {name} has no alias {alias_name}.")
    review = reviews.recheck(alias.review)
    if review.state != ReviewState.APPROVED:
        raise StateConflict(
            f"{alias} leads nowhere: {review}, which moved it to {alias.version.ref}, is {review.get_state_display()}. "
            f"{review.voided_because}".rstrip()
        )
    return alias.version
