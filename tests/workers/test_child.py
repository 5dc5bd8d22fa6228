"""``python -m workers JOB_FOLDER``: the same folder by hand and under an executor, and every way it can end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workers.child_folders import CHECKOUT, lay, run_by_hand, run_dispatched
from workers import child
from workers.protocol import MAX_RESULT_BYTES, Result, digest_of_bytes
from workers.sandbox import Layers

JOB = "job"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / JOB


def test_a_folder_runs_by_hand_and_tells_the_terminal(folder: Path) -> None:
    lay(folder)
    ended = run_by_hand(folder)
    assert ended.returncode == 0
    assert "Working on the answer" in ended.stdout
    assert "1 of 2 steps  half" in ended.stderr
    assert "Succeeded" in ended.stderr
    result = Result.read(folder)
    assert result.value == {"answer": 42}
    assert result.files["answer.txt"].digest == digest_of_bytes(b"42")
    assert set(result.timings) == {"start", "import", "work", "write"}
    assert result.peak_memory_bytes > 1024**2
    assert result.environment["python"] == ".".join(map(str, sys.version_info[:3]))
    assert result.environment["packages"] == {}
    assert result.environment["sandbox"]["landlock"]


def test_a_folder_runs_without_django() -> None:
    code = "import sys; import workers.__main__, workers.child; sys.exit('django' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=CHECKOUT).returncode == 0


def test_a_folder_without_a_spec_is_told(tmp_path: Path) -> None:
    ended = run_by_hand(tmp_path)
    assert ended.returncode == 2
    assert "spec.json cannot be read" in ended.stderr


@pytest.mark.parametrize("content", ["{", "[]", '{"protocol": 1}', '{"protocol": 99}'])
def test_a_spec_that_is_none_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(content)
    ended = run_by_hand(tmp_path)
    assert ended.returncode == 2
    assert "spec.json cannot be read" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_input_with_another_content_is_refused(folder: Path) -> None:
    lay(folder, "read_input", inputs={"data": b"abc"})
    path = folder / "inputs" / "data.bin"
    path.write_bytes(b"abd")
    assert run_by_hand(folder).returncode == 1
    error = Result.read(folder).error
    assert error is not None
    assert error.code == "input_changed"
    assert error.place == "data.bin"


def test_an_input_that_is_not_there_is_refused(folder: Path) -> None:
    lay(folder, "read_input", inputs={"data": b"abc"})
    (folder / "inputs" / "data.bin").unlink()
    assert run_by_hand(folder).returncode == 1
    error = Result.read(folder).error
    assert error is not None
    assert error.code == "input_missing"


def test_an_input_is_read_by_its_name(folder: Path) -> None:
    spec = lay(folder, "read_input", inputs={"data": b"abc"})
    result, _ = run_dispatched(spec, folder)
    assert result.value == {"answer": 3}


@pytest.mark.parametrize(
    "runner", ["os:system", "tests.faults.runners:run", "workersx.training:run", "workers.training", "workers:run()"]
)
def test_a_runner_from_elsewhere_is_refused(runner: str, folder: Path) -> None:
    lay(folder, runner=runner)
    assert run_by_hand(folder, may_use_tests=False).returncode == 1
    error = Result.read(folder).error
    assert error is not None
    assert error.code == "runner_not_allowed"
    assert runner in error.detail


@pytest.mark.parametrize("runner", ["workers.nothing:run", "workers.protocol:nothing"])
def test_a_runner_that_is_not_there_is_told(runner: str, folder: Path) -> None:
    lay(folder, runner=runner)
    assert run_by_hand(folder).returncode == 1
    error = Result.read(folder).error
    assert error is not None
    assert error.code == "runner_not_found"


@pytest.mark.parametrize(
    ("do", "code", "errored", "said"),
    [
        ("refuse", "label_outside_classes", False, "Row 7 has the label 'maybe'"),
        ("break_down", "broken", True, "RuntimeError: the runner broke here"),
        ("leave", "broken", True, "SystemExit"),
        ("answer_nan", "value_not_json", True, "NaN"),
        ("answer_list", "broken", True, "not a JSON object"),
        ("fill_disk", "storage_full", True, "disk of the job folders is full"),
    ],
)
def test_a_failure_says_why(do: str, code: str, errored: bool, said: str, folder: Path) -> None:
    spec = lay(folder, do)
    result, execution = run_dispatched(spec, folder)
    assert execution.poll().exit_status == 1
    assert result.status == "failed"
    assert result.value is None
    assert result.error is not None
    assert (result.error.code, result.error.errored) == (code, errored)
    assert said in result.error.detail
    assert bool(result.error.traceback) == errored
    # What broke is in the log as well, where a person looks first.
    assert ("Traceback" in (folder / "log.txt").read_text()) == errored


def test_memory_that_runs_out_is_told_as_that(folder: Path) -> None:
    spec = lay(folder, "fill_memory", limits={"memory_bytes": 512 * 1024**2})
    result, _ = run_dispatched(spec, folder)
    assert result.error is not None
    assert result.error.code == "out_of_memory"
    assert "0.5 GiB" in result.error.detail


def test_a_file_over_the_limit_is_told_as_that(folder: Path) -> None:
    spec = lay(folder, "write_too_much")
    result, _ = run_dispatched(spec, folder)
    assert result.error is not None
    assert result.error.code == "file_limit"
    assert "16,777,216 bytes" in result.error.detail


@pytest.mark.parametrize(
    ("error", "is_memory"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (type("ResourceExhaustedError", (Exception,), {})(), True),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), True),
        (RuntimeError("shapes do not fit"), False),
        (ValueError("can't allocate memory"), False),
    ],
)
def test_out_of_memory_is_known_in_every_library(error: Exception, is_memory: bool) -> None:
    assert child.is_out_of_memory(error) == is_memory


def test_a_model_is_loaded_only_in_a_whole_sandbox(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = lay(folder)
    monkeypatch.setattr(child.sandbox, "enter", lambda **_: Layers(seccomp=True))
    assert child.run(spec=spec, folder=folder, runner_packages=["tests.faults"]) == 1
    error = Result.read(folder).error
    assert error is not None
    assert error.code == "no_sandbox"
    assert "file isolation" in error.detail


def test_inspection_goes_on_without_a_sandbox_until_it_loads(folder: Path) -> None:
    """In a process of its own, since the guard stays in front of every import."""
    code = f"""
from pathlib import Path
from workers import child, sandbox
child.sandbox.enter = lambda **_: sandbox.Layers(landlock=7)
child.STATIC_RUNNERS = frozenset({{"tests.faults.runners:run"}})
from workers.protocol import JobSpec
folder = Path({str(folder)!r})
raise SystemExit(child.run(spec=JobSpec.read(folder), folder=folder, runner_packages=["tests.faults"]))
"""
    lay(folder)
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=CHECKOUT).returncode == 0
    lay(folder.with_name("loads"), "predict_with_torch")
    ended = subprocess.run(
        [sys.executable, "-c", code.replace(str(folder), str(folder.with_name("loads")))], check=False, cwd=CHECKOUT
    )
    assert ended.returncode == 1
    error = Result.read(folder.with_name("loads")).error
    assert error is not None
    assert error.code == "no_sandbox"
    assert "network isolation" in error.detail


def test_the_result_is_written_whole(folder: Path) -> None:
    lay(folder)
    run_by_hand(folder)
    content = (folder / "result.json").read_text()
    assert len(content) < MAX_RESULT_BYTES
    assert json.loads(content)["protocol"] == 1
    assert not list(folder.glob(".result*"))
