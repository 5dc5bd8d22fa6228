"""The sandbox: what is refused inside it, layer by layer and together, and that the frameworks work in it."""

from __future__ import annotations

import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.child_folders import CHECKOUT, lay, run_by_hand, run_dispatched
from workers import sandbox
from workers.protocol import JobError, Result
from workers.sandbox import Layers

REFUSED = {"PermissionError"}


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the job's, with a secret, as the home of an installation is."""
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "secret").write_text("the key of the event chain")
    return folder


@pytest.fixture
def server() -> Iterator[int]:
    """Something on this machine that a connection would reach."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_job_reaches_nothing_but_its_folder(tmp_path: Path, outside: Path, server: int) -> None:
    folder = tmp_path / "job"
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(outside / "socket"))
        local.listen()
        result, _ = run_dispatched(lay(folder, "attempts", outside=str(outside), port=server), folder)
    assert result.value is not None, result.error
    answers = dict(result.value)
    del answers["answer"]
    assert answers.pop("write_inside") == "done"
    assert answers.pop("own_pair") == "done"
    assert answers.pop("resolve") in ("gaierror", "PermissionError")
    assert set(answers.values()) == REFUSED, answers
    assert (outside / "secret").read_text() == "the key of the event chain"
    assert not (outside / "planted").exists()


def test_a_job_by_hand_is_in_the_same_sandbox(tmp_path: Path, outside: Path, server: int) -> None:
    folder = tmp_path / "job"
    lay(folder, "attempts", outside=str(outside), port=server)
    run_by_hand(folder)
    value = Result.read(folder).value
    assert value is not None
    assert {value[name] for name in ("connect", "read_outside", "write_outside")} == REFUSED


def inside(setup: str, attempt: str) -> str:
    """Run one layer alone in a process and return what became of an attempt: ``done``, or the error's name."""
    code = f"""
import os, socket, subprocess, sys
from pathlib import Path
from workers import sandbox
from workers.protocol import Limits
{setup}
try:
    {attempt}
except OSError as error:
    print(type(error).__name__, error.errno)
else:
    print("done")
"""
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=CHECKOUT)
    return ended.stdout.strip()


NO_NEW_PRIVILEGES = "sandbox._libc.prctl(38, 1, 0, 0, 0)"
SECCOMP = f"{NO_NEW_PRIVILEGES}; assert sandbox._filter_system_calls()"
LANDLOCK = f"{NO_NEW_PRIVILEGES}; assert sandbox._restrict_files(folder=Path(FOLDER), packages=[], uses_gpu=False)"


@pytest.mark.parametrize(
    ("layer", "attempt", "outcome"),
    [
        ("", "socket.create_connection(('127.0.0.1', PORT), timeout=3)", "done"),
        (SECCOMP, "socket.create_connection(('127.0.0.1', PORT), timeout=3)", "PermissionError 1"),
        (SECCOMP, "socket.socket(socket.AF_UNIX)", "PermissionError 1"),
        (SECCOMP, "subprocess.run([sys.executable, '-c', ''], start_new_session=True)", "PermissionError 1"),
        (SECCOMP, "os.setpgid(0, 0)", "PermissionError 1"),
        (SECCOMP, "subprocess.run([sys.executable, '-c', ''], check=True)", "done"),
        (
            SECCOMP,
            "import ctypes; libc = ctypes.CDLL(None, use_errno=True);"
            " r = libc.unshare(0x10000000); print(r, ctypes.get_errno())",
            "-1 1\ndone",
        ),
        (LANDLOCK, "Path(SECRET).read_text()", "PermissionError 13"),
        (LANDLOCK, "(Path(FOLDER) / 'x').write_text('x')", "done"),
        (LANDLOCK, "Path('/tmp/assay-planted').write_text('x')", "PermissionError 13"),
        (LANDLOCK, "import numpy; Path('/dev/null').write_text('x')", "done"),
    ],
)
def test_each_layer_holds_alone(
    layer: str, attempt: str, outcome: str, tmp_path: Path, outside: Path, server: int
) -> None:
    values = f"PORT, FOLDER, SECRET = {server}, {str(tmp_path / 'job')!r}, {str(outside / 'secret')!r}"
    (tmp_path / "job").mkdir()
    assert inside(f"{values}\n{layer}", attempt) == outcome


def test_namespaces_cut_the_network_where_the_system_has_them(server: int) -> None:
    setup = "print('entered' if sandbox._enter_namespaces() else 'not there')"
    outcome = inside(setup, f"socket.create_connection(('127.0.0.1', {server}), timeout=3)")
    assert outcome == ("entered\nOSError 101" if sandbox.probe().namespaces else "not there\ndone")


def test_limits_never_ask_for_more_than_the_system_gives() -> None:
    code = (
        "import resource; from workers import sandbox; from workers.protocol import Limits;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); sandbox._set_limits(Limits(), uses_gpu=True);"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_AS)[0],"
        " resource.getrlimit(resource.RLIMIT_CORE))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=CHECKOUT)
    # On a GPU the driver reserves more address space than any limit that would mean something.
    assert ended.stdout.split(") ")[0] == "(64, 64"
    assert f" {resource.getrlimit(resource.RLIMIT_AS)[0]} (0, 0)" in ended.stdout


def test_the_probe_says_what_a_child_gets(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    result, _ = run_dispatched(lay(folder), folder)
    assert result.environment["sandbox"] == sandbox.probe().to_json()


@pytest.mark.parametrize(
    ("layers", "missing"),
    [
        (Layers(landlock=1), "network isolation"),
        (Layers(seccomp=True), "file isolation"),
        (Layers(namespaces=True), "file isolation"),
        (Layers(), "network isolation (neither namespaces nor seccomp) and file isolation"),
    ],
)
def test_an_unwhole_sandbox_is_refused_with_what_it_lacks(layers: Layers, missing: str) -> None:
    assert not layers.may_load_uploads
    with pytest.raises(JobError, match="no upload is loaded") as refusal:
        sandbox.require(layers)
    assert refusal.value.code == "no_sandbox"
    assert missing in refusal.value.detail


@pytest.mark.parametrize("layers", [Layers(landlock=1, seccomp=True), Layers(landlock=7, namespaces=True)])
def test_either_way_of_cutting_the_network_is_enough(layers: Layers) -> None:
    sandbox.require(layers)


@pytest.mark.slow
@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_frameworks_load_and_compute_inside(framework: str, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    spec = lay(folder, f"predict_with_{framework}", limits={"memory_bytes": 16 * 1024**3})
    result, _ = run_dispatched(spec, folder)
    assert result.error is None, (folder / "log.txt").read_text()
    assert result.value == {"answer": 6}
    assert framework in result.environment["packages"]


@pytest.mark.parametrize("memory_bytes", [1024**3, 16 * 1024**3])
def test_charts_are_drawn_inside_although_their_engine_reserves_more_than_the_limit(
    memory_bytes: int, tmp_path: Path
) -> None:
    folder = tmp_path / "job"
    result, _ = run_dispatched(lay(folder, "draw_a_chart", limits={"memory_bytes": memory_bytes}), folder)
    assert result.value == {"is_svg": True}, (folder / "log.txt").read_text()
