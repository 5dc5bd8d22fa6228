"""The admin is a face of the services: it starts what they allow, shows what they refuse, and edits nothing."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from governance.models import (
    Evaluation,
    Event,
    Job,
    JobState,
    Policy,
    RegisteredModel,
    Training,
)
from governance.services import provenance, registry, signing_keys
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]

MODELS = ("registeredmodel", "modelversion", "dataset", "datasetversion", "training", "evaluation", "job", "policy",
          "review", "event", "signedstatement", "installationkey")  # fmt: skip


def client_of(user: User) -> Client:
    User.objects.filter(pk=user.pk).update(is_staff=True)
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def engineer(alice) -> Client:
    return client_of(alice)


@pytest.fixture
def administrator(erin) -> Client:
    return client_of(erin)


def make_one_of_each() -> None:
    version = factories.ModelVersionFactory(job=factories.JobFactory(), retrained_from=factories.ModelVersionFactory())
    dataset = factories.DatasetVersionFactory(
        job=factories.JobFactory(), cleaned_from=factories.DatasetVersionFactory()
    )
    factories.TrainingFactory(version=version, dataset=dataset, produced=factories.ModelVersionFactory())
    factories.EvaluationFactory(version=version, dataset=dataset, compare_with=factories.ModelVersionFactory())
    factories.EvidenceFactory(review__version=version)
    factories.PolicyFactory()
    signing_keys.create_key(rotate=True)
    with transaction.atomic():
        provenance.sign_dataset(dataset, by=None)
    registry.register_model(
        name=f"model-{Event.objects.count()}", task="regression", intended_use="x", by=factories.owner()
    )


def page(client: Client, name: str, *args: object) -> str:
    response = client.get(reverse(f"admin:governance_{name}", args=args))
    assert response.status_code == 200
    return response.content.decode()


@pytest.mark.parametrize("model", MODELS)
def test_every_list_and_every_row_is_shown_in_a_constant_number_of_queries(model, engineer):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            page(engineer, f"{model}_changelist")
        return len(captured)

    make_one_of_each()
    few = queries()
    for _ in range(5):
        make_one_of_each()
    assert queries() == few

    entity = apps.get_model("governance", model)
    page(engineer, f"{model}_change", entity.objects.latest("pk").pk)


@pytest.mark.parametrize("model", MODELS)
def test_nothing_that_is_kept_can_be_changed_or_deleted(model, administrator):
    make_one_of_each()
    pk = apps.get_model("governance", model).objects.latest("pk").pk

    for verb in ("change", "delete"):
        address = reverse(f"admin:governance_{model}_{verb}", args=[pk])
        assert administrator.post(address, {"post": "yes"}).status_code == 403


def test_events_can_be_neither_added_nor_changed_nor_deleted_even_by_a_superuser():
    root = client_of(User.objects.create_superuser("root"))
    make_one_of_each()
    event = Event.objects.latest("pk")

    assert root.get(reverse("admin:governance_event_add")).status_code == 403
    assert root.post(reverse("admin:governance_event_change", args=[event.pk]), {"actor": "mallory"}).status_code == 403
    assert root.post(reverse("admin:governance_event_delete", args=[event.pk]), {"post": "yes"}).status_code == 403
    assert "delete_selected" not in page(root, "event_changelist")


def test_who_is_in_no_group_sees_nothing(carol):
    client = client_of(carol)

    assert client.get(reverse("admin:governance_registeredmodel_changelist")).status_code == 403
    assert "governance" not in client.get(reverse("admin:index")).content.decode().split("content-main")[1]


# --------------------------------------------------------------------------------------------------- starting
def add(client: Client, model: str, **values: object):
    return client.post(reverse(f"admin:governance_{model}_add"), values, follow=True)


def test_a_model_is_registered_by_its_owner(engineer, alice):
    add(engineer, "registeredmodel", name="credit-scorer", task="classification", tier="low", intended_use="Loans.")

    model = RegisteredModel.objects.get()
    assert (model.name, model.owner) == ("credit-scorer", alice)
    assert Event.objects.get().name == "model.registered"


def test_who_may_not_register_gets_no_form(administrator):
    assert administrator.get(reverse("admin:governance_registeredmodel_add")).status_code == 403


def test_a_training_is_started_from_the_version(engineer):
    version, dataset = factories.ModelVersionFactory(), factories.DatasetVersionFactory()
    action = {"action": "admin_governance_training_add_by_version", "_selected_action": [version.pk]}

    form = engineer.post(reverse("admin:governance_modelversion_changelist"), action, follow=True)
    assert f'<option value="{version.pk}" selected>{version.ref}</option>' in form.content.decode()

    response = add(engineer, "training", version=version.pk, dataset=dataset.pk, recipe="", devices="cpu")
    training = Training.objects.get()
    assert training.job.state == JobState.QUEUED
    assert training.recipe == factories.RECIPE
    assert reverse("job", args=[training.job_id]) in response.content.decode()


def test_an_action_for_one_row_is_told_when_there_are_two(engineer):
    versions = [factories.ModelVersionFactory().pk, factories.ModelVersionFactory().pk]
    action = {"action": "admin_governance_evaluation_add_by_version", "_selected_action": versions}

    response = engineer.post(reverse("admin:governance_modelversion_changelist"), action, follow=True)

    assert "Select one row for this." in response.content.decode()


def test_an_evaluation_is_started_with_its_slices(engineer):
    version, dataset, other = (
        factories.ModelVersionFactory(),
        factories.DatasetVersionFactory(),
        factories.ModelVersionFactory(),
    )

    add(engineer, "evaluation", version=version.pk, dataset=dataset.pk, compare_with=other.pk, slices="repaid, age",
        devices="cpu")  # fmt: skip

    evaluation = Evaluation.objects.get()
    assert (evaluation.slices, evaluation.compare_with) == (["repaid", "age"], other)


def test_what_the_service_refuses_stands_above_the_form_which_keeps_what_was_typed(settings, engineer):
    settings.GOVERNANCE_GATES = {"training": ["tests.governance.gates.closes"]}
    version, dataset = factories.ModelVersionFactory(), factories.DatasetVersionFactory()

    response = add(
        engineer, "training", version=version.pk, dataset=dataset.pk, recipe='{"loss": "mse"}', devices="cpu"
    )

    content = response.content.decode()
    assert response.status_code == 200
    assert "The sky is grey." in content
    assert "It is Monday." in content
    assert "mse" in content
    assert f'<option value="{dataset.pk}" selected>' in content
    assert not Training.objects.exists()
    assert not Job.objects.exists()


def test_a_policy_is_written_as_json_and_its_errors_are_told(administrator):
    document = '{"name": "strict", "tier": "high", "checks": {"ART-01": {}}}'

    add(administrator, "policy", document=document)
    assert Policy.objects.get(name="strict").ref == "strict/1"

    response = add(administrator, "policy", document=document.replace("high", "extreme"))
    assert "&#x27;extreme&#x27; is not one of" in response.content.decode()
    assert Policy.objects.filter(name="strict").count() == 1


def test_jobs_are_cancelled_and_a_refusal_is_a_message(engineer, dave):
    queued, ended = factories.JobFactory(), factories.JobFactory(state=JobState.SUCCEEDED)
    action = {"action": "cancel", "_selected_action": [queued.pk, ended.pk]}

    content = engineer.post(reverse("admin:governance_job_changelist"), action, follow=True).content.decode()

    queued.refresh_from_db()
    assert queued.state == JobState.CANCELLED
    assert f"Job {queued.pk}: model_inspection was asked to end." in content
    assert f"Job {ended.pk} has ended already" in content

    another = factories.JobFactory()
    action = {"action": "cancel", "_selected_action": [another.pk]}
    refused = client_of(dave).post(reverse("admin:governance_job_changelist"), action, follow=True).content.decode()
    assert "Only alice, who started" in refused


def test_a_review_is_asked_for_with_its_evidence(engineer):
    version = factories.ModelVersionFactory(model__owner=User.objects.get(username="alice"))
    evaluation = factories.EvaluationFactory(version=version)
    typed = {"version": version.pk, "alias": "champion", "evidence": f"evaluation:{evaluation.pk}, ", "comment": ""}

    answer = engineer.post(reverse("admin:governance_review_add"), typed)

    assert answer.status_code == 302
    review = version.reviews.get()
    assert [str(piece.object_id) for piece in review.evidence.all()] == [str(evaluation.pk)]
    assert review.requested_by.username == "alice"


def test_evidence_that_is_none_is_said_above_the_form(engineer):
    version = factories.ModelVersionFactory(model__owner=User.objects.get(username="alice"))
    typed = {"version": version.pk, "alias": "champion", "evidence": "audits 5", "comment": ""}

    answer = engineer.post(reverse("admin:governance_review_add"), typed)

    assert answer.status_code == 200
    assert "audits 5" in answer.content.decode()
    assert not version.reviews.exists()


def test_a_field_for_json_is_empty_where_nothing_stands_in_it(engineer):
    page = engineer.get(reverse("admin:governance_modelversion_add")).content.decode()

    assert "null</textarea>" not in page


def test_a_quarantined_version_is_decided_on_its_page(administrator):
    finding = {"id": "ART-03.package", "severity": "medium", "title": "Code", "detail": "It needs code.", "place": ""}
    held = factories.ModelVersionFactory(
        state="quarantined", rewritten=None, inspection={"verdict": "quarantined", "findings": [finding]}
    )
    other = factories.ModelVersionFactory()
    address = reverse("admin:governance_modelversion_changelist")
    assert "ART-03.package" in administrator.get(address).content.decode()

    def choose(*versions):
        chosen = [version.pk for version in versions]
        return administrator.post(address, {"action": "decide_on_quarantine", "_selected_action": chosen})

    assert choose(held)["Location"] == reverse("version", args=[held.model.name, held.number]) + "#quarantine"
    for versions in ((other,), (held, other)):
        answer = choose(*versions)
        assert answer.status_code == 302
        assert "quarantine" not in answer["Location"]
