"""A child that lies about its result or its progress: the job fails with a sentence, nothing of the lie is kept."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from governance.models import Event, Job, JobState, StoredFile
from workers.executors.base import Execution, ExecutionStatus, Executor
from workers.protocol import JobSpec, digest_of_bytes

pytestmark = pytest.mark.django_db

Submit = Callable[..., Job]
Work = Callable[..., Job]
Lie = Callable[[Path, dict[str, Any]], None]

#: What an honest child would leave: one file of three bytes.
CONTENT = b"abc"


class Scripted(Executor, Execution):
    """Ends at once, after it has left in the folder what a test wants there."""

    name = "scripted"

    def __init__(self, lie: Lie) -> None:
        self.lie = lie

    def start(self, spec: JobSpec, folder: Path, devices: Sequence[str]) -> Execution:
        (folder / "outputs" / "file.txt").write_bytes(CONTENT)
        result = {
            "job_id": spec.job_id,
            "attempt": spec.attempt,
            "status": "succeeded",
            "value": {"answer": 42},
            "files": {"file.txt": {"digest": digest_of_bytes(CONTENT), "size_bytes": len(CONTENT)}},
            "error": None,
            "timings": {"work": 0.1},
            "environment": {"python": "3.11", "cards": {"cuda:0": "of another job"}},
            "peak_memory_bytes": 1000,
            "protocol": 1,
        }
        self.lie(folder, result)
        if not os.path.lexists(folder / "result.json"):
            (folder / "result.json").write_text(json.dumps(result))
        return self

    def poll(self) -> ExecutionStatus:
        return ExecutionStatus(has_ended=True, exit_status=0)

    def held_memory_bytes(self) -> int:
        raise AssertionError("it has ended")

    def wait(self, seconds: float) -> None:
        raise AssertionError("it has ended")

    def cancel(self) -> None:
        pass


def nothing(folder: Path, result: dict[str, Any]) -> None:
    pass


def wrong_digest(folder: Path, result: dict[str, Any]) -> None:
    result["files"]["file.txt"]["digest"] = digest_of_bytes(b"another")


def digest_of_a_wrong_type(folder: Path, result: dict[str, Any]) -> None:
    result["files"]["file.txt"]["digest"] = 7


def absolute_path(folder: Path, result: dict[str, Any]) -> None:
    result["files"]["/etc/passwd"] = result["files"].pop("file.txt")


def path_upwards(folder: Path, result: dict[str, Any]) -> None:
    result["files"]["../spec.json"] = result["files"].pop("file.txt")


def symbolic_link(folder: Path, result: dict[str, Any]) -> None:
    target = folder / "elsewhere"
    target.write_bytes(CONTENT)
    (folder / "outputs" / "file.txt").unlink()
    (folder / "outputs" / "file.txt").symlink_to(target)


def hard_link(folder: Path, result: dict[str, Any]) -> None:
    (folder / "elsewhere").hardlink_to(folder / "outputs" / "file.txt")


def linked_outputs(folder: Path, result: dict[str, Any]) -> None:
    (folder / "outputs").rename(folder / "elsewhere")
    (folder / "outputs").symlink_to(folder / "elsewhere")


def pipe(folder: Path, result: dict[str, Any]) -> None:
    (folder / "outputs" / "file.txt").unlink()
    os.mkfifo(folder / "outputs" / "file.txt")


def directory(folder: Path, result: dict[str, Any]) -> None:
    (folder / "outputs" / "file.txt").unlink()
    (folder / "outputs" / "file.txt").mkdir()


def missing_file(folder: Path, result: dict[str, Any]) -> None:
    (folder / "outputs" / "file.txt").unlink()


def file_over_the_limit(folder: Path, result: dict[str, Any]) -> None:
    content = bytes(17 * 1024**2)
    (folder / "outputs" / "file.txt").write_bytes(content)
    result["files"]["file.txt"] = {"digest": digest_of_bytes(content), "size_bytes": 3}


def files_over_the_limit_together(folder: Path, result: dict[str, Any]) -> None:
    for number in range(3):
        content = bytes([number]) * 6 * 1024**2
        (folder / "outputs" / f"{number}.bin").write_bytes(content)
        result["files"][f"{number}.bin"] = {"digest": digest_of_bytes(content), "size_bytes": len(content)}


def huge_output_with_holes(folder: Path, result: dict[str, Any]) -> None:
    with (folder / "outputs" / "file.txt").open("wb") as stream:
        stream.truncate(10**10)


def huge_result_with_holes(folder: Path, result: dict[str, Any]) -> None:
    with (folder / "result.json").open("wb") as stream:
        stream.truncate(10**10)


def named(name: str, content: bytes) -> Lie:
    """Return a lie about the type of an output, which is in everything else as the child says."""

    def lie(folder: Path, result: dict[str, Any]) -> None:
        (folder / "outputs" / name).write_bytes(content)
        result["files"][name] = {"digest": digest_of_bytes(content), "size_bytes": len(content)}

    lie.__name__ = f"no_{name.replace('.', '_')}"
    return lie


def too_many_files(folder: Path, result: dict[str, Any]) -> None:
    result["files"] = {f"{number}.txt": result["files"]["file.txt"] for number in range(1001)}


def result_of_another_job(folder: Path, result: dict[str, Any]) -> None:
    result["job_id"] += 1


def result_of_another_attempt(folder: Path, result: dict[str, Any]) -> None:
    result["attempt"] += 1


def huge_result(folder: Path, result: dict[str, Any]) -> None:
    result["value"]["padding"] = "x" * 20 * 1024**2


def value_against_the_schema(folder: Path, result: dict[str, Any]) -> None:
    result["value"]["answer"] = "forty-two"


def no_json(folder: Path, result: dict[str, Any]) -> None:
    (folder / "result.json").write_text("{")


def not_a_number(folder: Path, result: dict[str, Any]) -> None:
    result["value"]["loss"] = float("nan")


def infinity_in_disguise(folder: Path, result: dict[str, Any]) -> None:
    (folder / "result.json").write_text(json.dumps(result).replace('"answer": 42', '"answer": 42, "loss": 1e999'))


def nul_character(folder: Path, result: dict[str, Any]) -> None:
    result["value"]["text"] = "a\0b"


def lone_surrogate(folder: Path, result: dict[str, Any]) -> None:
    result["value"]["text"] = "\ud800"


def nested_deeply(folder: Path, result: dict[str, Any]) -> None:
    text = json.dumps(result).replace('"answer": 42', '"answer": 42, "deep": ' + "[" * 100_000 + "]" * 100_000)
    (folder / "result.json").write_text(text)


def linked_result(folder: Path, result: dict[str, Any]) -> None:
    (folder / "other.json").write_text(json.dumps(result))
    (folder / "result.json").symlink_to(folder / "other.json")


def result_as_a_directory(folder: Path, result: dict[str, Any]) -> None:
    (folder / "result.json").mkdir()


def result_as_a_pipe(folder: Path, result: dict[str, Any]) -> None:
    os.mkfifo(folder / "result.json")


def strange_timings(folder: Path, result: dict[str, Any]) -> None:
    result["timings"] = {"work": -1}


def endless_environment(folder: Path, result: dict[str, Any]) -> None:
    result["environment"] = {"python": "x" * 100_000}


def impossible_memory(folder: Path, result: dict[str, Any]) -> None:
    result["peak_memory_bytes"] = 2**80


def success_with_an_error(folder: Path, result: dict[str, Any]) -> None:
    result["error"] = {"code": "x", "detail": "x", "place": "", "errored": False, "traceback": ""}


def error_without_texts(folder: Path, result: dict[str, Any]) -> None:
    result.update(status="failed", value=None, error={"code": ["x"], "detail": {}, "place": "", "errored": False})


LIES = {
    wrong_digest: "file.txt is not what the result says",
    digest_of_a_wrong_type: "without a digest",
    absolute_path: "not a plain file name",
    path_upwards: "not a plain file name",
    symbolic_link: "is a link",
    hard_link: "not a plain file",
    linked_outputs: "outputs/ is no folder",
    pipe: "not a plain file",
    directory: "not a plain file",
    missing_file: "file.txt is not there",
    file_over_the_limit: "larger than 16,777,216 bytes",
    files_over_the_limit_together: "larger than 16,777,216 bytes, at 2.bin",
    too_many_files: "names 1,001 files",
    huge_output_with_holes: "larger than 16,777,216 bytes",
    huge_result_with_holes: "larger than 16,777,216 bytes",
    named("table.parquet", b"PAR1 and no more"): "does not end as a Parquet file",
    named("plot.png", b"<svg/>"): "does not begin as a PNG image",
    named("weights.safetensors", b"\xff" * 16): "its header is longer",
    named("model.keras", b"\x80\x04cos\nsystem\n."): "does not begin as an archive",
    named("chart.json", b"[" * 100_000): "is not JSON",
    result_of_another_job: "is that of job",
    result_of_another_attempt: "attempt 2",
    huge_result: "larger than 16,777,216 bytes",
    value_against_the_schema: "at $.answer",
    no_json: "does not follow the protocol",
    not_a_number: "NaN is not JSON",
    infinity_in_disguise: "JSON cannot carry",
    nul_character: "NUL",
    lone_surrogate: "JSON cannot carry",
    nested_deeply: "does not follow the protocol",
    linked_result: "left no result",
    result_as_a_directory: "no plain file",
    result_as_a_pipe: "does not follow the protocol",
    strange_timings: "timings",
    endless_environment: "environment",
    impossible_memory: "peak memory",
    success_with_an_error: "do not fit together",
    error_without_texts: "not made of texts",
}


@pytest.mark.parametrize("lie", LIES, ids=[lie.__name__ for lie in LIES])
def test_a_lie_fails_the_job_and_leaves_nothing(lie: Lie, submit: Submit, work: Work, settings: Any) -> None:
    submit()
    job = work(executor=Scripted(lie))
    assert job.state == JobState.FAILED
    assert job.error["code"] == "protocol_violation"
    assert job.error["errored"] is True
    assert LIES[lie] in job.error["detail"]
    assert job.result_digest == ""
    assert not Event.objects.filter(name="tiny.recorded").exists()
    assert Event.objects.get(name="tiny.failed").detail["code"] == "protocol_violation"
    # An honest file beside the lie may be kept, since it has no owner and its name says what it is; no lie is.
    assert all(file.size_bytes <= 6 * 1024**2 for file in StoredFile.objects.all())
    assert not list(settings.ASSAY_STORE_FOLDER.glob("incoming/*"))
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))


def test_the_same_result_without_a_lie_succeeds(submit: Submit, work: Work) -> None:
    submit()
    job = work(executor=Scripted(nothing))
    assert job.state == JobState.SUCCEEDED
    # Which cards a job had is not for its child to say.
    assert job.environment == {"python": "3.11"}
    assert StoredFile.objects.get().digest == digest_of_bytes(CONTENT)
    assert Event.objects.get(name="tiny.recorded").detail == {"answer": 42, "added": None, "files": ["file.txt"]}


def test_a_text_about_an_escape_is_no_nul_character(submit: Submit, work: Work) -> None:
    def honest(folder: Path, result: dict[str, Any]) -> None:
        result["value"]["text"] = "written as \\u0000"

    submit()
    assert work(executor=Scripted(honest)).state == JobState.SUCCEEDED


def test_an_error_of_a_child_is_cut_to_what_a_person_reads(submit: Submit, work: Work) -> None:
    def long(folder: Path, result: dict[str, Any]) -> None:
        error = {"code": "No Code!", "detail": "x" * 100_000, "place": "y" * 5000, "errored": 1, "traceback": "z"}
        result.update(status="failed", value=None, error=error)

    submit()
    job = work(executor=Scripted(long))
    assert job.error == {"code": "broken", "detail": "x" * 4000, "place": "y" * 500, "errored": True}


def progress(done: str) -> dict[str, str]:
    return {"bytes": f'{{"type": "progress", "done": {done}, "total": 1, "unit": "", "message": ""}}\n'}


@pytest.mark.parametrize(
    ("do", "parameters", "said"),
    [
        ("send", {"bytes": "no json\n"}, "does not know"),
        ("send", {"bytes": '{"type": "result"}\n'}, "not a progress message"),
        ("send", progress("NaN"), "numbers"),
        ("send", progress("-1"), "numbers"),
        ("send", progress("true"), "numbers"),
        ("send", progress("1" + "0" * 400), "does not know"),
        ("send", {"bytes": "[" * 9000 + "\n"}, "does not know"),
        ("send_long", {}, "longer than 16,384 bytes"),
    ],
)
def test_a_message_that_is_none_ends_the_child(
    do: str, parameters: dict[str, str], said: str, submit: Submit, work: Work
) -> None:
    submit(do, **parameters)
    job = work()
    assert job.state == JobState.FAILED
    assert job.error["code"] == "protocol_violation"
    assert said in job.error["detail"]


def test_endless_progress_does_not_keep_a_worker_from_its_clock(
    submit: Submit, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewals: list[object] = []
    from governance import attempt, queue

    def counted(**values: Any) -> bool:
        renewals.append(values["progress"])
        return queue_renew(**values)

    queue_renew = queue.renew
    monkeypatch.setattr(attempt.queue, "renew", counted)
    submit("tell_endlessly")
    Job.objects.update(spec=_with_limit(Job.objects.get().spec, wall_seconds=3))
    job = work()
    assert job.state == JobState.TIMED_OUT
    assert job.progress["unit"] == "lines"
    # Thousands of messages a second became at most two writes a second.
    assert 1 <= len(renewals) <= 8


def _with_limit(spec: dict[str, Any], **limits: int) -> dict[str, Any]:
    return {**spec, "limits": {**spec["limits"], **limits}}
