"""Every refusal is a problem document (RFC 9457), wherever it comes from."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from rest_framework.test import APIClient

from governance.services import registry
from tests import factories

pytestmark = pytest.mark.django_db

MODEL = {"name": "credit-scorer", "task": "classification", "intended_use": "Tells who repays."}


def problem(response, status: int) -> dict:
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    document = json.loads(response.content)
    assert {"type", "title", "status", "detail", "errors"} <= set(document)
    assert document["status"] == status
    assert document["type"].startswith("urn:assay:problem:")
    assert document["title"].endswith(".")
    return document


def test_who_is_not_known_is_told_how_to_say_it():
    response = APIClient().get("/api/v1/models/")

    problem(response, 401)
    assert response["WWW-Authenticate"] == "Token"


def test_what_one_may_not_do_and_what_is_not_there(dave_api):
    assert "member of engineers" in problem(dave_api.post("/api/v1/models/", MODEL, format="json"), 403)["detail"]
    problem(dave_api.get("/api/v1/models/nothing/"), 404)
    problem(dave_api.get("/api/v1/jobs/?cursor=nonsense"), 404)


def test_an_address_that_does_not_exist_answers_json_in_the_api_and_a_page_elsewhere():
    assert problem(Client().get("/api/v1/nothing/"), 404)["type"] == "urn:assay:problem:not_found"

    page = Client().get("/nothing/")
    assert page.status_code == 404
    assert page["Content-Type"].startswith("text/html")


def test_a_method_that_is_not_taken(erin_api):
    problem(erin_api.delete("/api/v1/events/1/"), 403)
    problem(erin_api.put("/api/v1/models/", {}, format="json"), 403)


def test_fields_that_are_wrong_are_named_each(alice_api):
    document = problem(alice_api.post("/api/v1/models/", {"name": "Not A Name", "tier": "huge"}, format="json"), 422)

    places = {error["place"] for error in document["errors"]}
    assert places == {"name", "tier", "task", "intended_use"}
    assert "4 entries are not valid" in document["detail"]


def test_a_field_inside_a_list_is_named_with_its_place(alice_api):
    body = {"model": "a/1", "dataset": "b/1", "slices": ["age", ["x"]]}

    document = problem(alice_api.post("/api/v1/evaluations/", body, format="json"), 422)

    assert "slices[1]" in {error["place"] for error in document["errors"]}


def test_a_field_that_does_not_exist_is_an_error_and_not_ignored(alice_api):
    document = problem(alice_api.post("/api/v1/models/", {**MODEL, "owner": "mallory"}, format="json"), 422)

    (error,) = document["errors"]
    assert error["place"] == "owner"
    assert error["detail"] == "There is no such field; the fields are name, task, tier, intended_use, limitations."


@pytest.mark.parametrize(
    ("body", "because"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b'{"name": NaN}', "NaN"),
        (b'{"name": 1e999}', "too large"),
        (b'{"name": "a", "name": "b"}', "'name' stands twice"),
        (b'{"name": "\\ud800"}', "surrogates"),
        (b'{"name": "a\\u0000b"}', "NUL"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, "nested too deeply"),
    ],
)
def test_json_that_readers_read_differently_is_refused(body, because, alice_api):
    response = alice_api.post("/api/v1/models/", data=body, content_type="application/json")

    assert because in problem(response, 400)["detail"]


def test_a_body_that_is_no_object_is_refused(alice_api):
    problem(alice_api.post("/api/v1/models/", ["a"], format="json"), 422)


def test_a_body_that_is_too_large_is_refused(settings, alice_api):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    problem(alice_api.post("/api/v1/models/", {**MODEL, "limitations": "x" * 1000}, format="json"), 413)


def test_a_type_that_is_not_taken_is_refused(alice_api):
    problem(alice_api.post("/api/v1/models/", "name=a", content_type="application/x-www-form-urlencoded"), 415)


def test_a_state_that_does_not_allow_it(alice, alice_api):
    alice_api.post("/api/v1/models/", MODEL, format="json")

    document = problem(alice_api.post("/api/v1/models/", MODEL, format="json"), 409)

    assert document["type"] == "urn:assay:problem:state_conflict"
    assert "reasons" not in document


def test_a_gate_that_says_no_gives_its_reasons(settings, alice_api):
    settings.GOVERNANCE_GATES = {"training": ["tests.governance.gates.closes"]}
    body = {"model": factories.ModelVersionFactory().ref, "dataset": factories.DatasetVersionFactory().ref}

    document = problem(alice_api.post("/api/v1/trainings/", body, format="json"), 409)

    assert document["type"] == "urn:assay:problem:gate_closed"
    assert document["reasons"] == ["The sky is grey.", "It is Monday."]


def test_what_breaks_on_our_side_is_told_without_its_insides(alice, monkeypatch):
    def breaks(**_):
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(registry, "register_model", breaks)
    client = factories.api_client(alice)
    client.raise_request_exception = False

    document = problem(client.post("/api/v1/models/", MODEL, format="json"), 500)

    assert "secret" not in json.dumps(document)
