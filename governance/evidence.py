"""What a review may rest on: each app registers how its kind of evidence is found, summed up and re-checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from django.db import models
from django.urls import reverse

from governance.exceptions import InvalidInput, NotFound
from governance.models import Evidence

ModelT = TypeVar("ModelT", bound=models.Model)


@dataclass(frozen=True)
class EvidenceKind:
    """How one kind of evidence is used.

    Attributes:
        name: as people write it, ``audit`` in ``audit:3``.
        find: id -> the object, or None.
        digest: object -> the digest of its result, empty while there is none.
        says: object -> one sentence of what it shows.
        problem: object -> why it can no longer be rested on, None when it can.
        url: object -> the address of its page.
        refusal: object -> why it may not be cited at all, None when it may; what only speaks against an approval may.
    """

    name: str
    find: Callable[[int], Any]
    digest: Callable[[Any], str]
    says: Callable[[Any], str]
    problem: Callable[[Any], str | None]
    url: Callable[[Any], str]
    refusal: Callable[[Any], str | None] = lambda _: None


_kinds: dict[str, EvidenceKind] = {}


def register(kind: EvidenceKind) -> None:
    """Make a kind known; the same name twice is a programming error."""
    if kind.name in _kinds and _kinds[kind.name] != kind:
        raise ValueError(f"The kind of evidence {kind.name!r} is registered twice.")
    _kinds[kind.name] = kind


def of_model(
    name: str,
    model: type[ModelT],
    *,
    problem: Callable[[ModelT], str | None],
    digest: Callable[[ModelT], str] = attrgetter("digest"),
    says: Callable[[ModelT], str] = str,
    url: Callable[[ModelT], str] | None = None,
    refusal: Callable[[ModelT], str | None] = lambda _: None,
) -> EvidenceKind:
    """Return the kind for a Django model whose rows have a ``digest`` and an API address ``name-detail``."""

    def find(object_id: int) -> ModelT | None:
        return model._default_manager.filter(pk=object_id).first()

    return EvidenceKind(
        name=name,
        find=find,
        digest=digest,
        says=says,
        problem=problem,
        url=url or _api_address(name),
        refusal=refusal,
    )


def kinds() -> list[str]:
    return sorted(_kinds)


def kind_named(name: str) -> EvidenceKind:
    try:
        return _kinds[name]
    except KeyError:
        raise InvalidInput(
            f"{name!r} is no kind of evidence; kinds are {', '.join(kinds())}.",
            errors=[{"place": "evidence", "detail": f"Write it as {kinds()[0] if _kinds else 'kind'}:3."}],
        ) from None


def cited(reference: str) -> tuple[EvidenceKind, Any]:
    """Return kind and object of ``kind:id``.

    Raises:
        InvalidInput: when it is not written so, or the kind is not known.
        NotFound: when there is no such object.
    """
    name, colon, number = reference.partition(":")
    if not colon or not number.isascii() or not number.isdigit() or len(number) > 18:
        raise InvalidInput(
            f"{reference!r} is not how evidence is written.",
            errors=[{"place": "evidence", "detail": "Write it as audit:3."}],
        )
    kind = kind_named(name)
    found = kind.find(int(number))
    if found is None:
        raise NotFound(f"There is no {reference}.")
    return kind, found


def mismatch_of(evidence: Evidence) -> str | None:
    """Say why a piece of cited evidence is no longer the one that was cited; None while it is."""
    kind = _kinds.get(evidence.kind)
    if kind is None:
        return f"{evidence} cannot be checked: nothing knows the kind {evidence.kind!r} any more."
    found = kind.find(evidence.object_id)
    if found is None:
        return f"{evidence} is gone."
    if kind.digest(found) != evidence.digest:
        return f"{evidence} is no longer what was cited: its digest is {kind.digest(found)}, not {evidence.digest}."
    return None


def problem_of(evidence: Evidence) -> str | None:
    """Say why an approval cannot rest, or no longer rests, on a piece of cited evidence; None while it can."""
    mismatch = mismatch_of(evidence)
    if mismatch is not None:
        return mismatch
    kind = _kinds[evidence.kind]
    return kind.problem(kind.find(evidence.object_id))


def _api_address(name: str) -> Callable[[Any], str]:
    def address(found: Any) -> str:
        return reverse(f"api:{name}-detail", args=[found.pk])

    return address
