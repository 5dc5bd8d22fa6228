"""System checks: what the machine lacks for jobs is told before the first job fails on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import ERROR, CheckMessage, run_checks

from governance import checks
from tests.workers.driver_trees import ADDRESSES, UUID_TO_COME, four_cards, information, plant
from workers import sandbox
from workers.sandbox import Layers

WEAKNESSES = ("governance.W011", "governance.W012", "governance.W013", "governance.W014")
Probed = Callable[[Layers], None]


@pytest.fixture
def probed(monkeypatch: pytest.MonkeyPatch) -> Probed:
    """Have this machine give a child these layers and no others."""
    return lambda layers: monkeypatch.setattr(sandbox, "probe", lambda choice: layers)


def told(*ids: str) -> list[CheckMessage]:
    return [message for message in run_checks(tags=["governance"]) if message.id in ids]


def test_this_machine_is_fit() -> None:
    assert told("governance.E010", "governance.E011", "governance.E012", "governance.W010") == []


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
def test_a_sandbox_with_a_hole_is_told(layers: Layers, missing: str, probed: Probed) -> None:
    probed(layers)
    (message,) = told("governance.W010")
    assert missing in message.msg
    # What is weak does not matter where nothing is loaded at all.
    assert not told(*WEAKNESSES)


def test_bubblewrap_that_settings_ask_for_and_that_does_not_work_is_an_error(settings: Any, probed: Probed) -> None:
    settings.ASSAY_SANDBOX = sandbox.BUBBLEWRAP
    probed(Layers())
    (message,) = told("governance.E012", "governance.W010")
    assert message.level == ERROR
    assert "a worker here refuses every job that loads a model" in message.msg
    assert "ASSAY_SANDBOX" in str(message.hint)
    probed(WHOLE)
    assert not told("governance.E012")


WHOLE = Layers(bubblewrap="0.8.0", namespaces=("user", "net", "pid"), landlock=7, seccomp=True)


@pytest.mark.parametrize(
    ("lacking", "number", "said"),
    [
        ({}, None, ""),
        ({"bubblewrap": ""}, "governance.W011", "without bubblewrap"),
        ({"seccomp": False}, "governance.W012", "not filtered"),
        ({"namespaces": ("user", "net"), "landlock": 5}, "governance.W013", "signals"),
        ({"namespaces": ("user", "net"), "landlock": 6}, None, ""),
        ({"landlock": 1}, None, ""),
    ],
)
def test_each_weak_layer_is_told_with_a_hint(
    lacking: dict[str, Any], number: str | None, said: str, probed: Probed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks.os, "geteuid", lambda: 1000)
    probed(replace(WHOLE, **lacking))
    messages = told(*WEAKNESSES)
    assert [message.id for message in messages] == ([] if number is None else [number])
    assert all(said in message.msg and message.hint for message in messages)


def test_to_do_without_bubblewrap_by_choice_is_no_weakness(settings: Any, probed: Probed) -> None:
    settings.ASSAY_SANDBOX = sandbox.NAMESPACES
    probed(replace(WHOLE, bubblewrap=""))
    assert not told("governance.W011")


@pytest.mark.parametrize(("user", "is_told"), [(0, True), (1000, False)])
def test_to_run_as_root_is_told(user: int, is_told: bool, probed: Probed, monkeypatch: pytest.MonkeyPatch) -> None:
    probed(WHOLE)
    monkeypatch.setattr(checks.os, "geteuid", lambda: user)
    assert bool(told("governance.W014")) is is_told


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        ({}, None),
        ({ADDRESSES[0]: ""}, "no job on a GPU starts here: it has 0 lines 'GPU UUID'"),
        ({ADDRESSES[0]: information(1, UUID_TO_COME)}, "does not tell the UUID of"),
    ],
)
def test_cards_that_cannot_be_told_apart_are_told(bend: dict[str, str], said: str | None, tmp_path: Path) -> None:
    messages = checks.cards_can_be_told(None, driver=plant(tmp_path, four_cards() | bend))
    assert [message.id for message in messages] == ([] if said is None else ["governance.W015"])
    assert all(said is not None and said in message.msg and message.hint for message in messages)


def test_a_machine_without_cards_is_no_weakness(tmp_path: Path) -> None:
    assert not checks.cards_can_be_told(None, driver=sandbox.Driver(state=tmp_path, device_folder=tmp_path))
    assert told("governance.W015") == []


def test_another_sandbox_is_refused_at_the_start(tmp_path: Path) -> None:
    variables = {
        "DJANGO_SETTINGS_MODULE": "governance.settings",
        "ASSAY_HOME": str(tmp_path),
        "ASSAY_SANDBOX": "chroot",
    }
    ended = subprocess.run(
        [sys.executable, "-c", "import django; django.setup()"],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **variables},
    )
    assert ended.returncode != 0
    assert "ASSAY_SANDBOX is 'chroot'; it is one of auto, bubblewrap, namespaces." in ended.stderr
