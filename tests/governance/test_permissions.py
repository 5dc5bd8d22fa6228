"""Who may do what: groups first, then what the person is to the thing."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser, Group

from governance import permissions
from governance.exceptions import NotAllowed
from governance.models import RegisteredModel
from governance.permissions import Action
from governance.services import uploads
from tests import factories

pytestmark = pytest.mark.django_db

E = "engineers"
AU = "auditors"
AP = "approvers"
AD = "administrators"

#: What each group may do, where no thing is in question; written down once more, on purpose.
EXPECTED = {
    Action.VIEW: {E, AU, AP, AD},
    Action.UPLOAD: {E, AU},
    Action.TERMINATE_UPLOAD: {E, AU, AD},
    Action.REGISTER_MODEL: {E},
    Action.UPLOAD_VERSION: {E},
    Action.RELEASE_VERSION: {AD},
    Action.REJECT_VERSION: {AD},
    Action.CREATE_DATASET: {E, AU},
    Action.UPLOAD_DATASET_VERSION: {E, AU},
    Action.CREATE_SUITE: {E, AU},
    Action.REQUIRE_SUITE: {E, AU},
    Action.REQUEST_VALIDATION: {E, AU},
    Action.GRANT_WAIVER: {AP},
    Action.REQUEST_CLEANING: {E},
    Action.REQUEST_SPLIT: {E},
    Action.REQUEST_COMPARISON: {E, AU},
    Action.REQUEST_SCREENING: {E, AU},
    Action.WRITE_DATASHEET: {E, AU},
    Action.REPLAY_CLEANING: {E, AU},
    Action.RESTORE_ROWS: {E, AU, AD},
    Action.REQUEST_TRAINING: {E},
    Action.REQUEST_EVALUATION: {E, AU},
    Action.REQUEST_EXPLANATION: {E, AU},
    Action.REQUEST_AUDIT: {E, AU},
    Action.RAISE_FINDING: {AU},
    Action.ASSIGN_FINDING: {E, AU, AP},
    Action.DISPOSE_FINDING: {AU, AP},
    Action.COMMENT: {E, AU, AP},
    Action.REQUEST_REVIEW: {E},
    Action.DECIDE_REVIEW: {AP},
    Action.CANCEL_JOB: {E, AU, AP, AD},
    Action.CREATE_POLICY: {AD},
    Action.VERIFY_EVENTS: {AU, AP, AD},
    Action.SEE_HEALTH: {AU, AD},
}


def test_the_groups_exist_after_migrate():
    assert set(permissions.GROUPS) <= set(Group.objects.values_list("name", flat=True))


def test_every_action_has_its_groups():
    people = {name: factories.person(f"one-of-{name}", name) for name in permissions.GROUPS}

    granted = {action: {name for name, user in people.items() if permissions.may(user, action)} for action in Action}

    assert granted == EXPECTED


def test_who_is_in_no_group_may_nothing(carol):
    assert not [action for action in Action if permissions.may(carol, action)]
    assert not permissions.may(AnonymousUser(), Action.VIEW)


def test_who_was_made_inactive_may_nothing():
    gone = factories.person("gone", "engineers", is_active=False)

    assert not permissions.may(gone, Action.VIEW)


def test_who_sees_nothing_gets_no_rows(alice, carol):
    factories.RegisteredModelFactory()

    assert permissions.visible_to(alice, RegisteredModel.objects.all()).count() == 1
    assert permissions.visible_to(carol, RegisteredModel.objects.all()).count() == 0


@pytest.mark.parametrize("action", [Action.UPLOAD_VERSION, Action.REQUEST_TRAINING])
def test_only_the_owner_changes_a_model(action, alice):
    version = factories.ModelVersionFactory()
    other = factories.person("another", "engineers")

    permissions.require(alice, action, version)
    with pytest.raises(NotAllowed, match=r"Only the owner of .*, alice"):
        permissions.require(other, action, version)


def test_only_the_owner_changes_a_data_set(alice):
    version = factories.DatasetVersionFactory()

    permissions.require(alice, Action.UPLOAD_DATASET_VERSION, version.dataset)
    assert not permissions.may(factories.person("another", "engineers"), Action.UPLOAD_DATASET_VERSION, version)


@pytest.mark.parametrize("role", ["owner", "requester"])
def test_neither_owner_nor_requester_decides(role):
    both = factories.person("both", "engineers", "approvers")
    review = factories.ReviewFactory(**({"version__model__owner": both} if role == "owner" else {"requested_by": both}))

    assert permissions.may(both, Action.DECIDE_REVIEW)
    assert not permissions.may(both, Action.DECIDE_REVIEW, review)


def test_another_approver_decides(bob):
    assert permissions.may(bob, Action.DECIDE_REVIEW, factories.ReviewFactory())


def test_being_a_superuser_lifts_no_rule_about_owners():
    root = factories.person("root", is_superuser=True)

    assert permissions.may(root, Action.DECIDE_REVIEW)
    assert not permissions.may(root, Action.DECIDE_REVIEW, factories.ReviewFactory(requested_by=root))
    assert not permissions.may(root, Action.UPLOAD_VERSION, factories.RegisteredModelFactory())


def test_a_job_is_cancelled_by_who_started_it_or_an_administrator(alice, dave, erin):
    job = factories.JobFactory(created_by=alice)

    assert permissions.may(alice, Action.CANCEL_JOB, job)
    assert permissions.may(erin, Action.CANCEL_JOB, job)
    assert not permissions.may(dave, Action.CANCEL_JOB, job)


def test_an_upload_is_terminated_by_who_sends_it_or_an_administrator(alice, dave, erin):
    upload = uploads.create_upload(length_bytes=5, by=alice)

    assert permissions.may(alice, Action.TERMINATE_UPLOAD, upload)
    assert permissions.may(erin, Action.TERMINATE_UPLOAD, upload)
    with pytest.raises(NotAllowed, match="Only alice, who sends upload"):
        permissions.require(dave, Action.TERMINATE_UPLOAD, upload)


def test_the_owner_of_what_stands_on_a_model_is_that_of_the_model(alice):
    evaluation = factories.EvaluationFactory()

    assert permissions.owner_of(evaluation) == alice
    assert permissions.owner_of(evaluation.dataset) == alice
    assert permissions.owner_of(evaluation.job) is None
