"""The inspection job on model packages: sources for a reviewer, a recipe of its own, code in the sandbox only."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import packages
from tests.workers.child_folders import finish, lay, run_dispatched, start
from tests.workers.job_folders import job
from workers.artifacts import job as inspection
from workers.protocol import ProtocolError, Result, digest_of_bytes

ACCEPTED = ["ART-03.package", "ART-03.package_import"]
SOURCES = {
    "layers.py": digest_of_bytes(packages.LAYERS.encode()),
    "model.py": digest_of_bytes(packages.MODEL.encode()),
}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    """Inspect the PyTorch package in this process; keywords change what is stated or its entries."""

    def inspect(*, accepted: list[str] = ACCEPTED, stated: Any = None, sources: Any = None, **changes: Any) -> Any:
        context = job(
            tmp_path / "job",
            kind="model_inspection",
            inputs={"artifact": packages.pytorch(tmp_path / "package.zip", **changes)},
            parameters={"filename": "package.zip", "stated_recipe": stated, "accepted": accepted, "sources": sources},
        )
        return inspection.run(context), context.folder / "outputs"

    return inspect


def test_a_quarantined_package_leaves_its_sources_to_read_and_nothing_to_load(run: Any) -> None:
    value, outputs = run(accepted=[])
    assert (value["verdict"], value["sources"]) == ("quarantined", SOURCES)
    left = {path.name: path.read_text() for path in outputs.iterdir()}
    assert left == {"source_1.txt": packages.LAYERS, "source_2.txt": packages.MODEL}
    assert (value["signature"], value["weights_digest"]) == (None, "")


def test_an_accepted_package_is_loaded_and_says_what_it_is(run: Any) -> None:
    value, outputs = run()
    assert (value["verdict"], value["rewritten"]) == ("registered", "rewritten.package")
    assert {path.name for path in outputs.iterdir()} == {"source_1.txt", "source_2.txt", "rewritten.package"}
    assert value["parameter_count"] == 6
    assert value["signature"]["inputs"][0]["columns"] == packages.COLUMNS
    assert value["signature"]["outputs"][0]["classes"] == packages.CLASSES
    assert (value["recipe"]["loss"], value["recipe"]["epochs"]) == ("model:loss", 2)


def test_what_is_stated_beside_a_package_may_not_contradict_it(run: Any) -> None:
    value, _ = run(stated={"loss": "cross_entropy"})
    assert value["verdict"] == "rejected"
    assert "compiled with the loss model:loss; the stated recipe says cross_entropy" in value["reason"]


def test_a_stated_loss_has_to_be_in_the_package(run: Any) -> None:
    value, _ = run(assay=packages.PYTORCH_TOML.partition("[recipe]")[0], stated={"loss": "model:missing"})
    assert value["verdict"] == "rejected"
    assert "model:missing is a package's own, and the file is no package that defines it" in value["reason"]


def test_a_model_without_a_package_has_no_loss_of_its_own(tmp_path: Path, pt2_file: Path) -> None:
    context = job(
        tmp_path / "job",
        kind="model_inspection",
        inputs={"artifact": pt2_file},
        parameters={"filename": "model.pt2", "stated_recipe": {"loss": "model:loss"}},
    )
    value = inspection.run(context)
    assert [finding["id"] for finding in value["findings"]] == ["SIG-01.recipe"]


def test_a_factory_that_breaks_is_a_rejection_with_its_line(run: Any) -> None:
    value, _ = run(model=packages.MODEL.replace("    return Classifier(outputs)", "    raise ValueError('nine')"))
    assert (value["verdict"], value["findings"][-1]["id"]) == ("rejected", "SIG-01.load")
    assert "nine (model.py, line 19)" in value["reason"]


@pytest.mark.parametrize("change", [{"model.py": "sha256:" + "0" * 64}, {"more.py": SOURCES["model.py"]}])
def test_a_package_that_a_training_wrote_has_the_sources_that_were_released(run: Any, change: dict[str, str]) -> None:
    value, _ = run(sources={**SOURCES, **change})
    assert value["verdict"] == "rejected"
    assert "ART-01.changed_source" in {finding["id"] for finding in value["findings"]}


def test_the_sources_that_were_released_pass(run: Any) -> None:
    assert run(sources=SOURCES)[0]["verdict"] == "registered"


# --------------------------------------------------------------------------------------------- in the sandbox
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
    path = packages.pytorch(tmp_path / "package.zip", model=packages.MODEL + code)
    folder = tmp_path / "job"
    spec = lay(
        folder,
        runner="workers.artifacts.job:run",
        inputs={"artifact": path.read_bytes()},
        limits={"file_bytes": 64 * 1024**2},
        filename="package.zip",
        accepted=ACCEPTED,
    )
    result, _ = run_dispatched(spec, folder)
    assert result.value is not None, result.error
    assert result.value["verdict"] == "rejected"
    told = result.value["findings"][-1]["detail"]
    tried = dict(re.findall(r"'(\w+)': '(\w+)'", told))
    assert set(tried) == {"write", "read", "connect", "run"}, told
    # Where the job has a view of the file system of its own, what lies outside is not even there.
    assert set(tried.values()) <= {"PermissionError", "FileNotFoundError"}, told
    assert not (outside / "planted").exists()
    with pytest.raises(TimeoutError):
        listener.accept()


def test_code_that_never_ends_ends_with_its_job(tmp_path: Path) -> None:
    path = packages.pytorch(tmp_path / "package.zip", model=packages.MODEL + "\nwhile True:\n    pass\n")
    folder = tmp_path / "job"
    spec = lay(
        folder,
        runner="workers.artifacts.job:run",
        inputs={"artifact": path.read_bytes()},
        limits={"cpu_seconds": 5},
        filename="package.zip",
        accepted=ACCEPTED,
    )
    assert finish(start(spec, folder)) != 0
    with pytest.raises(ProtocolError, match="no result"):
        Result.read(folder)
