"""The health of the installation, as a page and in the API: sandboxes, queue and room."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from governance import health
from governance.models import Job, JobState
from tests import factories
from tests.workers.driver_trees import four_cards, plant
from workers import sandbox
from workers.sandbox import Layers

pytestmark = pytest.mark.django_db

WHOLE = Layers(
    bubblewrap="0.8.0",
    namespaces=("user", "net", "pid"),
    landlock=7,
    seccomp=True,
    no_new_privileges=True,
    no_capabilities=True,
    read_only_inputs=True,
    limits=True,
    parent_death=True,
)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda choice: WHOLE)


def ended_job(worker: str, said: Any, **fields: Any) -> Job:
    defaults = {"state": JobState.SUCCEEDED, "finished_at": timezone.now(), "environment": {"sandbox": said}}
    return factories.JobFactory(worker=worker, **{**defaults, **fields})


def page_of(client: Client, user: User) -> str:
    client.force_login(user)
    response = client.get(reverse("health"))
    assert response.status_code == 200
    return response.content.decode()


def test_an_empty_installation_shows_this_machine_layer_by_layer(client: Client, erin: User) -> None:
    page = page_of(client, erin)

    assert "Uploads can be contained here" in page
    for words in (
        "bubblewrap",
        "version 0.8.0",
        "user, net, pid",
        "interface 7",
        "seccomp",
        "no capabilities",
        "own GPUs only",
    ):
        assert words in page
    assert "not there" not in page.split('id="workers"')[0]
    assert "No worker has ended a job yet." in page
    assert "free of" in page


def test_a_machine_that_can_contain_nothing_says_so_first(
    client: Client, erin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda choice: Layers(limits=True))

    page = page_of(client, erin)

    assert "Uploads cannot be contained here" in page
    assert page.count("not there") == 8  # every layer but the limits


def test_the_cards_of_this_machine_are_shown_with_their_device_files(tmp_path: Path) -> None:
    assert health._cards(plant(tmp_path / "four", four_cards())).said.startswith("cuda:0 is ")
    odd = health._cards(plant(tmp_path / "odd", {}, device_files=2))
    assert not odd.is_there
    assert "there are 2 cards, and the driver describes none" in odd.said
    none = health._cards(sandbox.Driver(state=tmp_path, device_folder=tmp_path))
    assert (none.is_there, none.said) == (True, "none here")


def test_each_worker_is_shown_by_its_newest_ended_job(client: Client, dave: User) -> None:
    ended_job("gpu-a:1", Layers().to_json())
    newest = ended_job("gpu-a:1", WHOLE.to_json())
    weak = ended_job("cpu-b:2", Layers(namespaces=("user", "net"), landlock=7).to_json())
    factories.JobFactory(worker="gpu-a:1", state=JobState.RUNNING, environment={})

    workers = health.look().workers

    assert [(worker.worker, worker.job) for worker in workers] == [("cpu-b:2", weak.pk), ("gpu-a:1", newest.pk)]
    assert workers[1].missing == []
    assert {"bubblewrap", "seccomp"} < set(workers[0].missing)
    page = page_of(client, dave)
    assert reverse("job", args=[newest.pk]) in page
    assert "bubblewrap, seccomp, " in page


@pytest.mark.parametrize("said", [True, None, "whole", {"landlock": "<script>"}, {"bubblewrap": "<script>" * 9}, []])
def test_what_a_child_made_up_is_no_layer_and_no_markup(client: Client, erin: User, said: Any) -> None:
    ended_job("cpu-b:2", said)

    page = page_of(client, erin)

    assert "<script>" not in page.replace("<script src", "")
    (worker,) = health.look().workers
    assert not worker.sandbox.may_load_uploads


def test_only_the_workers_of_late_are_listed() -> None:
    for number in range(health.MOST_WORKERS + 3):
        ended_job(f"w:{number}", WHOLE.to_json())

    listed = [worker.worker for worker in health.look().workers]

    assert listed == [f"w:{number}" for number in range(health.MOST_WORKERS + 2, 2, -1)]


def test_the_queue_is_counted_with_the_wait_of_its_oldest() -> None:
    assert health.look().queue == health.QueueState(queued_count=0, running_count=0, oldest_queued_seconds=None)
    oldest = factories.JobFactory()
    Job.objects.filter(pk=oldest.pk).update(created_at=timezone.now() - timedelta(minutes=5))
    factories.JobFactory()
    factories.JobFactory(state=JobState.RUNNING)

    queue = health.look().queue

    assert (queue.queued_count, queue.running_count) == (2, 1)
    assert queue.oldest_queued_seconds == pytest.approx(300, abs=60)


def test_the_room_of_a_store_that_is_not_made_yet_is_that_of_its_disk(settings: Any) -> None:
    settings.ASSAY_STORE_FOLDER = settings.ASSAY_STORE_FOLDER / "not" / "made" / "yet"

    store = health.look().store

    assert 0 < store.free_bytes <= store.total_bytes


def test_the_api_says_the_same(erin_api: APIClient) -> None:
    job = ended_job("cpu-b:2", Layers(landlock=7, seccomp=True).to_json())

    answer = erin_api.get("/api/v1/health/").json()

    assert answer["choice"] == "auto"
    assert answer["sandbox"]["may_load_uploads"] is True
    layers = {layer["name"]: layer for layer in answer["sandbox"]["layers"]}
    assert (layers["bubblewrap"]["is_there"], layers["bubblewrap"]["said"]) == (True, "version 0.8.0")
    (worker,) = answer["workers"]
    assert (worker["worker"], worker["job"]) == ("cpu-b:2", job.pk)
    assert [layer["name"] for layer in worker["sandbox"]["layers"] if layer["is_there"]] == ["Landlock", "seccomp"]
    assert set(answer["queue"]) == {"queued_count", "running_count", "oldest_queued_seconds"}
    assert answer["store"]["free_bytes"] > 0


@pytest.mark.parametrize(
    ("name", "status"), [("alice", 403), ("bob", 403), ("carol", 403), ("dave", 200), ("erin", 200)]
)
def test_administrators_and_auditors_see_it_and_find_it(
    client: Client, name: str, status: int, request: pytest.FixtureRequest
) -> None:
    client.force_login(request.getfixturevalue(name))

    assert client.get(reverse("health")).status_code == status
    linked = f'href="{reverse("health")}"' in client.get(reverse("event-list")).content.decode()
    assert linked is (status == 200)


def test_who_is_not_signed_in_goes_to_the_sign_in_page(client: Client) -> None:
    assert client.get(reverse("health"))["Location"] == f"{reverse('login')}?next={reverse('health')}"
