"""The gate before training: open only for a passed or waived validation of the required suite on the same content."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from governance.models import DatasetVersion, Event
from tests.factories import DatasetVersionFactory, ExpectationSuiteFactory, JobFactory
from validators import gates
from validators.models import ExpectationSuite, RequiredSuite, Validation
from validators.services import validations


@pytest.fixture
def dataset(alice: User) -> DatasetVersion:
    return DatasetVersionFactory()


@pytest.fixture
def suite(alice: User, dataset: DatasetVersion) -> ExpectationSuite:
    suite = ExpectationSuiteFactory()
    RequiredSuite.objects.create(dataset=dataset.dataset, suite=suite, set_by=alice)
    return suite


def validated(dataset: DatasetVersion, suite: ExpectationSuite, success: bool | None, **fields: Any) -> Validation:
    status = {True: "passed", False: "failed", None: "error"}[success]
    return Validation.objects.create(
        dataset=dataset,
        suite=suite,
        dataset_digest=dataset.content_digest,
        success=success,
        results=[{"status": status}],
        job=JobFactory(kind="validation"),
        created_by=dataset.created_by,
        **fields,
    )


def test_closed_while_no_suite_is_required(dataset: DatasetVersion) -> None:
    assert "requires no suite yet" in gates.data_validated(dataset=dataset)[0]


def test_closed_while_nothing_was_validated(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    assert "has not been validated" in gates.data_validated(dataset=dataset)[0]


def test_closed_while_the_validation_has_not_ended(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    validated(dataset, suite, None)

    assert gates.data_validated(dataset=dataset)


def test_open_after_a_passed_validation(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    validated(dataset, suite, True)

    assert gates.data_validated(dataset=dataset) == []


def test_closed_after_a_failed_validation_with_the_counts(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    validated(dataset, suite, False)

    (reason,) = gates.data_validated(dataset=dataset)

    assert "1 of 1 expectations were not met" in reason
    assert suite.ref in reason


def test_another_suite_does_not_open_it(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    validated(dataset, ExpectationSuiteFactory(document={"expectations": [], "name": "easy"}), True)

    assert gates.data_validated(dataset=dataset)


def test_other_content_does_not_open_it(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    validated(DatasetVersionFactory(dataset=dataset.dataset), suite, True)

    assert gates.data_validated(dataset=dataset)


def test_the_same_content_under_another_name_opens_it(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    twin = DatasetVersionFactory(dataset=dataset.dataset, content_digest=dataset.content_digest)
    validated(twin, suite, True)

    assert gates.data_validated(dataset=dataset) == []


def test_the_newest_validation_counts(dataset: DatasetVersion, suite: ExpectationSuite) -> None:
    validated(dataset, suite, True)
    validated(dataset, suite, False)

    assert gates.data_validated(dataset=dataset)


def test_a_waiver_opens_it_until_its_end(dataset: DatasetVersion, suite: ExpectationSuite, bob: User) -> None:
    validation = validated(dataset, suite, False)
    waiver = validations.grant_waiver(
        validation=validation, reason="Known sensor fault.", expires_at=timezone.now() + timedelta(days=1), by=bob
    )

    assert gates.data_validated(dataset=dataset) == []
    assert gates.validation_problem(validation) is None
    assert gates.validation_state(dataset)["waiver"]["reason"] == "Known sensor fault."
    assert Event.objects.filter(name="waiver.granted", actor="bob").exists()

    waiver.expires_at = timezone.now() - timedelta(seconds=1)
    waiver.save()

    assert gates.data_validated(dataset=dataset)
    assert "ended on" in str(gates.validation_problem(validation))
