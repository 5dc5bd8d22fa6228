"""The limits of inspections are a setting, checked at start, and an option of the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.artifacts.limits import Limits

CHECKOUT = Path(__file__).parents[2]


def settings_with(value: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = "from governance import settings; print(settings.ASSAY_INSPECTION_LIMITS)"
    environment = {**os.environ, "ASSAY_INSPECTION_LIMITS": value, "ASSAY_HOME": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=CHECKOUT, env=environment
    )


def test_limits_are_read_from_the_environment(tmp_path: Path) -> None:
    ended = settings_with('{"entries": 100, "source_bytes": 1000}', tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == "{'entries': 100, 'source_bytes': 1000}"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ('{"entrys": 100}', "'entrys' is no limit; there are entries"),
        ('{"entries": 0}', "a whole number of at least 1"),
        ('{"entries": true}', "a whole number of at least 1"),
        ("[1]", "no JSON object of limits"),
        ("{entries", "no JSON object of limits"),
    ],
)
def test_limits_that_are_none_stop_the_start(value: str, words: str, tmp_path: Path) -> None:
    ended = settings_with(value, tmp_path)
    assert ended.returncode != 0
    assert "ImproperlyConfigured: ASSAY_INSPECTION_LIMITS" in ended.stderr
    assert words in ended.stderr


def inspect(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "workers.artifacts", "inspect", *arguments],
        check=False,
        capture_output=True,
        text=True,
        cwd=CHECKOUT,
    )


def test_the_command_takes_limits(tmp_path: Path) -> None:
    from tests import packages

    path = str(packages.pytorch(tmp_path / "package.zip"))
    assert inspect(path, "--limit", "entries=4").returncode == 2
    ended = inspect(path, "--limit", "source_bytes=1000000", "--limit", "entries=3")
    assert ended.returncode == 1
    assert "4 entries; the limit is 3" in json.loads(ended.stdout)["reason"]


@pytest.mark.parametrize(
    ("text", "words"),
    [("entries", "write NAME=NUMBER"), ("entries=-1", "write NAME=NUMBER"), ("entries=0", "at least 1"),
     ("sizes=3", "'sizes' is no limit")],
)  # fmt: skip
def test_the_command_refuses_limits_that_are_none(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    ended = inspect(str(tmp_path / "file"), "--limit", text)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert words in ended.stderr


def test_every_limit_has_its_line() -> None:
    for name in Limits.__dataclass_fields__:
        assert f"\n        {name}: " in (Limits.__doc__ or "")
