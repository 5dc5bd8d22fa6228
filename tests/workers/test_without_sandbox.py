"""Where no sandbox can be had, nothing loads an upload and inspection goes on: from the executor to the result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiny_models
from tests.workers.child_folders import lay, run_dispatched
from workers import sandbox
from workers.protocol import Result

INSPECTION = "workers.artifacts.job:run"


@pytest.fixture(autouse=True)
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hide bubblewrap, which the installation asks for: from there on, all is as on a machine without a sandbox."""
    monkeypatch.setenv("PATH", "/nonexistent")
    sandbox.probe.cache_clear()
    yield
    sandbox.probe.cache_clear()


def ended(folder: Path, runner: str, content: bytes = b"", filename: str = "model.pt2") -> Result:
    parameters = {"filename": filename, "stated_signature": None, "stated_recipe": None}
    spec = lay(folder, runner=runner, inputs={"artifact": content}, limits={"memory_bytes": 8 * 1024**3}, **parameters)
    result, _ = run_dispatched(spec, folder, choice=sandbox.BUBBLEWRAP)
    return result


def test_a_job_that_works_with_a_model_is_refused(tmp_path: Path) -> None:
    result = ended(tmp_path / "job", "tests.faults.runners:run")
    assert result.error is not None
    assert (result.error.code, result.error.errored) == ("no_sandbox", False)
    assert "lacks bubblewrap, which ASSAY_SANDBOX asks for" in result.error.detail
    assert result.error.detail.endswith("Static inspection still works.")
    assert result.environment["sandbox"]["bubblewrap"] == ""
    assert not {"torch", "keras"} & set(result.environment["packages"])


@pytest.mark.parametrize("content", [b"\x80\x04cos\nsystem\n(S'true'\ntR.", b"PK\x03\x04 no archive"])
def test_a_hostile_file_is_still_inspected_and_rejected(content: bytes, tmp_path: Path) -> None:
    result = ended(tmp_path / "job", INSPECTION, content)
    assert result.value is not None, result.error
    assert result.value["verdict"] == "rejected"
    assert result.value["findings"]


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".pt2"])
def test_a_benign_file_is_inspected_up_to_its_loading(suffix: str, tmp_path: Path) -> None:
    source = tiny_models.linear_classifier(tmp_path / f"model{suffix}")
    result = ended(tmp_path / "job", INSPECTION, source.read_bytes(), source.name)
    assert result.error is not None
    assert result.error.code == "no_sandbox"
    # The canonical copy is written before it is loaded: inspection came to its end.
    assert (tmp_path / "job" / "outputs" / f"rewritten{suffix}").is_file()
