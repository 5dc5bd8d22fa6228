"""The same request with the same key starts work once."""

from __future__ import annotations

import threading

import pytest
from django.db import connection

from governance.models import IdempotencyRecord, Job, ModelVersion, Training
from tests import factories
from tests.api.uploads import form

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]


@pytest.fixture
def body(alice) -> dict:
    return {"model": factories.ModelVersionFactory().ref, "dataset": factories.DatasetVersionFactory().ref}


def train(client, body: dict, key: str | None):
    headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
    return client.post("/api/v1/trainings/", body, format="json", **headers)


def test_the_same_request_gets_the_same_answer_and_one_job(alice_api, body):
    first, second = train(alice_api, body, "a-key"), train(alice_api, body, "a-key")

    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json() == first.json()
    assert second["Location"] == first["Location"]
    assert Training.objects.count() == Job.objects.filter(kind="training").count() == 1


def test_without_a_key_each_request_is_another(alice_api, body):
    train(alice_api, body, None)
    train(alice_api, body, None)

    assert Training.objects.count() == 2


def test_a_key_is_good_for_one_request(alice_api, body):
    train(alice_api, body, "a-key")

    response = train(alice_api, {**body, "devices": "cuda"}, "a-key")

    assert response.status_code == 409
    assert response.json()["type"] == "urn:assay:problem:idempotency_conflict"
    assert Training.objects.count() == 1


def test_a_key_belongs_to_one_person(alice_api, dave_api, body):
    first = alice_api.post("/api/v1/evaluations/", body, format="json", HTTP_IDEMPOTENCY_KEY="a-key")
    second = dave_api.post("/api/v1/evaluations/", body, format="json", HTTP_IDEMPOTENCY_KEY="a-key")

    assert first.json()["id"] != second.json()["id"]


def test_a_request_that_was_refused_can_be_sent_again(settings, alice_api, body):
    settings.GOVERNANCE_GATES = {"training": ["tests.governance.gates.closes"]}
    assert train(alice_api, body, "a-key").status_code == 409
    assert not IdempotencyRecord.objects.exists()

    settings.GOVERNANCE_GATES = {"training": []}
    assert train(alice_api, body, "a-key").status_code == 202


def test_an_upload_counts_by_its_content(alice_api, alice):
    model = factories.RegisteredModelFactory()
    address = f"/api/v1/models/{model.name}/versions/"

    def upload(content: bytes):
        return alice_api.post(address, form(content), format="multipart", HTTP_IDEMPOTENCY_KEY="a-key")

    assert upload(b"one").json() == upload(b"one").json()
    assert ModelVersion.objects.count() == 1
    assert upload(b"two").status_code == 409


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb"])
def test_a_key_that_is_none_is_told(key, alice_api, body):
    response = train(alice_api, body, key)

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"] == "Idempotency-Key"


@pytest.mark.django_db(transaction=True)
def test_two_at_once_start_work_once(body, alice):
    answers: list[tuple[int, int]] = []
    barrier = threading.Barrier(4)

    def ask() -> None:
        try:
            client = factories.api_client(alice)
            barrier.wait()
            response = train(client, body, "a-key")
            answers.append((response.status_code, response.json()["id"]))
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 4
    assert set(answers) == {(202, Training.objects.get().pk)}
