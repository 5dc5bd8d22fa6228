"""Ask that a version get an alias, decide on it, and take back what its evidence no longer bears."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from governance import evidence as evidence_kinds
from governance import gates, permissions
from governance.exceptions import GateClosed, InvalidInput, StateConflict
from governance.models import (
    Alias,
    Decision,
    Evidence,
    ModelVersion,
    ModelVersionState,
    RegisteredModel,
    Review,
    ReviewState,
)
from governance.models.registered_model import name_validator
from governance.permissions import Action
from governance.services import events, policies

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: A review in one of these states is void as soon as its evidence no longer holds.
_LIVING = (ReviewState.OPEN, ReviewState.APPROVED)

_STATE_AFTER = {
    Decision.Outcome.REJECT: ReviewState.REJECTED,
    Decision.Outcome.REQUEST_CHANGES: ReviewState.CHANGES_REQUESTED,
}


def request_review(
    *, version: ModelVersion, alias: str, evidence: Sequence[str], by: User, comment: str = ""
) -> Review:
    """Ask that a version get an alias, resting on evidence written ``kind:id``, whose digests are frozen here.

    Raises:
        InvalidInput: when the alias is no name, or a piece of evidence is about another version, has no result or may
            not be cited.
        StateConflict: when the version is not registered, or an open review asks for the same.

    A closed gate does not keep anybody from asking: the review shows what closes it, and can be rejected or sent back.
    """
    permissions.require(by, Action.REQUEST_REVIEW, version)
    if version.state != ModelVersionState.REGISTERED:
        raise StateConflict(f"{version.ref} is {version.get_state_display()}; only a registered version is reviewed.")
    _demand_name(alias)
    cited = [_demand_citable(reference, version) for reference in dict.fromkeys(evidence)]
    with transaction.atomic():
        RegisteredModel.objects.select_for_update(of=("self",)).get(pk=version.model_id)
        same = Review.objects.filter(version=version, alias=alias, state=ReviewState.OPEN).first()
        if same is not None:
            raise StateConflict(f"{str(same).capitalize()} asks for {version.model.name}@{alias} already and is open.")
        review = Review.objects.create(
            version=version,
            alias=alias,
            comment=comment,
            approvals_needed=policies.approvers_of(policies.newest_for_tier(version.model.tier)),
            requested_by=by,
        )
        pieces = Evidence.objects.bulk_create(
            Evidence(review=review, kind=kind.name, object_id=found.pk, digest=kind.digest(found))
            for kind, found in cited
        )
        events.record(
            name="review.requested",
            subject=version,
            by=by,
            detail={
                "review": review.pk,
                "alias": alias,
                "version_digest": version.digest,
                "evidence": {str(piece): piece.digest for piece in pieces},
            },
        )
    return review


def decide(*, review: Review, outcome: str, comment: str, by: User) -> Review:
    """Keep what one person decided; the last approval that is needed moves the alias in the same transaction.

    The evidence is checked and the gate asked again, so that nobody approves what has become untrue meanwhile.

    Raises:
        NotAllowed: the requester and the owner do not decide.
        StateConflict: the review is not open, or the person has decided on it before.
        GateClosed: the gate ``approval`` says no to an approval.
    """
    permissions.require(by, Action.DECIDE_REVIEW, review)
    if outcome not in Decision.Outcome.values:
        raise InvalidInput(
            f"A decision is {', '.join(Decision.Outcome.values)}, not {outcome!r}.",
            errors=[{"place": "decision", "detail": f"{outcome!r} is none."}],
        )
    if not comment.strip():
        raise InvalidInput("A decision says why.", errors=[{"place": "comment", "detail": "It is empty."}])
    recheck(review)  # in a transaction of its own: that the review is void stays known although the decision fails
    with transaction.atomic():
        review = _locked(review)
        if review.state != ReviewState.OPEN:
            raise StateConflict(
                f"{str(review).capitalize()} is {review.get_state_display()} and takes no decision. "
                f"{review.voided_because}".rstrip()
            )
        if review.decisions.filter(decided_by=by).exists():
            raise StateConflict(f"You have decided on {review} before.")
        if outcome == Decision.Outcome.APPROVE:
            _demand_open_gate(review)
        Decision.objects.create(review=review, outcome=outcome, comment=comment, decided_by=by)
        state = _state_after(review, outcome)
        if state != ReviewState.OPEN:
            _change_state(review, state, decided_at=timezone.now())
        moved = _move_alias(review) if state == ReviewState.APPROVED else None
        events.record(
            name="review.decided",
            subject=review.version,
            by=by,
            detail={"review": review.pk, "decision": outcome, "comment": comment, "state": state},
        )
        if moved is not None:
            events.record(
                name="alias.moved", subject=f"{review.version.model.name}@{review.alias}", by=by, detail=moved
            )
    return review


def recheck(review: Review) -> Review:
    """Void a review whose cited evidence no longer holds, and return it as it stands.

    An approval is void as soon as it could not be given again on the same evidence. An open review is void only when
    its evidence is no longer what was cited: evidence against an approval may be cited, and closes the gate.

    The alias of a voided approval stays where it is, so that everybody sees it, but leads nowhere
    (``references.model_version``).
    """
    if review.state not in _LIVING:
        return review
    reasons = _problems(review) if review.state == ReviewState.APPROVED else _mismatches(review)
    if not reasons:
        return review
    with transaction.atomic():
        locked = _locked(review)
        if locked.state not in _LIVING:
            return locked
        because = " ".join(reasons)
        _change_state(locked, ReviewState.VOID, voided_because=because, voided_at=timezone.now())
        events.record(
            name="review.voided",
            subject=locked.version,
            by=None,
            detail={"review": locked.pk, "alias": locked.alias, "was": review.state, "because": because},
        )
    return locked


def recheck_all(*, progress: Callable[[int, int], None] | None = None) -> list[Review]:
    """Recheck every open and approved review; return those that are now void."""
    living = list(Review.objects.filter(state__in=_LIVING).select_related("version__model").order_by("pk"))
    voided = []
    for count, review in enumerate(living, start=1):
        checked = recheck(review)
        if checked.state == ReviewState.VOID:
            voided.append(checked)
        if progress is not None:
            progress(count, len(living))
    return voided


def _problems(review: Review) -> list[str]:
    problems = (evidence_kinds.problem_of(piece) for piece in review.evidence.order_by("pk"))
    return [problem for problem in problems if problem is not None]


def _mismatches(review: Review) -> list[str]:
    mismatches = (evidence_kinds.mismatch_of(piece) for piece in review.evidence.order_by("pk"))
    return [mismatch for mismatch in mismatches if mismatch is not None]


def _demand_open_gate(review: Review) -> None:
    """Raise GateClosed unless all cited evidence holds and every gate of ``approval`` says yes."""
    asked = gates.ask("approval", version=review.version, review=review)
    reasons = list(dict.fromkeys([*_problems(review), *asked]))  # evidence and gate may give the same reason
    if reasons:
        raise GateClosed(
            f"{review.version.ref} may not become {review.version.model.name}@{review.alias}: {reasons[0]}",
            reasons=reasons,
        )


def _demand_citable(reference: str, version: ModelVersion) -> tuple[evidence_kinds.EvidenceKind, Any]:
    kind, found = evidence_kinds.cited(reference)
    # A training is evidence for the version that it made; what knows no version is about data.
    about = found.produced if hasattr(found, "produced") else getattr(found, "version", version)
    if about != version:
        raise InvalidInput(
            f"{reference} is about {about or 'no version yet'}, not about {version.ref}.",
            errors=[{"place": "evidence", "detail": f"{reference} cannot be cited here."}],
        )
    if not kind.digest(found):
        raise InvalidInput(
            f"{reference} has no result yet.",
            errors=[{"place": "evidence", "detail": f"Wait for the job of {reference}."}],
        )
    refusal = kind.refusal(found)
    if refusal is not None:
        raise InvalidInput(
            f"{reference} cannot be cited: {refusal}",
            errors=[{"place": "evidence", "detail": f"Cite {kind.name} evidence that may be rested on."}],
        )
    return kind, found


def _demand_name(alias: str) -> None:
    try:
        name_validator(alias)
    except ValidationError as error:
        raise InvalidInput(
            f"The alias {alias!r} is no name.", errors=[{"place": "alias", "detail": error.messages[0]}]
        ) from error


def _locked(review: Review) -> Review:
    return Review.objects.select_for_update(of=("self",)).select_related("version__model__owner").get(pk=review.pk)


def _state_after(review: Review, outcome: str) -> ReviewState:
    if outcome != Decision.Outcome.APPROVE:
        return _STATE_AFTER[Decision.Outcome(outcome)]
    approvals = review.decisions.filter(outcome=Decision.Outcome.APPROVE).count()
    return ReviewState.APPROVED if approvals >= review.approvals_needed else ReviewState.OPEN


def _change_state(review: Review, state: ReviewState, **fields: Any) -> None:
    """Move a locked review on from the state that it was read in."""
    changed = Review.objects.filter(pk=review.pk, state=review.state).update(state=state, **fields)
    if not changed:
        raise StateConflict(f"{str(review).capitalize()} was changed by somebody else; read it again.")
    review.refresh_from_db(fields=["state", *fields])


def _move_alias(review: Review) -> dict[str, Any]:
    """Put the alias on the version of an approved review; return what the event says."""
    before = (
        Alias.objects.filter(model=review.version.model, name=review.alias).select_related("version__model").first()
    )
    Alias.objects.update_or_create(
        model=review.version.model, name=review.alias, defaults={"version": review.version, "review": review}
    )
    return {
        "review": review.pk,
        "from": None if before is None else before.version.ref,
        "to": review.version.ref,
        "digest": review.version.digest,
    }
