"""The local executor: what a child gets, what is taken from it, and how it ends with everything that it started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.conftest import eventually, processes_of
from tests.workers.child_folders import CHECKOUT, WAYS, finish, lay, run_dispatched, start
from workers.executors import local
from workers.protocol import Progress


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "job"


def test_progress_and_log_come_back(folder: Path) -> None:
    execution = start(lay(folder), folder)
    told = []
    while not (status := execution.poll()).has_ended:
        told.append(status.progress)
        execution.wait(0.2)
    told.append(status.progress)
    assert Progress(2, 2, "steps", "done") in told
    assert status.exit_status == 0
    assert (folder / "log.txt").read_text() == "Working on the answer\n"
    # An ended execution stays as it ended.
    execution.cancel()
    assert execution.poll().exit_status == 0


def test_the_environment_holds_no_secret(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_SECRET_KEY", "not for children")
    monkeypatch.setenv("SOME_TOKEN", "not for children")
    monkeypatch.setenv("LD_PRELOAD", "")
    result, _ = run_dispatched(lay(folder, "tell_environment"), folder)
    assert result.value is not None
    environment = result.value["environment"]
    assert "not for children" not in environment.values()
    assert not {"PATH", "LD_PRELOAD", "DJANGO_SETTINGS_MODULE"} & set(environment)
    assert not [name for name in environment if name.startswith("ASSAY_")]
    assert environment["CUDA_VISIBLE_DEVICES"] == ""
    assert environment["OMP_NUM_THREADS"] == "1"
    assert environment["PYTHONHASHSEED"] == "0"
    assert Path(environment["HOME"]) == Path(environment["TMPDIR"]) == folder / "tmp"


def test_a_gpu_job_sees_its_cards_and_no_others() -> None:
    variables = local.environment.variables(temporary=Path("/x"), module_path=[], threads=2, cards=["1", "3"])
    assert variables["CUDA_VISIBLE_DEVICES"] == "1,3"
    assert variables["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"


def test_the_child_works_in_its_folder_and_finds_no_module_there(folder: Path) -> None:
    spec = lay(folder, "tell_path")
    (folder / "json.py").write_text("raise SystemExit('a planted module was imported')")
    result, _ = run_dispatched(spec, folder)
    assert result.value is not None
    assert result.value["folder"] == str(folder)
    assert str(folder) not in result.value["path"]
    assert "" not in result.value["path"]
    # Standard input is at its end for the runner; the lifeline is not its business.
    assert result.value["stdin"] == ""


@pytest.mark.parametrize("choice", WAYS)
def test_cancel_ends_child_and_grandchild(choice: str, folder: Path) -> None:
    execution = start(lay(folder, "wait_once", devices=["cuda:0"]), folder, choice=choice)
    eventually(lambda: execution.poll().progress)
    assert any("grandchild" in line for line in processes_of(folder).values())
    execution.cancel()
    assert not processes_of(folder)
    status = execution.poll()
    assert status.has_ended
    assert status.exit_status == -9


def test_no_zombie_is_left(folder: Path) -> None:
    execution = start(lay(folder, "wait_once"), folder)
    eventually(lambda: execution.poll().progress)
    execution.cancel()
    with pytest.raises(ProcessLookupError):
        os.killpg(execution.pid, 0)


def test_no_descriptor_is_left(folder: Path) -> None:
    def opened() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = opened()
    run_dispatched(lay(folder), folder)
    assert opened() == before


@pytest.mark.parametrize("choice", WAYS)
@pytest.mark.parametrize(
    ("do", "status"), [("kill_self", -9), ("crash", -11), ("end_silently", 0)], ids=["killed", "crashed", "left"]
)
def test_the_end_of_a_child_without_a_result_is_told(do: str, status: int, choice: str, folder: Path) -> None:
    execution = start(lay(folder, do), folder, choice=choice)
    assert finish(execution) == status
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("choice", WAYS)
def test_processor_time_is_limited_by_a_signal_with_a_name(choice: str, folder: Path) -> None:
    execution = start(lay(folder, "burn_processor", limits={"cpu_seconds": 1}), folder, choice=choice)
    assert finish(execution) == -24  # SIGXCPU


def test_a_child_that_closes_its_messages_is_waited_for_quietly(folder: Path) -> None:
    execution = start(lay(folder, "close_messages"), folder)
    polls = 0
    while not (status := execution.poll()).has_ended:
        polls += 1
        execution.wait(0.2)
    assert status.exit_status == 0
    assert polls < 100


def test_a_long_log_keeps_its_beginning_and_its_end(folder: Path) -> None:
    execution = start(lay(folder, "print_much", mebibytes=20), folder)
    assert finish(execution) == 0
    log = (folder / "log.txt").read_bytes()
    assert log.startswith(b"the first line\n")
    assert log.endswith(b"the last line\n")
    assert b"bytes of the log are left out here]" in log
    assert len(log) < local.LOG_HEAD_BYTES + local.LOG_TAIL_BYTES + 1024**2


def test_a_full_disk_under_the_log_is_told_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(stream: object, content: object) -> int:
        raise OSError(28, "No space left on device")

    log = local._Log(type("Full", (), {"write": full, "close": lambda self: None})())  # type: ignore[arg-type]
    with pytest.raises(OSError, match="No space"):
        log.write(b"x")
    log.write(b"more")
    log.close()


@pytest.mark.parametrize("choice", WAYS)
def test_the_child_dies_with_a_parent_that_is_killed(choice: str, folder: Path) -> None:
    """In a process of its own, which is then killed: the lifeline and the parent-death signal do the rest."""
    lay(folder, "wait_once", devices=["cuda:0"])
    code = f"""
import sys, time
from pathlib import Path
from tests.workers.child_folders import start
from workers.protocol import JobSpec
folder = Path({str(folder)!r})
execution = start(JobSpec.read(folder), folder, choice={choice!r})
while not (progress := execution.poll().progress):
    time.sleep(0.02)
print(progress.message, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "waiting\n"
        assert any("grandchild" in line for line in processes_of(folder).values())
        parent.kill()
    eventually(lambda: not processes_of(folder), seconds=10)
