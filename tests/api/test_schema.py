"""The API describes itself, wholly and offline."""

from __future__ import annotations

import io
import re

import pytest
import yaml
from django.core.management import call_command
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def schema() -> dict:
    out = io.StringIO()
    call_command("spectacular", "--validate", "--fail-on-warn", stdout=out)
    return yaml.safe_load(out.getvalue())


def test_the_description_has_no_warning_and_says_what_it_is(schema):
    assert schema["openapi"] == "3.1.0"
    assert schema["info"]["title"] == "Assay"


def test_every_operation_says_how_it_refuses(schema):
    operations = [
        operation for path in schema["paths"].values() for name, operation in path.items() if name != "parameters"
    ]

    assert len(operations) > 50
    for operation in operations:
        assert "application/problem+json" in operation["responses"]["4XX"]["content"]


def test_work_that_is_started_takes_an_idempotency_key_and_answers_202(schema):
    for path in ("/api/v1/trainings/", "/api/v1/evaluations/", "/api/v1/models/{name}/versions/", "/api/v1/audits/"):
        post = schema["paths"][path]["post"]
        assert "202" in post["responses"]
        assert "Idempotency-Key" in {parameter["name"] for parameter in post["parameters"]}


def test_an_upload_is_a_form_with_a_file_or_the_number_of_one_that_came_in_pieces(schema):
    post = schema["paths"]["/api/v1/models/{name}/versions/"]["post"]

    assert list(post["requestBody"]["content"]) == ["multipart/form-data", "application/json"]
    assert post["security"] == [{"knoxApiToken": []}]


def test_the_docs_load_nothing_from_elsewhere():
    page = Client().get("/api/v1/docs/").content.decode()

    sources = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert sources
    assert all(source.startswith(("/", "data:")) for source in sources)
    assert "<script>" not in page


def test_the_docs_files_are_served_by_this_server():
    page = Client().get("/api/v1/docs/").content.decode()
    files = [source for source in re.findall(r'(?:src|href)="([^"]+)"', page) if source.startswith("/static/")]

    assert any("swagger-ui-bundle.js" in name for name in files)
    for name in files:
        response = Client().get(name)
        assert response.status_code == 200
        assert sum(len(chunk) for chunk in response) > 0
        response.close()
