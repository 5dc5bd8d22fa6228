"""``datasets/`` and their versions."""

from __future__ import annotations

import json

import pytest

from governance.models import DatasetVersion
from tests import factories
from tests.api.uploads import form
from workers.protocol import digest_of_bytes

pytestmark = pytest.mark.django_db

ROWS = b"age,income,repaid\n30,1000,yes\n"


@pytest.fixture
def address(alice_api) -> str:
    response = alice_api.post("/api/v1/datasets/", {"name": "applicants", "description": "Loans."}, format="json")
    assert response.status_code == 201
    assert response["Location"] == "/api/v1/datasets/applicants/"
    return "/api/v1/datasets/applicants/versions/"


def test_an_upload_answers_202_with_the_version_its_job_and_its_address(address, alice_api):
    body = form(ROWS, name="applicants.csv", schema=json.dumps(factories.SCHEMA))

    response = alice_api.post(address, body, format="multipart")

    assert response.status_code == 202
    version = response.json()
    assert (version["ref"], version["state"], version["digest"]) == ("applicants/1", "importing", "")
    assert version["upload_digest"] == digest_of_bytes(ROWS)
    assert version["job"]["kind"] == "dataset_import"
    assert alice_api.get(response["Location"]).json() == version
    assert DatasetVersion.objects.get().stated_schema == factories.SCHEMA
    assert alice_api.get("/api/v1/datasets/applicants/").json()["latest"] == "applicants/1"


def test_a_schema_that_is_none_is_told(address, alice_api):
    body = form(ROWS, name="applicants.csv", schema='{"modality": "tabular", "columns": {"age": {"role": "feature"}}}')

    response = alice_api.post(address, body, format="multipart")

    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["place"] == "schema"
    assert "'age'" in error["detail"]
    assert not DatasetVersion.objects.exists()


def test_a_schema_with_two_targets_is_told_with_their_names(address, alice_api):
    columns = {"age": {"role": "target", "type": "integer"}, "default": {"role": "target", "type": "boolean"}}
    body = form(ROWS, name="applicants.csv", schema=json.dumps({"modality": "tabular", "columns": columns}))

    response = alice_api.post(address, body, format="multipart")

    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert "'age', 'default' all have the role target" in error["detail"]
    assert not DatasetVersion.objects.exists()


def test_a_data_set_that_is_another_persons_takes_no_upload(address, dave_api):
    response = dave_api.post(address, form(ROWS, name="applicants.csv"), format="multipart")

    assert response.status_code == 403
    assert "Only the owner of applicants, alice" in response.json()["detail"]


def test_an_auditor_brings_data_of_their_own(dave_api):
    dave_api.post("/api/v1/datasets/", {"name": "audit-set"}, format="json")

    response = dave_api.post("/api/v1/datasets/audit-set/versions/", form(ROWS, name="a.csv"), format="multipart")

    assert response.status_code == 202
