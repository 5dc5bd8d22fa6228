"""The sandbox as a whole, both ways: what a job reaches in it, what it says about it, and that the frameworks work."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.child_folders import WAYS, lay, run_by_hand, run_dispatched
from workers import sandbox
from workers.protocol import JobError, Result
from workers.sandbox import Layers

#: By Landlock or seccomp; inside bubblewrap most of it is not there to begin with.
REFUSED = {"PermissionError"}
NOT_THERE = {"PermissionError", "FileNotFoundError", "ProcessLookupError"}


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


@pytest.mark.parametrize("choice", WAYS)
def test_a_job_reaches_nothing_but_its_folder(choice: str, tmp_path: Path, outside: Path, server: int) -> None:
    folder = tmp_path / "job"
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(outside / "socket"))
        local.listen()
        spec = lay(folder, "attempts", outside=str(outside), port=server)
        result, _ = run_dispatched(spec, folder, choice=choice)
    assert result.value is not None, result.error
    answers = dict(result.value)
    del answers["answer"]
    assert answers.pop("write_inside") == "done"
    assert answers.pop("own_pair") == "done"
    assert answers.pop("resolve") in ("gaierror", "PermissionError")
    assert set(answers.values()) <= (REFUSED if choice == sandbox.NAMESPACES else NOT_THERE), answers
    assert (outside / "secret").read_text() == "the key of the event chain"
    assert not (outside / "planted").exists()


def test_a_job_by_hand_is_in_the_same_sandbox(tmp_path: Path, outside: Path, server: int) -> None:
    folder = tmp_path / "job"
    lay(folder, "attempts", outside=str(outside), port=server)
    run_by_hand(folder)
    value = Result.read(folder).value
    assert value is not None
    assert {value[name] for name in ("connect", "read_outside", "write_outside")} == REFUSED


@pytest.mark.parametrize("choice", WAYS)
def test_the_probe_says_what_a_child_gets(choice: str, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    result, _ = run_dispatched(lay(folder), folder, choice=choice)
    assert Layers.from_json(result.environment["sandbox"]) == sandbox.probe(choice)
    assert result.environment["sandbox"] == sandbox.probe(choice).to_json()
    assert sandbox.probe(choice).may_load_uploads


@pytest.mark.bubblewrap
def test_bubblewrap_gives_processes_and_mounts_of_their_own() -> None:
    layers = sandbox.probe(sandbox.BUBBLEWRAP)
    assert {"user", "net", "pid", "ipc", "uts", "mnt"} <= set(layers.namespaces)
    assert layers.read_only_inputs
    assert sandbox.probe(sandbox.AUTO) == layers
    assert sandbox.probe(sandbox.NAMESPACES).bubblewrap == ""


@pytest.mark.parametrize(
    "program",
    [
        # As in a container that lets nobody mount /proc.
        '#!/bin/sh\n[ "$1" = --version ] && echo bubblewrap 9.9 && exit\necho Not permitted >&2; exit 1\n',
        "#!/nonexistent/interpreter\n",
    ],
    ids=["ends with an error", "cannot be run"],
)
def test_a_bubblewrap_that_does_not_work_counts_as_none(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bwrap").write_text(program)
    (tmp_path / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    sandbox.probe.cache_clear()
    try:
        assert sandbox.probe(sandbox.BUBBLEWRAP) == Layers()
        auto = sandbox.probe(sandbox.AUTO)
    finally:
        sandbox.probe.cache_clear()
    assert auto == sandbox.probe(sandbox.NAMESPACES)
    assert auto.landlock


@pytest.mark.parametrize(
    ("layers", "missing"),
    [
        (Layers(landlock=1), "network isolation"),
        (Layers(seccomp=True), "file isolation"),
        (Layers(namespaces=("user", "net")), "file isolation"),
        (Layers(landlock=7, namespaces=("user", "pid")), "network isolation"),
        (Layers(), "network isolation (neither namespaces nor seccomp) and file isolation"),
    ],
)
def test_an_unwhole_sandbox_is_refused_with_what_it_lacks(layers: Layers, missing: str) -> None:
    assert not layers.may_load_uploads
    with pytest.raises(JobError, match="no upload is loaded") as refusal:
        sandbox.require(layers)
    assert refusal.value.code == "no_sandbox"
    assert missing in refusal.value.detail


@pytest.mark.parametrize("layers", [Layers(landlock=1, seccomp=True), Layers(landlock=7, namespaces=("net",))])
def test_either_way_of_cutting_the_network_is_enough(layers: Layers) -> None:
    sandbox.require(layers)


def test_bubblewrap_that_was_asked_for_is_required() -> None:
    layers = Layers(landlock=7, seccomp=True, namespaces=("user", "net"))
    with pytest.raises(JobError, match="lacks bubblewrap, which ASSAY_SANDBOX asks for"):
        sandbox.require(layers, sandbox.BUBBLEWRAP)


@pytest.mark.parametrize(
    "said",
    [
        None,
        True,
        "bubblewrap",
        {"bubblewrap": 8, "namespaces": "net", "landlock": True, "seccomp": 1},
        {"namespaces": ["network", 7, {}], "landlock": -1, "limits": "yes"},
        {"landlock": 10**9, "bubblewrap": ["0.8.0"]},
    ],
)
def test_what_is_not_of_its_type_counts_as_no_layer(said: object) -> None:
    assert Layers.from_json(said) == Layers()


@pytest.mark.slow
@pytest.mark.parametrize("choice", WAYS)
@pytest.mark.parametrize("framework", ["torch", "keras"])
def test_frameworks_load_and_compute_inside(framework: str, choice: str, tmp_path: Path) -> None:
    folder = tmp_path / "job"
    spec = lay(folder, f"predict_with_{framework}", limits={"memory_bytes": 16 * 1024**3})
    result, _ = run_dispatched(spec, folder, choice=choice)
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
