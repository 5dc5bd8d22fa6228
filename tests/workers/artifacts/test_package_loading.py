"""The job ``model_loading``: the code of a package runs once, in the sandbox, and says what only it can say."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import packages, tiny_models
from tests.workers.child_folders import finish, lay, run_dispatched, start
from tests.workers.job_folders import job
from workers.artifacts import loading
from workers.protocol import JobError, JobSpec, ProtocolError, Result


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Load a package in this process; keywords change its entries."""

    def run(
        framework: str = "pytorch", *, signature: Any = None, device: str = "cpu", **changes: Any
    ) -> dict[str, Any]:
        path = {"pytorch": packages.pytorch, "keras": packages.keras}[framework](tmp_path / "model.zip", **changes)
        context = job(
            tmp_path / "job",
            kind="model_loading",
            inputs={"model": path.rename(path.with_suffix(".package"))},
            parameters={"framework": framework, "signature": signature},
        )
        return loading.run(context)

    return run


@pytest.mark.parametrize(("framework", "name"), [("pytorch", "features"), ("keras", "features")])
def test_a_package_that_loads_tells_its_signature_and_layers(load: Any, framework: str, name: str) -> None:
    value = load(framework)
    assert (value["findings"], value["reason"]) == ([], "")
    assert value["signature"]["inputs"][0]["name"] == name
    assert {"name": "answer", "kind": "Affine", "output_shape": [-1, 2], "parameter_count": 6} in value["layers"]


def test_it_has_the_signature_that_is_stated_for_it(load: Any) -> None:
    stated = tiny_models.signature(classes=["a", "b"], columns=packages.COLUMNS)
    assert load("keras", assay=packages.KERAS_TOML.partition("[[sig")[0], signature=stated)["signature"] == stated


def test_another_signature_than_the_stated_one_is_a_finding(load: Any) -> None:
    without = packages.KERAS_TOML.partition("[[sig")[0]
    value = load("keras", assay=without, signature=tiny_models.signature(inputs=3))
    assert [finding["id"] for finding in value["findings"]] == ["SIG-01.signature"]
    assert "[-1, 3]" in value["reason"]
    assert (value["signature"], value["layers"]) == (None, [])


def test_a_factory_that_breaks_is_a_finding_with_its_line(load: Any) -> None:
    value = load(model=packages.MODEL.replace("    return Classifier(outputs)", "    raise ValueError('nine')"))
    assert [finding["id"] for finding in value["findings"]] == ["SIG-01.load"]
    assert "nine (model.py, line 19)" in value["reason"]


def test_a_complaint_without_end_is_cut(load: Any) -> None:
    value = load(model=packages.MODEL.replace("    return Classifier(outputs)", "    raise ValueError('9' * 10**6)"))
    assert len(value["reason"]) < 4000


def test_what_is_not_the_package_s_doing_ends_the_job(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise JobError("no_sandbox", "This machine lacks file isolation.")

    monkeypatch.setattr(loading, "load_model", refuse)
    with pytest.raises(JobError, match="file isolation"):
        load()


# --------------------------------------------------------------------------------------------- in the sandbox
def lay_package(folder: Path, code: str, **limits: int) -> JobSpec:
    """Lay the folder of a loading whose package has this code besides its own."""
    path = packages.pytorch(folder.with_suffix(".zip"), model=packages.MODEL + code)
    return lay(
        folder,
        runner="workers.artifacts.loading:run",
        limits=limits,
        suffix=".package",
        framework="pytorch",
        signature=None,
        inputs={"model": path.read_bytes()},
    )


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        server.settimeout(0.2)
        yield server


ATTEMPTS = """
import os, pathlib, socket
tried = {{}}
for name, act in {{
    "write": lambda: pathlib.Path({outside!r}, "planted").touch(),
    "read": lambda: pathlib.Path({outside!r}, "secret").read_text(),
    "connect": lambda: socket.create_connection(("127.0.0.1", {port}), 2),
    "run": lambda: os.posix_spawn("/bin/true", ["true"], {{}}),
}}.items():
    try:
        act()
    except Exception as error:
        tried[name] = type(error).__name__
    else:
        tried[name] = "done"
raise ImportError("tried " + repr(tried))
"""


def test_what_the_code_tries_at_import_is_contained(tmp_path: Path, listener: socket.socket) -> None:
    outside = tmp_path / "home"
    outside.mkdir()
    (outside / "secret").write_text("the key")
    code = ATTEMPTS.format(outside=str(outside), port=listener.getsockname()[1])
    folder = tmp_path / "job"
    result, _ = run_dispatched(lay_package(folder, code, file_bytes=64 * 1024**2), folder)
    assert result.value is not None, result.error
    told = result.value["findings"][-1]["detail"]
    tried = dict(re.findall(r"'(\w+)': '(\w+)'", told))
    assert set(tried) == {"write", "read", "connect", "run"}, told
    # Where the job has a view of the file system of its own, what lies outside is not even there.
    assert set(tried.values()) <= {"PermissionError", "FileNotFoundError"}, told
    assert not (outside / "planted").exists()
    with pytest.raises(TimeoutError):
        listener.accept()


def test_code_that_never_ends_ends_with_its_job(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    spec = lay_package(folder, "\nwhile True:\n    pass\n", cpu_seconds=5)
    assert finish(start(spec, folder)) != 0
    with pytest.raises(ProtocolError, match="no result"):
        Result.read(folder)
