"""What code inside a model tries is contained, with Keras and PyTorch alike, both ways of putting a child away."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import processes_of
from tests.faults.escapes import RAISING
from tests.workers.child_folders import CHECKOUT, WAYS, lay, run_dispatched
from workers.protocol import INPUTS_FOLDER, digest_of_file

pytestmark = pytest.mark.slow

RUNNER = "tests.faults.escapes:run"
DECOY = "assay-decoy-5c1e"

MARKERS = [
    Path("/tmp/assay-marker"),
    Path("/dev/shm/assay-marker"),
    Path("/usr/lib/assay-marker"),
    Path(sys.prefix) / "assay-marker.pth",
]

#: How a payload that is contained ends.
CONTAINED = {
    "PermissionError",  # refused by Landlock or seccomp
    "FileNotFoundError",  # not in the child's own mounts
    "ProcessLookupError",  # not in the child's own processes
    "OSError",  # a read-only mount, a file over the limit
    "ValueError",  # Python's word for a limit that may not be raised
    "MemoryError",
}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A home beside the job's folder, with a secret in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "secret").write_text(DECOY)
    return folder


@pytest.fixture
def surroundings(outside: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What there is to reach: listeners, a descriptor left open, another job, and the secret in our own environment."""
    monkeypatch.setenv("ASSAY_SECRET_KEY", DECOY)
    lay(tmp_path / "other")
    with (
        # A process whose environment holds the decoy from its start, as a worker's does.
        subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as worker,
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as local,
        socket.socket(socket.AF_UNIX) as abstract,
        (outside / "secret").open("rb") as left_open,
    ):
        local.bind(str(outside / "socket"))
        local.listen()
        abstract.bind("\0" + DECOY)
        abstract.listen()
        os.set_inheritable(left_open.fileno(), True)
        yield {
            "outside": str(outside),
            "other_job": str(tmp_path / "other"),
            "port": listener.getsockname()[1],
            "worker": worker.pid,
            "decoy": DECOY,
        }
        assert worker.poll() is None, "the worker was killed"
        assert worker.stdin is not None
        worker.stdin.close()


def escaping(folder: Path, surroundings: dict[str, Any], *, framework: str, payloads: list[str], **options: Any) -> Any:
    return lay(
        folder,
        runner=RUNNER,
        inputs={"data": b"as it was"},
        framework=framework,
        payloads=payloads,
        **surroundings,
        **options,
    )


@pytest.mark.parametrize("choice", WAYS)
@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_whatever_a_model_tries_is_contained(
    framework: str, choice: str, surroundings: dict[str, Any], outside: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    names = [payload.__name__ for payload in RAISING]
    spec = escaping(folder, surroundings, framework=framework, payloads=names)
    before = digest_of_file(folder / INPUTS_FOLDER / "data.bin")

    result, _ = run_dispatched(spec, folder, choice=choice)

    assert result.value is not None, (result.error, (folder / "log.txt").read_text())
    assert framework in result.environment["packages"]
    outcomes = result.value["outcomes"]
    assert list(outcomes) == names
    assert {name: outcome for name, outcome in outcomes.items() if outcome not in CONTAINED} == {}
    assert digest_of_file(folder / INPUTS_FOLDER / "data.bin") == before
    assert not [marker for marker in [outside / "marker", *MARKERS] if marker.exists()]
    assert not processes_of(folder)


def test_the_payloads_have_teeth(surroundings: dict[str, Any], outside: Path, tmp_path: Path) -> None:
    """Without a sandbox, the same code does what it is there for; but for what would harm the machine."""
    folder = tmp_path / "job"
    harmful = {"kill_the_parent", "kill_the_worker", "write_in_the_system", "write_in_the_packages", "mount"}
    harmful |= {"become_a_program", "write_a_huge_file", "read_passwords_of_the_system", "allocate_memory"}
    ours = {"trace_the_parent", "read_memory_of_the_parent", "make_a_namespace", "ask_for_a_kernel_program"}
    ours |= {"raise_the_own_limit", "leave_the_session", "move_the_inputs_away", "use_a_descriptor_that_was_left_open"}
    names = [payload.__name__ for payload in RAISING if payload.__name__ not in harmful | ours]
    escaping(folder, surroundings, framework="none", payloads=names)
    code = f"""
from pathlib import Path
from tests.faults import escapes
from workers.context import JobContext
from workers.protocol import JobSpec
import json
folder = Path({str(folder)!r})
(folder / "tmp").mkdir()
print(json.dumps(escapes.run(JobContext(JobSpec.read(folder), folder))["outcomes"]))
"""
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=CHECKOUT)
    outcomes = json.loads(ended.stdout.splitlines()[-1])
    for marker in MARKERS[:2]:
        marker.unlink()
    assert {name for name, outcome in outcomes.items() if outcome in CONTAINED} == set()
    assert (outside / "marker").read_text() == "escaped"


@pytest.mark.parametrize("choice", WAYS)
def test_what_a_job_on_a_gpu_leaves_behind_is_gone_with_it(
    choice: str, surroundings: dict[str, Any], tmp_path: Path
) -> None:
    """Such a job may start processes; neither a second fork nor a session of its own lets one outlive it."""
    folder = tmp_path / "job"
    names = ["leave_a_process_behind", "leave_the_session"]
    spec = escaping(folder, surroundings, framework="none", payloads=names, devices=["cuda:0"])

    result, _ = run_dispatched(spec, folder, choice=choice)

    assert result.value is not None, result.error
    assert result.value["outcomes"]["leave_a_process_behind"] == "not contained: 'left'"
    assert result.value["outcomes"]["leave_the_session"] == "PermissionError"
    assert not processes_of(folder)
