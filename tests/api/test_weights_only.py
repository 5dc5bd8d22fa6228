"""A version of weights alone is kept and shown; whatever would load a model of it is refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest
from django.urls import reverse

from governance import job_kinds
from governance.models import Job, ModelVersion
from tests import factories
from tests.governance import results

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]

WAY_OUT = "holds weights and no model; put them into a model package with the code that makes a model of them"


@pytest.fixture(params=["state_dict", "safetensors", "npz"])
def weights(request) -> ModelVersion:
    return factories.ModelVersionFactory(
        format=request.param,
        framework="pytorch" if request.param == "state_dict" else "",
        signature=None,
        recipe=None,
        layers=[{"name": "block.0", "kind": "weights", "output_shape": None, "parameter_count": 6}],
    )


@pytest.mark.parametrize("path", ["trainings", "evaluations", "explanations", "audits"])
def test_work_on_it_is_refused(path: str, weights: ModelVersion, alice_api, dave_api) -> None:
    body: dict[str, Any] = {"model": weights.ref, "dataset": factories.DatasetVersionFactory().ref}
    if path == "trainings":
        body["recipe"] = factories.RECIPE
    api = alice_api if path == "trainings" else dave_api

    response = api.post(f"/api/v1/{path}/", body, format="json")

    assert response.status_code == 409, response.content
    assert WAY_OUT in response.json()["detail"]
    assert response.json()["detail"].startswith(weights.ref)
    assert not Job.objects.exists()


def test_it_is_not_what_another_version_is_compared_with(weights: ModelVersion, dave_api) -> None:
    body = {
        "model": factories.ModelVersionFactory().ref,
        "dataset": factories.DatasetVersionFactory().ref,
        "compare_with": weights.ref,
    }

    response = dave_api.post("/api/v1/evaluations/", body, format="json")

    assert response.status_code == 409
    assert WAY_OUT in response.json()["detail"]


def test_the_api_and_its_page_and_the_admin_show_it(weights: ModelVersion, alice_api, client, erin) -> None:
    answer = alice_api.get(f"/api/v1/models/{weights.model.name}/versions/{weights.number}/").json()
    assert (answer["format"], answer["signature"], answer["state"]) == (weights.format, None, "registered")

    client.force_login(factories.person("bob", "approvers"))
    page = client.get(reverse("version", args=[weights.model.name, weights.number])).content.decode()
    assert "Weights only" in page
    assert "holds weights and no model" in page
    assert "block.0" in page

    erin.is_superuser = True
    erin.save()
    client.force_login(erin)
    assert client.get(reverse("admin:governance_modelversion_change", args=[weights.pk])).status_code == 200


def test_an_inspection_registers_it_without_a_signature(weights: ModelVersion) -> None:
    version = factories.ModelVersionFactory(
        state="quarantined", rewritten=None, signature=None, format="", framework="", job=factories.JobFactory()
    )
    value, files = results.inspection(
        format=weights.format, framework=weights.framework, signature=None, rewritten="rewritten.safetensors"
    )

    job_kinds.get("model_inspection").record(version.job, value, files)

    version.refresh_from_db()
    assert (version.state, version.format, version.holds_model) == ("registered", weights.format, False)
    assert version.rewritten == files["rewritten.safetensors"]


def test_a_version_of_a_model_holds_one() -> None:
    assert factories.ModelVersionFactory().holds_model
    assert factories.ModelVersionFactory(format="", state="quarantined").holds_model
