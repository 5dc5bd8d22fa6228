"""Jobs whose model misbehaves until it is stopped: each ends with a sentence, and the worker goes on with the next."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from governance.models import Event, Job, JobState, StoredFile
from governance.services import jobs
from tests import factories
from tests.faults.conftest import processes_of

pytestmark = pytest.mark.django_db

Submit = Callable[..., Job]
Work = Callable[..., Job]

MEBIBYTE = 1024**2

#: Seconds after which a job is stopped: enough to come to the model inside, on a machine that is not too busy.
PATIENCE = {"torch": 3, "keras": 6}

#: Payload, its limits, the code of the error and what its sentence says; each of them inside both frameworks.
STOPPED = [
    ("use_the_processor_for_ever", ("cpu_seconds",), "cpu_limit", "seconds of processor time"),
    ("wait_for_ever", ("wall_seconds",), "timed_out", "The job ran longer than"),
    ("fill_the_folder", (), "folder_limit", "more than 67,108,864 bytes"),
    ("connect_by_tcp", (), "sandbox_refused", "neither the network nor another process"),
]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "secret").write_text("a decoy")
    return folder


@pytest.fixture
def escape(tiny_kind: None, outside: Path) -> Submit:
    """Leave a hostile job in the queue, with limits of its own."""

    def leave(payload: str, *, framework: str = "none", devices: str = "cpu", **limits: int) -> Job:
        parameters = {"framework": framework, "payloads": [payload], "is_caught": False}
        parameters |= {"outside": str(outside), "port": 9}
        job = jobs.submit(
            kind="escape", parameters=parameters, inputs={}, subject="x", by=factories.owner(), devices=devices
        )
        limits = {"folder_bytes": 64 * MEBIBYTE, **limits}
        Job.objects.filter(pk=job.pk).update(spec={**job.spec, "limits": {**job.spec["limits"], **limits}})
        return job

    return leave


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "keras"])
@pytest.mark.parametrize(("payload", "limited", "code", "said"), STOPPED)
def test_a_model_that_does_not_stop_is_stopped_with_a_reason(
    payload: str,
    limited: tuple[str, ...],
    code: str,
    said: str,
    framework: str,
    escape: Submit,
    submit: Submit,
    work: Work,
    settings: Any,
) -> None:
    escape(payload, framework=framework, **dict.fromkeys(limited, PATIENCE[framework]))
    submit("answer")

    ended, following = work(), work()

    assert ended.state == (JobState.TIMED_OUT if code == "timed_out" else JobState.FAILED)
    assert ended.error["code"] == code
    assert said in ended.error["detail"]
    assert following.state == JobState.SUCCEEDED
    assert not processes_of(settings.ASSAY_JOBS_FOLDER)
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))


@pytest.mark.parametrize(
    ("payload", "limits", "code", "said"),
    [
        ("fill_the_folder_with_names", {"folder_entries": 1000}, "folder_limit", "more than 1,000 files and folders"),
        ("write_a_huge_file", {}, "file_limit", "a file of more than 16,777,216 bytes"),
        ("write_a_huge_file_with_holes", {}, "file_limit", "a file of more than 16,777,216 bytes"),
        ("allocate_memory", {}, "out_of_memory", "4 GiB"),
        ("fork", {}, "sandbox_refused", "another process"),
        ("link_an_output", {}, "output_not_plain", "a plain file"),
        ("link_the_outputs", {}, "output_not_plain", "not behind a link"),
    ],
)
def test_what_a_job_may_not_do_is_told(
    payload: str,
    limits: dict[str, int],
    code: str,
    said: str,
    escape: Submit,
    submit: Submit,
    work: Work,
    outside: Path,
) -> None:
    escape(payload, **limits)
    submit("answer")

    ended, following = work(), work()

    assert (ended.state, ended.error["code"]) == (JobState.FAILED, code)
    assert said in ended.error["detail"]
    assert following.state == JobState.SUCCEEDED
    assert Event.objects.filter(name="tiny.recorded").count() == 1
    assert not [file for file in StoredFile.objects.all() if file.size_bytes == (outside / "secret").stat().st_size]


@pytest.mark.parametrize(
    ("payload", "devices"),
    [
        ("hold_memory_slowly", "cuda"),
        ("hold_memory_at_once", "cuda"),
        ("hold_memory_that_is_shared", "cuda"),
        ("hold_memory_in_several_processes", "cuda"),
        ("hold_memory_that_is_read_only", "cuda"),
        ("hold_memory_that_is_read_only", "cpu"),
    ],
)
def test_memory_that_the_system_does_not_limit_is_limited_by_the_worker(
    payload: str, devices: str, escape: Submit, submit: Submit, work: Work, settings: Any
) -> None:
    escape(payload, devices=devices, memory_bytes=400 * MEBIBYTE)
    submit("answer")

    ended, following = work(devices=["cpu", "cuda:0"]), work()

    assert (ended.state, ended.error["code"]) == (JobState.FAILED, "out_of_memory")
    assert "needed more memory than it may use (0.391 GiB): it held" in ended.error["detail"]
    assert following.state == JobState.SUCCEEDED
    assert not processes_of(settings.ASSAY_JOBS_FOLDER)
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))


def test_a_process_left_behind_ends_with_its_job(escape: Submit, submit: Submit, work: Work, settings: Any) -> None:
    escape("leave_a_process_behind", devices="cuda")
    submit("answer")

    ended, following = work(devices=["cuda:0"]), work()

    assert ended.state == following.state == JobState.SUCCEEDED
    assert not processes_of(settings.ASSAY_JOBS_FOLDER)


def test_folders_deeper_than_a_path_are_removed_with_the_job(escape: Submit, work: Work, settings: Any) -> None:
    escape("nest_folders")

    # Where it still ran as the room was measured, that was its end.
    assert work().is_finished
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))
