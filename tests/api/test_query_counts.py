"""A list takes the same number of queries however long it is."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from audits.services import findings
from governance.models import Alias, Decision
from governance.services import events, provenance, signing_keys, uploads
from governance.urls import api_router
from tests import factories, page_factories
from validators.models import Waiver

pytestmark = pytest.mark.django_db

events.register("test.happened")


def make_model() -> None:
    version = factories.ModelVersionFactory(job=factories.JobFactory())
    review = factories.EvidenceFactory(review__version=version).review
    Alias.objects.create(model=version.model, name="champion", version=version, review=review)


def make_version() -> None:
    model = factories.RegisteredModelFactory._meta.model.objects.filter(name="one").first()
    model = model or factories.RegisteredModelFactory(name="one")
    origin = factories.ModelVersionFactory()
    factories.ModelVersionFactory(
        model=model,
        retrained_from=origin,
        training_data=factories.DatasetVersionFactory(),
        job=factories.JobFactory(),
    )


def make_dataset_version() -> None:
    dataset = factories.DatasetFactory._meta.model.objects.filter(name="one").first()
    dataset = dataset or factories.DatasetFactory(name="one")
    factories.DatasetVersionFactory(
        dataset=dataset, cleaned_from=factories.DatasetVersionFactory(), job=factories.JobFactory()
    )


def make_review() -> None:
    review = factories.EvidenceFactory().review
    person = factories.person(f"approver-{review.pk}", "approvers")
    Decision.objects.create(review=review, outcome="approve", comment="Fine.", decided_by=person)


def make_policy() -> None:
    number = factories.PolicyFactory._meta.model.objects.filter(name="one").count() + 1
    factories.PolicyFactory(name="one", number=number)


def make_event() -> None:
    with transaction.atomic():
        events.record(name="test.happened", subject="thing/1", by=None)


def make_validation() -> None:
    validation = page_factories.validation(factories.DatasetVersionFactory())
    Waiver.objects.create(
        validation=validation, reason="Known.", expires_at=timezone.now(), granted_by=factories.owner()
    )


def make_finding() -> None:
    audit = page_factories.audit()
    findings.comment_on_finding(finding=audit.findings.earliest("pk"), text="Seen.", by=audit.created_by)


def make_statement() -> None:
    signing_keys.create_key(rotate=True)
    with transaction.atomic():
        provenance.sign_dataset(factories.DatasetVersionFactory(), by=None)


def make_upload() -> None:
    uploads.create_upload(length_bytes=5, by=factories.owner())


LISTS: dict[str, Callable[[], object]] = {
    "models/": make_model,
    "models/one/versions/": make_version,
    "datasets/": factories.DatasetVersionFactory,
    "datasets/one/versions/": make_dataset_version,
    "uploads/": make_upload,
    "trainings/": lambda: factories.TrainingFactory(produced=factories.ModelVersionFactory()),
    "evaluations/": lambda: factories.EvaluationFactory(compare_with=factories.ModelVersionFactory()),
    "reviews/": make_review,
    "jobs/": factories.JobFactory,
    "policies/": factories.PolicyFactory,
    "policies/one/": make_policy,
    "events/": make_event,
    "statements/": make_statement,
    "keys/": make_statement,
    "suites/": factories.ExpectationSuiteFactory,
    "validations/": make_validation,
    "proposals/": page_factories.proposal,
    "splits/": lambda: page_factories.split(factories.DatasetVersionFactory()),
    "comparisons/": page_factories.comparison,
    "cleanings/": lambda: page_factories.cleaning(factories.DatasetVersionFactory()),
    "screenings/": lambda: page_factories.screening(factories.DatasetVersionFactory()),
    "restorations/": lambda: page_factories.restoration(page_factories.cleaning(factories.DatasetVersionFactory())),
    "explanations/": page_factories.explanation,
    "audits/": page_factories.audit,
    "findings/": make_finding,
}


def queries(client, address: str) -> tuple[int, int]:
    """Return how many queries a list takes, and how many rows it shows."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(f"/api/v1/{address}?page_size=100")
    assert response.status_code == 200
    return len(captured), len(response.json()["results"])


@pytest.mark.parametrize("address", sorted(LISTS))
def test_a_list_of_many_takes_as_many_queries_as_a_list_of_one(address, alice):
    LISTS[address]()
    few, shown = queries(factories.api_client(alice), address)
    for _ in range(19):
        LISTS[address]()
    many, shown_later = queries(factories.api_client(alice), address)

    assert shown_later >= shown + 19
    assert many == few
    assert few <= 8


def test_every_list_is_counted():
    collections = {
        f"{prefix.replace('<str:name>', 'one')}/"
        for prefix, viewset, _ in api_router().registry
        if "list" in viewset.actions
    }

    assert collections == set(LISTS)
