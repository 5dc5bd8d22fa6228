"""The only module that knows who may do what.

Everybody who is in a group sees everything; who is in none sees nothing. What somebody may *do* follows from the
groups, and from what the person is to the thing: its owner, the requester of its review.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from django.contrib.auth.models import AnonymousUser, User
from django.db import models
from rest_framework.permissions import BasePermission

from governance.exceptions import NotAllowed, NotFound
from governance.models import Dataset, RegisteredModel

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.views import APIView

ENGINEERS = "engineers"
AUDITORS = "auditors"
APPROVERS = "approvers"
ADMINISTRATORS = "administrators"
GROUPS = (ENGINEERS, AUDITORS, APPROVERS, ADMINISTRATORS)

Person = User | AnonymousUser
ModelT = TypeVar("ModelT", bound=models.Model)


class Action(StrEnum):
    """Everything that somebody may or may not do."""

    VIEW = "view"
    UPLOAD = "upload"
    TERMINATE_UPLOAD = "terminate_upload"
    REGISTER_MODEL = "register_model"
    UPLOAD_VERSION = "upload_version"
    RELEASE_VERSION = "release_version"
    REJECT_VERSION = "reject_version"
    CREATE_DATASET = "create_dataset"
    UPLOAD_DATASET_VERSION = "upload_dataset_version"
    CREATE_SUITE = "create_suite"
    REQUIRE_SUITE = "require_suite"
    REQUEST_VALIDATION = "request_validation"
    GRANT_WAIVER = "grant_waiver"
    REQUEST_CLEANING = "request_cleaning"
    REQUEST_SPLIT = "request_split"
    REQUEST_COMPARISON = "request_comparison"
    WRITE_DATASHEET = "write_datasheet"
    REQUEST_SCREENING = "request_screening"
    REPLAY_CLEANING = "replay_cleaning"
    RESTORE_ROWS = "restore_rows"
    REQUEST_TRAINING = "request_training"
    REQUEST_EVALUATION = "request_evaluation"
    REQUEST_EXPLANATION = "request_explanation"
    REQUEST_AUDIT = "request_audit"
    RAISE_FINDING = "raise_finding"
    ASSIGN_FINDING = "assign_finding"
    DISPOSE_FINDING = "dispose_finding"
    COMMENT = "comment"
    REQUEST_REVIEW = "request_review"
    DECIDE_REVIEW = "decide_review"
    CANCEL_JOB = "cancel_job"
    CREATE_POLICY = "create_policy"
    VERIFY_EVENTS = "verify_events"
    SEE_HEALTH = "see_health"


#: The groups of which a person needs one.
_GROUPS_OF: Mapping[Action, tuple[str, ...]] = {
    Action.VIEW: GROUPS,
    Action.UPLOAD: (ENGINEERS, AUDITORS),
    Action.TERMINATE_UPLOAD: (ENGINEERS, AUDITORS, ADMINISTRATORS),
    Action.REGISTER_MODEL: (ENGINEERS,),
    Action.UPLOAD_VERSION: (ENGINEERS,),
    Action.RELEASE_VERSION: (ADMINISTRATORS,),
    Action.REJECT_VERSION: (ADMINISTRATORS,),
    Action.CREATE_DATASET: (ENGINEERS, AUDITORS),
    Action.UPLOAD_DATASET_VERSION: (ENGINEERS, AUDITORS),
    Action.CREATE_SUITE: (ENGINEERS, AUDITORS),
    Action.REQUIRE_SUITE: (ENGINEERS, AUDITORS),
    Action.REQUEST_VALIDATION: (ENGINEERS, AUDITORS),
    Action.GRANT_WAIVER: (APPROVERS,),
    Action.REQUEST_CLEANING: (ENGINEERS,),
    Action.REQUEST_SPLIT: (ENGINEERS,),
    Action.REQUEST_COMPARISON: (ENGINEERS, AUDITORS),
    Action.WRITE_DATASHEET: (ENGINEERS, AUDITORS),
    Action.REQUEST_SCREENING: (ENGINEERS, AUDITORS),
    Action.REPLAY_CLEANING: (ENGINEERS, AUDITORS),
    Action.RESTORE_ROWS: (ENGINEERS, AUDITORS, ADMINISTRATORS),
    Action.REQUEST_TRAINING: (ENGINEERS,),
    Action.REQUEST_EVALUATION: (ENGINEERS, AUDITORS),
    Action.REQUEST_EXPLANATION: (ENGINEERS, AUDITORS),
    Action.REQUEST_AUDIT: (ENGINEERS, AUDITORS),
    Action.RAISE_FINDING: (AUDITORS,),
    Action.ASSIGN_FINDING: (ENGINEERS, AUDITORS, APPROVERS),
    Action.DISPOSE_FINDING: (AUDITORS, APPROVERS),
    Action.COMMENT: (ENGINEERS, AUDITORS, APPROVERS),
    Action.REQUEST_REVIEW: (ENGINEERS,),
    Action.DECIDE_REVIEW: (APPROVERS,),
    Action.CANCEL_JOB: GROUPS,
    Action.CREATE_POLICY: (ADMINISTRATORS,),
    Action.VERIFY_EVENTS: (AUDITORS, APPROVERS, ADMINISTRATORS),
    Action.SEE_HEALTH: (AUDITORS, ADMINISTRATORS),
}

_OWNER_ONLY = "Only the owner of {subject}, {owner}, may do this."
_NOT_THE_OWNER = "{owner} owns {subject}; this has to be done by somebody else."


def _needs_owner(user: Person, subject: Any) -> str | None:
    owner = owner_of(subject)
    return None if owner == user else _OWNER_ONLY.format(subject=subject, owner=_name(owner))


def _needs_owner_or_reviewer(user: Person, subject: Any) -> str | None:
    return None if groups_of(user) & {AUDITORS, ADMINISTRATORS} else _needs_owner(user, subject)


def _needs_another_than_owner(user: Person, subject: Any) -> str | None:
    owner = owner_of(subject)
    return None if owner != user else _NOT_THE_OWNER.format(subject=subject, owner=_name(owner))


def _needs_neither_owner_nor_requester(user: Person, review: Any) -> str | None:
    if review.requested_by == user:
        return f"You requested {review}; it has to be decided by somebody else."
    return _needs_another_than_owner(user, review)


def _needs_neither_owner_nor_uploader(user: Person, version: Any) -> str | None:
    if version.created_by == user:
        return f"You uploaded {version}; this has to be done by somebody else."
    return _needs_another_than_owner(user, version)


def _needs_creator_or_administrator(user: Person, job: Any) -> str | None:
    if job.created_by == user or ADMINISTRATORS in groups_of(user):
        return None
    return f"Only {_name(job.created_by)}, who started {job}, and administrators may do this."


def _needs_sender_or_administrator(user: Person, upload: Any) -> str | None:
    if upload.owner == user or ADMINISTRATORS in groups_of(user):
        return None
    return f"Only {_name(upload.owner)}, who sends {upload}, and administrators may do this."


#: What the person has to be to the thing; asked where there is one, after the groups.
_RULE_OF: Mapping[Action, Callable[[Person, Any], str | None]] = {
    Action.UPLOAD_VERSION: _needs_owner,
    Action.UPLOAD_DATASET_VERSION: _needs_owner,
    Action.WRITE_DATASHEET: _needs_owner,
    Action.RELEASE_VERSION: _needs_neither_owner_nor_uploader,
    Action.REJECT_VERSION: _needs_neither_owner_nor_uploader,
    Action.REQUEST_TRAINING: _needs_owner,
    Action.RESTORE_ROWS: _needs_owner_or_reviewer,
    Action.GRANT_WAIVER: _needs_another_than_owner,
    Action.DISPOSE_FINDING: _needs_another_than_owner,
    Action.DECIDE_REVIEW: _needs_neither_owner_nor_requester,
    Action.CANCEL_JOB: _needs_creator_or_administrator,
    Action.TERMINATE_UPLOAD: _needs_sender_or_administrator,
}


def groups_of(user: Person) -> frozenset[str]:
    """Return the groups of a person, read once; a superuser is in all, which lifts no rule about owners."""
    if not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset(GROUPS)
    known: frozenset[str] | None = getattr(user, "_assay_groups", None)
    if known is None:
        known = frozenset(user.groups.values_list("name", flat=True)) & frozenset(GROUPS)
        user._assay_groups = known  # type: ignore[attr-defined]
    return known


def owner_of(subject: Any) -> User | None:
    """Return who answers for a thing: the owner of the model, or else of the data set, that it belongs to."""
    if isinstance(subject, RegisteredModel | Dataset):
        return subject.owner
    for attribute in ("model", "version", "dataset", "validation"):
        parent = getattr(subject, attribute, None)
        if parent is not None:
            return owner_of(parent)
    return None


def refusal(user: Person, action: Action, subject: Any = None) -> str | None:
    """Return the sentence that says why somebody may not do something, None when they may."""
    needed = _GROUPS_OF[action]
    if not groups_of(user) & frozenset(needed):
        *others, last = needed
        return f"This takes a member of {', '.join(others)}{' or ' if others else ''}{last}."
    rule = _RULE_OF.get(action)
    return None if rule is None or subject is None else rule(user, subject)


def may(user: Person, action: Action, subject: Any = None) -> bool:
    """Tell whether somebody may do something, with a thing where there is one."""
    return refusal(user, action, subject) is None


def require(user: Person, action: Action, subject: Any = None) -> None:
    """Raise NotAllowed, with the reason, unless somebody may do something."""
    reason = refusal(user, action, subject)
    if reason is not None:
        raise NotAllowed(reason)


def visible_to(user: Person, queryset: models.QuerySet[ModelT]) -> models.QuerySet[ModelT]:
    """Return the rows that somebody may see."""
    return queryset if may(user, Action.VIEW) else queryset.none()


class Declared(BasePermission):
    """Lets through what a view declares: ``actions = {"list": Action.VIEW, "create": Action.REGISTER_MODEL}``.

    An action that nobody declared is refused. Who may see nothing gets 404 for a thing and 403 for a collection, so
    that an answer never tells whether a thing exists.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        action = self._declared(view)
        if not request.user.is_authenticated or action is None:
            return False
        if view.kwargs and not may(request.user, Action.VIEW):
            raise NotFound("There is no such thing, or you may not see it.")
        require(request.user, action)
        return True

    def has_object_permission(self, request: Request, view: APIView, obj: Any) -> bool:
        action = self._declared(view)
        if action is None:
            return False
        require(request.user, action, obj)
        return True

    @staticmethod
    def _declared(view: APIView) -> Action | None:
        declared: Mapping[str, Action] = getattr(view, "actions", {})
        return declared.get(getattr(view, "action", None) or "")


def _name(user: User | None) -> str:
    return "nobody" if user is None else user.get_username()
