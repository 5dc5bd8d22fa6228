"""The room that a job takes in its folder is measured although it hides it; whatever it left is removed."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from governance.job_folders import overflow, remove_folder
from tests.workers.child_folders import lay
from workers.protocol import INPUTS_FOLDER, JobSpec

MEBIBYTE = 1024**2


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "7" / "1"


@pytest.fixture
def spec(folder: Path) -> JobSpec:
    """A job with an input of 3 MiB that may take 2 MiB and 20 entries."""
    spec = lay(folder, inputs={"data": bytes(3 * MEBIBYTE)})
    return replace(spec, limits=replace(spec.limits, folder_bytes=2 * MEBIBYTE, folder_entries=20))


def test_inputs_do_not_count(folder: Path, spec: JobSpec) -> None:
    (folder / "outputs").mkdir()
    (folder / "outputs" / "small.bin").write_bytes(bytes(MEBIBYTE))
    assert overflow(folder, spec) is None


def test_files_count_together_wherever_they_lie(folder: Path, spec: JobSpec) -> None:
    for place in ("outputs", "tmp/deep/er", INPUTS_FOLDER):
        (folder / place).mkdir(parents=True, exist_ok=True)
        (folder / place / "more.bin").write_bytes(bytes(MEBIBYTE))
    assert overflow(folder, spec) == "Its files take more than 2,097,152 bytes, the most that they may."


def test_holes_take_no_room(folder: Path, spec: JobSpec) -> None:
    with (folder / "sparse.bin").open("wb") as stream:
        stream.truncate(10**10)
    assert overflow(folder, spec) is None


def test_names_count(folder: Path, spec: JobSpec) -> None:
    for number in range(30):
        (folder / str(number)).touch()
    assert overflow(folder, spec) == "It has more than 20 files and folders, the most that it may."


def test_what_is_behind_a_link_does_not_count(folder: Path, spec: JobSpec, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "big.bin").write_bytes(bytes(4 * MEBIBYTE))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "loop").symlink_to(folder)
    assert overflow(folder, spec) is None


def test_a_folder_that_cannot_be_looked_into_is_too_much(
    folder: Path, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "hidden").mkdir()
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("hidden"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert overflow(folder, spec) == "It has a folder that cannot be looked into (Permission denied)."


def test_what_vanishes_meanwhile_is_passed(folder: Path, spec: JobSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "gone").mkdir()
    scan = os.scandir

    def vanish(path: Any) -> Any:
        if str(path).endswith("gone"):
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", vanish)
    assert overflow(folder, spec) is None


@pytest.fixture
def deep_folder(folder: Path, spec: JobSpec) -> Iterator[Path]:
    """A folder with others in it, deeper than one path may name and than Python may recurse."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        for _ in range(1200):
            Path("nested").mkdir()
            os.chdir("nested")
        Path("file").write_text("at the bottom")
    finally:
        os.chdir(here)
    yield folder
    # Whoever clears the folders of tests recurses.
    remove_folder(folder)


def test_a_folder_that_is_too_deep_to_be_measured_is_too_much(deep_folder: Path, spec: JobSpec) -> None:
    roomy = replace(spec, limits=replace(spec.limits, folder_bytes=64 * MEBIBYTE, folder_entries=10_000))
    assert overflow(deep_folder, roomy) == "It has a folder that cannot be looked into (File name too long)."


def test_folders_of_any_depth_are_removed(deep_folder: Path) -> None:
    remove_folder(deep_folder)
    assert not deep_folder.parent.exists()


def test_a_locked_folder_and_links_are_removed_and_what_they_lead_to_is_not(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("of somebody else")
    (folder / "locked" / "below").mkdir(parents=True)
    (folder / "locked" / "below" / "file").write_text("x")
    (folder / "to-folder").symlink_to(kept)
    (folder / "locked" / "to-file").symlink_to(kept / "file")
    (folder / "locked" / "below").chmod(0)
    (folder / "locked").chmod(0)
    folder.chmod(0o500)
    remove_folder(folder)
    assert not folder.exists()
    assert (kept / "file").read_text() == "of somebody else"


def test_a_folder_of_another_attempt_keeps_that_of_the_job(folder: Path) -> None:
    folder.mkdir(parents=True)
    folder.with_name("2").mkdir()
    remove_folder(folder)
    assert folder.with_name("2").is_dir()
    remove_folder(folder)


def test_a_folder_that_stays_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder.mkdir(parents=True)

    def refuse(path: Path) -> None:
        raise OSError(16, "Device or resource busy", str(path))

    monkeypatch.setattr(Path, "rmdir", refuse)
    with caplog.at_level(logging.WARNING):
        remove_folder(folder)
    assert "could not be removed" in caplog.text
