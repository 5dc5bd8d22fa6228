"""Keep suites, and pin the one that a data set requires."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from governance import permissions
from governance.exceptions import StateConflict
from governance.models import Dataset
from governance.permissions import Action
from governance.services import events
from validators.engine.suites import check_suite, with_ids
from validators.models import ExpectationSuite, RequiredSuite
from validators.services.problems import refuse
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def create_suite(*, name: str, document: Mapping[str, Any], by: User) -> ExpectationSuite:
    """Keep a suite as the next number of its name; expectations without an id get one.

    Raises:
        InvalidInput: with one error a problem, each naming the expectation.
    """
    permissions.require(by, Action.CREATE_SUITE)
    named = {**document, "name": name}
    refuse("suite", check_suite(named))
    identified = with_ids(named)
    try:
        return _keep_suite(name, identified, by)
    except IntegrityError as error:
        raise StateConflict(f"Somebody else added a number to {name} at the same moment; ask again.") from error


def _keep_suite(name: str, identified: dict[str, Any], by: User) -> ExpectationSuite:
    with transaction.atomic():
        last = ExpectationSuite.objects.filter(name=name).aggregate(last=Max("number"))["last"]
        suite = ExpectationSuite(
            name=name,
            number=(last or 0) + 1,
            document=identified,
            digest=digest_of_json(identified),
            created_by=by,
        )
        suite.full_clean(exclude=["created_by"])
        suite.save()
        events.record(name="suite.created", subject=suite.ref, by=by, detail={"digest": suite.digest})
    return suite


def require_suite(*, dataset: Dataset, suite: ExpectationSuite, by: User) -> RequiredSuite:
    """Pin the suite that versions of a data set have to pass before a model is trained on them."""
    permissions.require(by, Action.REQUIRE_SUITE, dataset)
    with transaction.atomic():
        required, _ = RequiredSuite.objects.update_or_create(dataset=dataset, defaults={"suite": suite, "set_by": by})
        events.record(name="suite.required", subject=dataset.name, by=by, detail={"suite": suite.ref})
    return required


def require_first_suite(*, dataset: Dataset, suite: ExpectationSuite, by: User) -> None:
    """Pin the suite unless one is pinned: the first that a version meets, so that the gate has something to ask for."""
    required, is_new = RequiredSuite.objects.get_or_create(dataset=dataset, defaults={"suite": suite, "set_by": by})
    if is_new:
        events.record(name="suite.required", subject=dataset.name, by=by, detail={"suite": required.suite.ref})
