"""System checks: what the machine lacks for jobs is told before the first job fails on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks

from workers import sandbox
from workers.sandbox import Layers


def told(*ids: str) -> list[CheckMessage]:
    return [message for message in run_checks(tags=["governance"]) if message.id in ids]


def test_this_machine_is_fit() -> None:
    assert told("governance.E010", "governance.E011", "governance.W010") == []


@pytest.mark.parametrize("name", ["ASSAY_STORE_FOLDER", "ASSAY_JOBS_FOLDER"])
def test_a_folder_that_cannot_be_written_is_named(name: str, settings: Any, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("in the way")
    setattr(settings, name, file / "below")
    (message,) = told("governance.E010")
    assert name in message.msg
    assert str(file) in message.msg


def test_an_unknown_executor_is_told(settings: Any) -> None:
    settings.ASSAY_EXECUTOR = "abacus"
    (message,) = told("governance.E011")
    assert "'abacus'" in message.msg


@pytest.mark.parametrize(
    ("layers", "missing"),
    [(Layers(landlock=7), "network isolation"), (Layers(seccomp=True), "file isolation"), (Layers(), "and file")],
)
def test_a_sandbox_with_a_hole_is_told(layers: Layers, missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "probe", lambda: layers)
    (message,) = told("governance.W010")
    assert missing in message.msg
