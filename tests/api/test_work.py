"""``trainings/``, ``evaluations/`` and ``jobs/``: work is started, followed and cancelled."""

from __future__ import annotations

import pytest

from governance import job_kinds
from governance.models import Job, JobState
from governance.services import jobs
from governance.storage import store
from tests import factories
from tests.governance import results

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]


@pytest.fixture
def body(alice) -> dict:
    return {"model": factories.ModelVersionFactory().ref, "dataset": factories.DatasetVersionFactory().ref}


def test_a_training_answers_202_and_later_names_what_it_made(body, alice_api):
    response = alice_api.post("/api/v1/trainings/", {**body, "recipe": factories.RECIPE}, format="json")

    assert response.status_code == 202
    training = response.json()
    assert (training["model"], training["dataset"], training["produced"]) == (body["model"], body["dataset"], None)
    assert training["job"]["state"] == "queued"
    assert training["devices"] == "cpu"

    job = Job.objects.get(pk=training["job"]["id"])
    job_kinds.get("training").record(job, *results.training())
    ended = alice_api.get(response["Location"]).json()
    name, number = body["model"].split("/")
    assert ended["produced"] == f"{name}/{int(number) + 1}"
    assert ended["history"][0]["epoch"] == 1
    produced = alice_api.get(f"/api/v1/models/{name}/versions/{int(number) + 1}/").json()
    assert (produced["retrained_from"], produced["training_data"]) == (body["model"], body["dataset"])


def test_devices_that_do_not_exist_are_told(body, alice_api):
    response = alice_api.post("/api/v1/trainings/", {**body, "devices": "tpu"}, format="json")

    assert response.status_code == 422
    assert Job.objects.count() == 0


@pytest.mark.parametrize(
    ("collection", "gate"), [("trainings", "training"), ("evaluations", "evaluation"), ("audits", "audit")]
)
def test_the_gate_of_the_installation_asks_for_validated_data(settings, body, alice_api, collection, gate):
    settings.GOVERNANCE_GATES = {gate: ["validators.gates.data_validated"]}

    response = alice_api.post(f"/api/v1/{collection}/", body, format="json")

    assert response.status_code == 409, response.content
    (reason,) = response.json()["reasons"]
    assert "validate" in reason
    assert not Job.objects.exists()


def test_a_model_that_does_not_fit_is_told_at_request_time_with_names_and_shapes(alice_api):
    columns = {
        "age": {"role": "feature", "type": "float", "shape": [3]},
        "income": {"role": "feature", "type": "float"},
    }
    dataset = factories.DatasetVersionFactory(schema={"modality": "tabular", "columns": columns})
    body = {"model": factories.ModelVersionFactory().ref, "dataset": dataset.ref}

    response = alice_api.post("/api/v1/evaluations/", body, format="json")

    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert "'features' has shape [-1, 2]" in error["detail"]
    assert "age [3]" in error["detail"]


def test_an_evaluation_answers_202_and_later_has_metrics_with_intervals(body, dave_api):
    other = factories.ModelVersionFactory()

    response = dave_api.post("/api/v1/evaluations/", {**body, "compare_with": other.ref, "slices": []}, format="json")

    assert response.status_code == 202
    evaluation = response.json()
    assert (evaluation["compare_with"], evaluation["metrics"]) == (other.ref, [])
    comparison = {"metrics": [results.difference()], "sentence": "Better by 0.1."}
    job = Job.objects.get(pk=evaluation["job"]["id"])
    job_kinds.get("evaluation").record(job, *results.evaluation(comparison=comparison))
    ended = dave_api.get(response["Location"]).json()
    assert ended["metrics"] == [results.metric()]
    assert ended["comparison"] == comparison


def test_an_alias_that_is_written_for_a_model_that_has_none_is_told(body, dave_api):
    response = dave_api.post("/api/v1/evaluations/", {**body, "model": "nothing@champion"}, format="json")

    assert response.status_code == 422
    assert response.json()["errors"] == [{"place": "model", "detail": "The model nothing has no alias champion."}]


@pytest.mark.parametrize("reference", [3, None, ["a/1"], "a"])
def test_a_reference_that_is_none_is_told(reference, body, dave_api):
    response = dave_api.post("/api/v1/evaluations/", {**body, "model": reference}, format="json")

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"] == "model"


def test_jobs_are_listed_by_state_and_kind(alice_api):
    factories.JobFactory(kind="training")
    factories.JobFactory(kind="training", state=JobState.FAILED)
    factories.JobFactory(kind="evaluation", state=JobState.SUCCEEDED)

    def kinds(query: str) -> list[str]:
        return [row["kind"] for row in alice_api.get(f"/api/v1/jobs/{query}").json()["results"]]

    assert kinds("?kind=training") == ["training", "training"]
    assert kinds("?state=failed&state=succeeded") == ["evaluation", "training"]
    assert alice_api.get("/api/v1/jobs/?state=asleep").status_code == 422


def test_a_job_is_cancelled_by_who_started_it(body, alice_api, dave_api):
    job = alice_api.post("/api/v1/trainings/", body, format="json").json()["job"]

    assert dave_api.post(f"/api/v1/jobs/{job['id']}/cancel/").status_code == 403
    response = alice_api.post(f"/api/v1/jobs/{job['id']}/cancel/")
    assert (response.status_code, response.json()["state"]) == (200, "cancelled")
    again = alice_api.post(f"/api/v1/jobs/{job['id']}/cancel/")
    assert again.status_code == 409
    assert "is cancelled" in again.json()["detail"]


def test_the_log_of_a_job_is_text(alice_api):
    job = factories.JobFactory(state=JobState.SUCCEEDED, log=store().put([b"epoch 1\n<script>"]))

    response = alice_api.get(f"/api/v1/jobs/{job.pk}/log/")

    assert response["Content-Type"] == "text/plain; charset=utf-8"
    assert response.content == b"epoch 1\n<script>"
    assert response["X-Content-Type-Options"] == "nosniff"


def test_the_log_of_a_running_job_is_what_it_said_so_far(alice_api):
    job = factories.JobFactory(state=JobState.RUNNING, attempt=1)
    folder = jobs.folder_of(job)
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text("epoch 1\n")

    assert alice_api.get(f"/api/v1/jobs/{job.pk}/log/").content == b"epoch 1\n"
    assert alice_api.get(f"/api/v1/jobs/{factories.JobFactory().pk}/log/").content == b""
