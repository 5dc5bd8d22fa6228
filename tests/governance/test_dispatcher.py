"""One attempt after the other, in this process: what the row, the events and the folders look like at each end."""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connections

from governance import attempt as attempt_module
from governance import job_kinds, outcome, queue
from governance.attempt import Attempt, Lease
from governance.dispatcher import Dispatcher
from governance.exceptions import InvalidInput, LostJob, NotAllowed, StateConflict
from governance.job_folders import remove_folder
from governance.models import Event, Job, JobState, ReviewState, StoredFile
from governance.services import jobs
from governance.storage import store
from tests import factories
from tests.faults.conftest import eventually, processes_of, told_by
from tests.workers.driver_trees import four_cards, plant, uuid
from workers.executors.local import LocalExecutor
from workers.protocol import JobSpec, Limits, digest_of_bytes, digest_of_json

pytestmark = pytest.mark.django_db

Submit = Callable[..., Job]
Work = Callable[..., Job]


def limit(job: Job, **limits: int) -> None:
    spec = {**job.spec, "limits": {**job.spec["limits"], **limits}}
    Job.objects.filter(pk=job.pk).update(spec=spec)


# --------------------------------------------------------------------------------------------------- submit
def test_a_submitted_job_says_all_that_matters_by_digest(submit: Submit) -> None:
    stored = store().put([b"abc"])
    job = submit("read_input", inputs={"data": ("data.bin", stored)}, seed=7)
    assert job.state == JobState.QUEUED
    assert job.spec["inputs"] == {"data": {"filename": "data.bin", "digest": stored.digest, "size_bytes": 3}}
    assert (job.spec["seed"], job.spec["runner"]) == (7, "tests.faults.runners:run")
    assert job.spec_digest == digest_of_json(job.spec)
    # The same work has the same digest, whoever asks for it and whenever.
    assert submit("read_input", inputs={"data": ("data.bin", stored)}, seed=7).spec_digest == job.spec_digest
    assert submit("read_input", inputs={"data": ("data.bin", stored)}, seed=8).spec_digest != job.spec_digest
    event = Event.objects.filter(name="job.submitted").last()
    assert event is not None
    assert event.subject == f"job/{job.pk}"


def test_the_installation_caps_the_limits_of_a_kind(submit: Submit, settings: Any) -> None:
    settings.ASSAY_JOB_WALL_SECONDS = 7
    settings.ASSAY_JOB_MEMORY_BYTES = 10**9
    limits = Limits(**submit().spec["limits"])
    assert (limits.wall_seconds, limits.memory_bytes, limits.cpu_seconds) == (7, 10**9, 60)


@pytest.mark.parametrize(("devices", "kind", "count"), [("cpu", "cpu", 1), ("cuda", "cuda", 1), ("cuda*4", "cuda", 4)])
def test_devices_are_a_kind_and_a_number(devices: str, kind: str, count: int, submit: Submit) -> None:
    job = submit(devices=devices)
    assert (job.device_kind, job.device_count) == (kind, count)
    assert jobs.spec_of(job).devices == (("cpu",) if kind == "cpu" else tuple(f"cuda:{n}" for n in range(count)))


@pytest.mark.parametrize("devices", ["", "gpu", "cuda:0", "cuda*0", "cpu,cuda", "cuda*100"])
def test_other_devices_are_refused_with_what_is_right(devices: str, submit: Submit) -> None:
    with pytest.raises(InvalidInput, match="write cpu, cuda"):
        submit(devices=devices)
    assert not Job.objects.exists()


# --------------------------------------------------------------------------------------------------- success
def test_a_job_that_succeeds_leaves_result_log_and_events(submit: Submit, work: Work, settings: Any) -> None:
    stored = store().put([b"abc"])
    submit("answer", inputs={"data": ("data.bin", stored)})
    job = work()
    assert job.state == JobState.SUCCEEDED, job.error
    assert job.error is None
    assert job.attempt == 1
    assert job.progress == {"done": 2, "total": 2, "unit": "steps", "message": "done"}
    assert set(job.timings) == {
        *("queue", "prepare"),
        *("start", "import", "work", "write", "exit"),
        "store",
    }
    assert job.environment["seed"] == 0
    assert job.peak_memory_bytes
    assert jobs.read_log(job=job) == "Working on the answer\n"
    assert jobs.read_log(job=job, offset=8, limit=2) == "on"
    assert jobs.read_log(job=job, tail_bytes=7) == "answer\n"
    answer = store().put([b"42"])
    assert job.result_digest == digest_of_json({"value": {"answer": 42}, "files": {"answer.txt": answer.digest}})
    assert list(Event.objects.order_by("sequence").values_list("name", flat=True)) == [
        "job.submitted",
        "job.started",
        "tiny.recorded",
        "job.ended",
    ]
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*"))


def test_the_same_work_has_the_same_result_digest(submit: Submit, work: Work) -> None:
    submit()
    submit()
    assert work().result_digest == work().result_digest


def test_a_kept_folder_runs_again_by_hand(submit: Submit, work: Work, settings: Any) -> None:
    submit()
    job = work(keep_folder=True)
    kept = settings.ASSAY_JOBS_FOLDER / "kept" / f"{job.pk}-1"
    assert JobSpec.read(kept).job_id == job.pk
    assert (kept / "outputs" / "answer.txt").read_text() == "42"


# --------------------------------------------------------------------------------------------------- failure
@pytest.mark.parametrize(
    ("do", "state", "code", "errored"),
    [
        ("refuse", JobState.FAILED, "label_outside_classes", False),
        ("break_down", JobState.FAILED, "broken", True),
        ("kill_self", JobState.FAILED, "child_died", True),
        ("crash", JobState.FAILED, "child_died", True),
        ("end_silently", JobState.FAILED, "child_died", True),
    ],
)
def test_a_failure_is_told_recorded_and_not_tried_again(
    do: str,
    state: str,
    code: str,
    errored: bool,
    submit: Submit,
    work: Work,
) -> None:
    submit(do)
    job = work()
    assert job.state == state
    assert (job.error["code"], job.error["errored"]) == (code, errored)
    assert "traceback" not in job.error
    assert job.result_digest == ""
    assert Event.objects.get(name="tiny.failed").detail == {"code": code}
    assert Event.objects.get(name="job.ended").detail["error"]["code"] == code
    assert job.log_id is not None


@pytest.mark.parametrize(
    ("exit_status", "code", "said"),
    [
        (-signal.SIGKILL, "child_died", "memory ran out"),
        (-signal.SIGSEGV, "child_died", "SIGSEGV"),
        (-signal.SIGXCPU, "cpu_limit", "60 seconds of processor time"),
        (3, "child_died", "status 3"),
    ],
)
def test_the_death_of_a_child_has_a_name(exit_status: int, code: str, said: str) -> None:
    report = outcome.died(exit_status, Limits(cpu_seconds=60))
    assert report.code == code
    assert said in report.detail


def test_a_job_has_a_time_limit(submit: Submit, work: Work, settings: Any) -> None:
    limit(submit("wait"), wall_seconds=1)
    job = work()
    assert job.state == JobState.TIMED_OUT
    assert job.error["detail"] == "The job ran longer than 1 seconds, the most that it may."
    assert job.progress["message"] == "waiting"
    assert not processes_of(settings.ASSAY_JOBS_FOLDER)


def test_processor_time_over_the_limit_is_told(submit: Submit, work: Work) -> None:
    limit(submit("burn_processor"), cpu_seconds=1)
    assert work().error["code"] == "cpu_limit"


def test_memory_over_the_limit_is_told(submit: Submit, work: Work) -> None:
    limit(submit("fill_memory"), memory_bytes=512 * 1024**2)
    assert work().error["code"] == "out_of_memory"


def test_a_record_that_says_no_fails_the_job_with_its_reason(
    submit: Submit,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(job: Job, value: Any, files: Any) -> None:
        raise InvalidInput("The record takes no 42.")

    monkeypatch.setitem(job_kinds._kinds, "tiny", replace(job_kinds.get("tiny"), record=refuse))
    submit()
    job = work()
    assert job.state == JobState.FAILED
    assert (job.error["code"], job.error["detail"]) == ("invalid_input", "The record takes no 42.")
    assert job.error["errored"] is False


def test_a_record_that_breaks_fails_the_job_and_is_rolled_back(
    submit: Submit,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def half_done(job: Job, value: Any, files: Any) -> None:
        StoredFile.objects.create(digest="half done", size_bytes=1)
        raise KeyError("a mistake")

    monkeypatch.setitem(job_kinds._kinds, "tiny", replace(job_kinds.get("tiny"), record=half_done))
    submit()
    job = work()
    assert job.error["code"] == "not_recorded"
    assert job.error["errored"] is True
    assert not StoredFile.objects.filter(digest="half done").exists()
    assert Event.objects.filter(name="tiny.failed").count() == 1


def test_a_failure_that_cannot_be_recorded_ends_the_job_all_the_same(submit: Submit, work: Work) -> None:
    submit("refuse", subject="breaks when it fails")
    job = work()
    assert job.state == JobState.FAILED
    assert job.error["code"] == "label_outside_classes"


def test_a_kind_that_the_worker_does_not_know_is_told(
    submit: Submit,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit()
    monkeypatch.delitem(job_kinds._kinds, "tiny")
    assert work().error["code"] == "unknown_kind"


def test_an_input_that_the_store_lost_is_told(submit: Submit, work: Work) -> None:
    stored = store().put([b"abc"])
    submit("read_input", inputs={"data": ("data.bin", stored)})
    store().path(stored.digest).unlink()
    job = work()
    assert job.error["code"] == "integrity_failure"
    assert stored.digest in job.error["detail"]


@pytest.mark.parametrize("place", ["copy", "store", "folder"])
def test_a_full_disk_fails_the_job_and_leaves_nothing(
    place: str,
    submit: Submit,
    work: Work,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = store().put([b"abc"])
    submit("answer", inputs={"data": ("data.bin", stored)})

    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    def full_for_inputs(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        is_new_input = "inputs" in str(path) and flags & os.O_CREAT
        return full() if is_new_input else real(path, flags, *arguments, **options)

    real = os.open
    if place == "copy":
        monkeypatch.setattr("governance.storage.os.open", full_for_inputs)
    elif place == "store":
        monkeypatch.setattr("governance.storage.os.fchmod", full)
    else:
        monkeypatch.setattr(JobSpec, "write", full)
    job = work()
    monkeypatch.undo()
    assert job.state == JobState.FAILED
    assert job.error["code"] == "storage_full"
    assert not list(settings.ASSAY_STORE_FOLDER.glob("incoming/*"))
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*"))
    assert StoredFile.objects.count() <= 2


# ---------------------------------------------------------------------------------------------------- cancel
def test_a_queued_job_is_cancelled_at_once(submit: Submit) -> None:
    job = submit()
    cancelled = jobs.cancel(job=job, by=job.created_by)
    assert cancelled.state == JobState.CANCELLED
    assert cancelled.error["detail"] == "alice cancelled the job before it started."
    assert Event.objects.filter(name="tiny.failed").count() == 1
    with pytest.raises(StateConflict, match="has ended already: it is cancelled"):
        jobs.cancel(job=job, by=job.created_by)


def test_only_its_creator_and_administrators_cancel_a_job(submit: Submit) -> None:
    job = submit()
    with pytest.raises(NotAllowed):
        jobs.cancel(job=job, by=factories.person("dave", "auditors"))
    assert jobs.cancel(job=job, by=factories.person("erin", "administrators")).state == JobState.CANCELLED


@pytest.mark.django_db(transaction=True)
def test_a_running_job_is_cancelled_by_its_worker(submit: Submit, running: Dispatcher, settings: Any) -> None:
    job = submit("wait")
    told_by(job)
    assert processes_of(settings.ASSAY_JOBS_FOLDER)
    asked = jobs.cancel(job=job, by=job.created_by)
    assert asked.state == JobState.RUNNING
    # Asking twice is asking once.
    jobs.cancel(job=job, by=job.created_by)
    assert Event.objects.filter(name="job.cancel_requested").count() == 1
    eventually(lambda: Job.objects.get(pk=job.pk).state == JobState.CANCELLED, seconds=10)
    assert not processes_of(settings.ASSAY_JOBS_FOLDER)


# ------------------------------------------------------------------------------------------------------ lease
def test_a_lease_that_was_lost_ends_the_child(
    submit: Submit,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    settings.ASSAY_LEASE_SECONDS = 1
    submit("wait")
    told: list[str] = []
    real = queue.renew

    def taken(**values: Any) -> bool:
        told.append((values["progress"] or {}).get("message", ""))
        Job.objects.update(attempt=2, worker="another")
        return real(**values)

    monkeypatch.setattr(attempt_module.queue, "renew", taken)
    job = work()
    assert (job.state, job.attempt, job.worker) == (JobState.RUNNING, 2, "another")
    assert told == ["waiting"]
    assert not processes_of(settings.ASSAY_JOBS_FOLDER)
    assert not Event.objects.filter(name="job.ended").exists()


@pytest.mark.django_db(transaction=True)
def test_a_lease_outlives_a_database_that_is_away_for_a_moment(
    submit: Submit,
    work: Work,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit()
    failures = iter([OperationalError("the server closed the connection")] * 2)
    real = jobs.succeed

    def away(**values: Any) -> None:
        error = next(failures, None)
        if error is not None:
            raise error
        real(**values)

    monkeypatch.setattr(jobs, "succeed", away)
    assert work().state == JobState.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_a_lease_is_given_up_by_its_own_clock(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    """Without the database nobody can say whether another worker has the job: after the lease it may."""
    settings.ASSAY_LEASE_SECONDS = 1

    def away(**values: Any) -> bool:
        raise OperationalError("the server closed the connection")

    monkeypatch.setattr(attempt_module.queue, "renew", away)
    monkeypatch.setattr(attempt_module, "BEAT_SECONDS", 0)
    lease = Lease(factories.JobFactory(), time.monotonic() - 0.5)
    lease.beat()
    with pytest.raises(LostJob):
        Lease(factories.JobFactory(), time.monotonic() - 1.5).beat()


# ------------------------------------------------------------------------------------------------- dispatcher
@pytest.fixture
def running(transactional_db: None) -> Iterator[Dispatcher]:
    """A dispatcher of two slots that works in the background."""
    dispatcher = Dispatcher(executor=LocalExecutor(runner_packages=["tests.faults"]), slots=2, poll_seconds=0.05)

    def run() -> None:
        try:
            dispatcher.run()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run)
    thread.start()
    yield dispatcher
    dispatcher.stop()
    thread.join()
    dispatcher.close()


def run_until_idle(**options: Any) -> Dispatcher:
    dispatcher = Dispatcher(executor=LocalExecutor(runner_packages=["tests.faults"]), poll_seconds=0.05, **options)
    try:
        dispatcher.run(until_idle=True)
    finally:
        dispatcher.close()
    return dispatcher


@pytest.mark.django_db(transaction=True)
def test_the_log_of_a_running_job_can_be_read(submit: Submit, running: Dispatcher) -> None:
    job = submit("print_much", mebibytes=0)
    eventually(lambda: "the first line" in jobs.read_log(job=Job.objects.get(pk=job.pk)))


def test_the_log_of_a_job_that_nobody_runs_is_empty(submit: Submit) -> None:
    assert jobs.read_log(job=submit()) == ""


def test_a_log_that_became_a_link_is_not_followed(submit: Submit, tmp_path: Any) -> None:
    job = submit()
    secret = tmp_path / "secret"
    secret.write_text("the key")
    jobs.folder_of(job).mkdir(parents=True)
    (jobs.folder_of(job) / "log.txt").symlink_to(secret)
    assert jobs.read_log(job=job) == ""
    (jobs.folder_of(job) / "log.txt").unlink()
    os.mkfifo(jobs.folder_of(job) / "log.txt")
    assert jobs.read_log(job=job) == ""


@pytest.mark.django_db(transaction=True)
def test_slots_run_at_the_same_time(submit: Submit, running: Dispatcher) -> None:
    first, second, third = submit("wait"), submit("wait"), submit("wait")
    eventually(lambda: Job.objects.running().count() == 2)
    assert Job.objects.get(pk=third.pk).state == JobState.QUEUED
    jobs.cancel(job=first, by=first.created_by)
    eventually(lambda: Job.objects.get(pk=third.pk).state == JobState.RUNNING)
    assert Job.objects.get(pk=second.pk).state == JobState.RUNNING


@pytest.mark.django_db(transaction=True)
def test_until_idle_leaves_what_needs_other_devices(submit: Submit) -> None:
    done, left = submit(), submit(devices="cuda")
    assert run_until_idle().ended_count == 1
    assert Job.objects.get(pk=done.pk).state == JobState.SUCCEEDED
    assert Job.objects.get(pk=left.pk).state == JobState.QUEUED


@pytest.mark.django_db(transaction=True)
def test_a_gpu_is_given_to_one_job_at_a_time(submit: Submit) -> None:
    jobs_on_gpu = [submit("tell_environment", devices="cuda") for _ in range(2)]
    dispatcher = Dispatcher(executor=LocalExecutor(), slots=2, devices=["cuda:1"])
    dispatcher._claim()
    try:
        assert Job.objects.running().count() == 1
        assert Job.objects.get(pk=jobs_on_gpu[0].pk).devices == ["cuda:1"]
        assert dispatcher._free() == []
    finally:
        dispatcher.stop()
        dispatcher.run()
        dispatcher.close()


@pytest.mark.django_db
def test_which_cards_a_job_had_is_the_word_of_its_worker(submit: Submit, work: Work, tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    executor = LocalExecutor(runner_packages=["tests.faults"], driver=driver)
    submit("answer", devices="cuda*2")
    job = work(executor, devices=["cuda:3", "cuda:1"])
    assert job.state == JobState.SUCCEEDED, job.error
    cards = {seen: (card["on this machine"], card["name"]) for seen, card in job.environment["cards"].items()}
    assert cards == {"cuda:0": ("cuda:3", uuid(3)), "cuda:1": ("cuda:1", uuid(1))}
    # Also where the child leaves no word at all.
    submit("kill_self", devices="cuda")
    killed = work(executor, devices=["cuda:2"])
    assert killed.error["code"] == "child_died"
    assert killed.environment["cards"]["cuda:0"]["name"] == uuid(2)


@pytest.mark.django_db
def test_a_card_that_cannot_be_told_fails_the_job_with_the_reason(submit: Submit, work: Work, tmp_path: Path) -> None:
    executor = LocalExecutor(runner_packages=["tests.faults"], driver=plant(tmp_path, {}, device_files=2))
    submit("answer", devices="cuda")
    submit("answer")
    ended, following = work(executor, devices=["cuda:0"]), work(executor)
    assert (ended.state, ended.error["code"], ended.error["errored"]) == (JobState.FAILED, "cards_unknown", True)
    assert "no job on a GPU starts here" in ended.error["detail"]
    assert following.state == JobState.SUCCEEDED


@pytest.mark.django_db(transaction=True)
def test_a_new_worker_removes_what_dead_ones_left(submit: Submit, settings: Any) -> None:
    job = submit()
    left = settings.ASSAY_JOBS_FOLDER / str(job.pk) / "7"
    left.mkdir(parents=True)
    (left / "input").write_text("x")
    locked = left / "locked"
    locked.mkdir()
    (locked / "file").write_text("x")
    locked.chmod(0)
    run_until_idle()
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*"))


def test_a_folder_of_a_running_attempt_is_left_alone(submit: Submit, settings: Any) -> None:
    submit()
    job = jobs.start_next(worker="another", devices=["cpu"])
    assert job is not None
    jobs.folder_of(job).mkdir(parents=True)
    dispatcher = Dispatcher(executor=LocalExecutor())
    dispatcher._clean()
    dispatcher.close()
    assert jobs.folder_of(job).is_dir()


def test_folders_that_another_worker_removes_meanwhile_are_passed(settings: Any, monkeypatch: Any) -> None:
    for name in ("1", "2"):
        (settings.ASSAY_JOBS_FOLDER / name / "1").mkdir(parents=True)
    list_folder = Path.iterdir

    def list_and_lose(folder: Path) -> list[Path]:
        listed = list(list_folder(folder))
        if folder == settings.ASSAY_JOBS_FOLDER:
            remove_folder(folder / "1" / "1")
        return listed

    monkeypatch.setattr(Path, "iterdir", list_and_lose)
    dispatcher = Dispatcher(executor=LocalExecutor())
    dispatcher._clean()
    dispatcher.close()
    monkeypatch.undo()
    assert not list(settings.ASSAY_JOBS_FOLDER.iterdir())


def test_an_expired_job_whose_end_was_wished_is_cancelled(submit: Submit) -> None:
    submit()
    job = jobs.start_next(worker="gone", devices=["cpu"])
    assert job is not None
    jobs.cancel(job=job, by=job.created_by)
    Job.objects.update(lease_until=job.created_at)
    assert jobs.recover() == [job]
    assert Job.objects.get(pk=job.pk).state == JobState.CANCELLED
    assert jobs.recover() == []


def test_a_stop_before_the_child_runs_releases_the_job(submit: Submit) -> None:
    stored = store().put([b"abc"])
    submit("read_input", inputs={"data": ("data.bin", stored)})
    job = jobs.start_next(worker="test", devices=["cpu"])
    assert job is not None
    attempt = Attempt(job=job, executor=LocalExecutor(), claimed_at=time.monotonic(), must_stop=lambda: True)
    attempt.run()
    assert attempt.was_released
    assert Job.objects.get(pk=job.pk).state == JobState.QUEUED


def test_a_worker_voids_an_approval_whose_evidence_time_has_made_untrue(db: None) -> None:
    review = factories.ReviewFactory(state=ReviewState.APPROVED)
    factories.EvidenceFactory(review=review, digest=digest_of_bytes(b"another result"))
    dispatcher = Dispatcher(executor=LocalExecutor())
    dispatcher._recheck()
    dispatcher.close()
    review.refresh_from_db()
    assert review.state == ReviewState.VOID
    assert "no longer what was cited" in review.voided_because
