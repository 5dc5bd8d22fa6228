"""Reviews: evidence frozen by digest, four eyes, the alias in one transaction, void when no longer true."""

from __future__ import annotations

import dataclasses

import pytest
from django.db import transaction

from governance import evidence
from governance.exceptions import GateClosed, InvalidInput, NotAllowed, NotFound, StateConflict
from governance.models import Alias, Decision, Evaluation, Event, ModelVersion, ModelVersionState, Review, ReviewState
from governance.services import policies, reviews
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]


@pytest.fixture
def version(alice) -> ModelVersion:
    return factories.ModelVersionFactory()


@pytest.fixture
def evaluation(version) -> Evaluation:
    return factories.EvaluationFactory(version=version)


@pytest.fixture
def review(version, evaluation, alice) -> Review:
    return ask(version, evaluation, by=alice)


def ask(version: ModelVersion, evaluation: Evaluation, by, **changes) -> Review:
    values = {"alias": "champion", "evidence": [f"evaluation:{evaluation.pk}"], **changes}
    return reviews.request_review(version=version, by=by, **values)


def approve(review: Review, by, **changes) -> Review:
    return reviews.decide(review=review, outcome="approve", comment="I read it all.", by=by, **changes)


def spoil(evaluation: Evaluation) -> None:
    """Change what a review rests on, as a later fact would."""
    Evaluation.objects.filter(pk=evaluation.pk).update(digest="sha256:" + "0" * 64)


# ------------------------------------------------------------------------------------------------ requesting
def test_a_review_freezes_the_digests_of_its_evidence(review, evaluation):
    (piece,) = review.evidence.all()

    assert (str(piece), piece.digest) == (f"evaluation:{evaluation.pk}", evaluation.digest)
    assert (review.state, review.approvals_needed) == (ReviewState.OPEN, 1)
    assert Event.objects.get(name="review.requested").detail["evidence"] == {str(piece): piece.digest}


def test_the_tier_says_how_many_approve(alice):
    version = factories.ModelVersionFactory(model__tier="high")

    review = ask(version, factories.EvaluationFactory(version=version), by=alice)

    assert review.approvals_needed == policies.newest_for_tier("high").document["approvers"] == 2


@pytest.mark.parametrize(
    ("written", "error", "because"),
    [
        ("evaluation", InvalidInput, "not how evidence is written"),
        ("evaluation:x", InvalidInput, "not how evidence is written"),
        ("rumour:1", InvalidInput, "is no kind of evidence; kinds are audit, evaluation, explanation, training"),
        ("evaluation:999999", NotFound, "There is no evaluation:999999"),
    ],
)
def test_evidence_that_cannot_be_found_is_told(written, error, because, version, alice):
    with pytest.raises(error, match=because):
        reviews.request_review(version=version, alias="champion", evidence=[written], by=alice)
    assert not Review.objects.exists()


def test_evidence_about_another_version_is_not_cited(version, alice):
    other = factories.EvaluationFactory()

    with pytest.raises(InvalidInput, match=f"is about {other.version.ref}, not about {version.ref}"):
        ask(version, other, by=alice)


def test_evidence_without_a_result_is_not_cited(version, alice):
    with pytest.raises(InvalidInput, match="has no result yet"):
        ask(version, factories.EvaluationFactory(version=version, digest=""), by=alice)


def test_a_training_is_evidence_for_the_version_that_it_made(version, alice):
    training = factories.TrainingFactory(produced=version)

    review = reviews.request_review(version=version, alias="champion", evidence=[f"training:{training.pk}"], by=alice)

    assert review.evidence.get().digest == version.digest


def test_a_closed_gate_keeps_nobody_from_asking_and_nobody_can_approve(settings, version, evaluation, alice, bob):
    settings.GOVERNANCE_GATES = {"approval": ["tests.governance.gates.closes"]}
    review = ask(version, evaluation, by=alice)

    with pytest.raises(GateClosed) as refusal:
        approve(review, by=bob)

    assert refusal.value.reasons == ["The sky is grey.", "It is Monday."]
    assert reviews.recheck(review).state == ReviewState.OPEN


def test_the_gate_of_the_installation_asks_for_a_passed_audit(settings, version, evaluation, alice, bob):
    settings.GOVERNANCE_GATES = {"approval": ["audits.gates.audit_passed"]}
    review = ask(version, evaluation, by=alice)

    with pytest.raises(GateClosed, match=f"cites no audit of {version.ref}"):
        approve(review, by=bob)


def test_evidence_against_an_approval_closes_the_gate_and_voids_only_an_approval(review, evaluation, bob, monkeypatch):
    monkeypatch.setitem(
        evidence._kinds,
        "evaluation",
        dataclasses.replace(evidence.kind_named("evaluation"), problem=lambda found: "It is worse than the champion."),
    )
    assert reviews.recheck(review).state == ReviewState.OPEN
    with pytest.raises(GateClosed, match="worse than the champion"):
        approve(review, by=bob)

    Review.objects.filter(pk=review.pk).update(state=ReviewState.APPROVED)
    review.refresh_from_db()
    assert reviews.recheck(review).voided_because == "It is worse than the champion."


def test_the_same_is_asked_once_at_a_time(review, version, evaluation, alice):
    with pytest.raises(StateConflict, match=f"Review {review.pk} asks for .*@champion already"):
        ask(version, evaluation, by=alice)


@pytest.mark.parametrize("alias", ["", "The Champion", "a/b"])
def test_an_alias_is_a_name(alias, version, evaluation, alice):
    with pytest.raises(InvalidInput, match="is no name"):
        ask(version, evaluation, by=alice, alias=alias)


def test_a_rejected_version_is_not_reviewed(alice):
    version = factories.ModelVersionFactory(state=ModelVersionState.REJECTED)

    with pytest.raises(StateConflict, match="is rejected"):
        ask(version, factories.EvaluationFactory(version=version), by=alice)


# -------------------------------------------------------------------------------------------------- deciding
def test_an_approval_moves_the_alias(review, version, bob):
    approved = approve(review, by=bob)

    assert approved.state == ReviewState.APPROVED
    assert approved.decided_at is not None
    alias = Alias.objects.get()
    assert (str(alias), alias.version, alias.review) == (f"{version.model.name}@champion", version, review)
    assert Event.objects.get(name="alias.moved").detail["to"] == version.ref
    assert Decision.objects.get().decided_by == bob


def test_the_next_approval_moves_the_alias_on_and_the_event_says_from_where(review, version, alice, bob):
    approve(review, by=bob)
    successor = factories.ModelVersionFactory(model=version.model)

    approve(ask(successor, factories.EvaluationFactory(version=successor), by=alice), by=bob)

    assert Alias.objects.get().version == successor
    moved = Event.objects.filter(name="alias.moved").latest("sequence")
    assert (moved.detail["from"], moved.detail["to"]) == (version.ref, successor.ref)


def test_neither_the_requester_nor_the_owner_decides(version, evaluation):
    requester = factories.person("requester", "engineers", "approvers")
    owner = factories.person("alice", "engineers", "approvers")
    review = ask(version, evaluation, by=requester)

    for person, because in ((requester, "You requested"), (owner, "alice owns")):
        with pytest.raises(NotAllowed, match=because):
            approve(review, by=person)
    assert not Decision.objects.exists()


def test_an_engineer_and_an_auditor_decide_nothing(review, dave):
    for person in (dave, factories.person("another", "engineers")):
        with pytest.raises(NotAllowed, match="member of approvers"):
            approve(review, by=person)


@pytest.mark.parametrize(
    ("outcome", "state"), [("reject", ReviewState.REJECTED), ("request_changes", ReviewState.CHANGES_REQUESTED)]
)
def test_a_no_ends_the_review_and_moves_nothing(outcome, state, review, bob):
    decided = reviews.decide(review=review, outcome=outcome, comment="The intervals are too wide.", by=bob)

    assert decided.state == state
    assert not Alias.objects.exists()
    with pytest.raises(StateConflict, match="takes no decision"):
        approve(review, by=factories.person("ben", "approvers"))


def test_two_approvers_are_two_people(alice, bob):
    version = factories.ModelVersionFactory(model__tier="high")
    review = ask(version, factories.EvaluationFactory(version=version), by=alice)

    assert approve(review, by=bob).state == ReviewState.OPEN
    assert not Alias.objects.exists()
    with pytest.raises(StateConflict, match="have decided"):
        approve(review, by=bob)
    assert approve(review, by=factories.person("ben", "approvers")).state == ReviewState.APPROVED
    assert Alias.objects.get().version == version


@pytest.mark.parametrize(("values", "place"), [({"comment": "  "}, "comment"), ({"outcome": "maybe"}, "decision")])
def test_a_decision_says_what_and_why(values, place, review, bob):
    with pytest.raises(InvalidInput) as refusal:
        reviews.decide(review=review, by=bob, **{"outcome": "approve", "comment": "Fine.", **values})
    assert refusal.value.errors[0]["place"] == place


def test_the_gate_is_asked_again_at_the_approval(settings, review, bob):
    settings.GOVERNANCE_GATES = {"approval": ["tests.governance.gates.closes"]}

    with pytest.raises(GateClosed):
        approve(review, by=bob)
    review.refresh_from_db()
    assert review.state == ReviewState.OPEN
    assert not Alias.objects.exists()
    assert not Decision.objects.exists()


def test_a_review_can_be_rejected_while_the_gate_is_closed(settings, review, bob):
    settings.GOVERNANCE_GATES = {"approval": ["tests.governance.gates.closes"]}

    assert reviews.decide(review=review, outcome="reject", comment="No.", by=bob).state == ReviewState.REJECTED


def test_the_alias_moves_with_the_decision_or_neither_happens(review, bob, monkeypatch):
    def breaks(_: Review) -> None:
        raise RuntimeError

    monkeypatch.setattr(reviews, "_move_alias", breaks)
    with pytest.raises(RuntimeError), transaction.atomic():
        approve(review, by=bob)

    review.refresh_from_db()
    assert review.state == ReviewState.OPEN
    assert not Decision.objects.exists()


# --------------------------------------------------------------------------------------------------- voiding
def test_an_approval_is_void_as_soon_as_its_evidence_is_no_longer_what_was_cited(review, evaluation, bob):
    approve(review, by=bob)
    spoil(evaluation)

    review.refresh_from_db()
    review = reviews.recheck(review)

    assert review.state == ReviewState.VOID
    assert f"evaluation:{evaluation.pk} is no longer what was cited" in review.voided_because
    assert review.voided_at is not None
    event = Event.objects.get(name="review.voided")
    assert (event.actor, event.subject) == ("assay", review.version.ref)


def test_the_alias_of_a_void_approval_stays_to_be_seen(review, evaluation, bob):
    approve(review, by=bob)
    spoil(evaluation)

    reviews.recheck_all()

    alias = Alias.objects.select_related("review").get()
    assert alias.version == review.version
    assert alias.review.state == ReviewState.VOID


def test_an_open_review_is_void_before_somebody_approves_what_is_not_true(review, evaluation, bob):
    spoil(evaluation)

    with pytest.raises(StateConflict, match="is void and takes no decision"):
        approve(review, by=bob)
    review.refresh_from_db()
    assert review.state == ReviewState.VOID


def test_evidence_that_is_gone_or_of_a_kind_that_nothing_knows_does_not_hold(review, bob):
    review.evidence.update(object_id=999_999)
    assert evidence.problem_of(review.evidence.get()) == "evaluation:999999 is gone."

    review.evidence.update(kind="prophecy")
    assert "nothing knows the kind 'prophecy'" in (evidence.problem_of(review.evidence.get()) or "")
    assert [voided.pk for voided in reviews.recheck_all()] == [review.pk]


def test_a_recheck_changes_nothing_while_the_evidence_holds_or_after_the_end(review, evaluation, bob):
    assert reviews.recheck(review).state == ReviewState.OPEN
    reviews.decide(review=review, outcome="reject", comment="No.", by=bob)
    spoil(evaluation)

    assert reviews.recheck_all() == []
    review.refresh_from_db()
    assert review.state == ReviewState.REJECTED
    assert not Event.objects.filter(name="review.voided").exists()


def test_a_review_is_voided_once(review, evaluation):
    stale = Review.objects.get(pk=review.pk)
    spoil(evaluation)
    reviews.recheck(review)

    assert reviews.recheck(stale).state == ReviewState.VOID
    assert Event.objects.filter(name="review.voided").count() == 1
