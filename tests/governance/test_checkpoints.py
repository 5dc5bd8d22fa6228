"""What a cut attempt leaves is copied for the next one as a stranger's: plain files within the limits, or nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from governance import checkpoints
from governance.checkpoints import leave, take_over
from workers.protocol import CHECKPOINT_FOLDER, Limits


def attempt(job: Path, number: int, **files: bytes) -> Path:
    folder = job / str(number)
    (folder / "outputs").mkdir(parents=True)
    (folder / "outputs" / "half.bin").write_bytes(b"half")
    if files:
        (folder / CHECKPOINT_FOLDER).mkdir()
    for name, content in files.items():
        (folder / CHECKPOINT_FOLDER / name).write_bytes(content)
    return folder


def taken(folder: Path, limits: Limits | None = None) -> dict[str, bytes]:
    """Take over into a folder, and return what came."""
    take_over(folder, limits or Limits(), beat=lambda: None)
    checkpoint = folder / CHECKPOINT_FOLDER
    return {path.name: path.read_bytes() for path in checkpoint.iterdir()} if checkpoint.exists() else {}


def test_what_a_cut_attempt_finished_stays_and_nothing_else(tmp_path: Path) -> None:
    folder = attempt(tmp_path / "7", 1, values=b"123")
    leave(folder)
    assert [path.name for path in folder.iterdir()] == [CHECKPOINT_FOLDER]
    assert (folder / CHECKPOINT_FOLDER / "values").read_bytes() == b"123"


def test_an_attempt_that_kept_nothing_leaves_nothing(tmp_path: Path) -> None:
    leave(attempt(tmp_path / "7", 1))
    assert not (tmp_path / "7").exists()
    leave(tmp_path / "7" / "2")


def test_a_link_in_the_place_of_a_checkpoint_is_removed_and_not_followed(tmp_path: Path) -> None:
    folder = attempt(tmp_path / "7", 1)
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "values").write_bytes(b"not for the job")
    (folder / CHECKPOINT_FOLDER).symlink_to(tmp_path / "secret")
    leave(folder)
    assert not folder.exists()
    assert (tmp_path / "secret" / "values").exists()


def test_the_next_attempt_gets_a_copy_and_the_earlier_ones_go(tmp_path: Path) -> None:
    attempt(tmp_path / "7", 1, values=b"old")
    attempt(tmp_path / "7", 9, values=b"newest", journal=b"{}")
    attempt(tmp_path / "7", 10)
    following = attempt(tmp_path / "7", 11)
    assert taken(following) == {"values": b"newest", "journal": b"{}"}
    assert [path.name for path in (tmp_path / "7").iterdir()] == ["11"]


def test_a_later_attempt_is_not_touched(tmp_path: Path) -> None:
    attempt(tmp_path / "7", 3, values=b"later")
    assert taken(attempt(tmp_path / "7", 2)) == {}
    assert (tmp_path / "7" / "3" / CHECKPOINT_FOLDER / "values").exists()


def test_a_file_that_grows_meanwhile_is_copied_as_it_was(tmp_path: Path) -> None:
    earlier = attempt(tmp_path / "7", 1, values=bytes(3 * 1024**2))
    following = attempt(tmp_path / "7", 2)

    def grow() -> None:
        with (earlier / CHECKPOINT_FOLDER / "values").open("ab") as stream:
            stream.write(bytes(1024**2))

    take_over(following, Limits(), beat=grow)
    assert (following / CHECKPOINT_FOLDER / "values").stat().st_size == 3 * 1024**2


def _link(checkpoint: Path, secret: Path) -> None:
    (checkpoint / "link").symlink_to(secret)


def _second_name(checkpoint: Path, secret: Path) -> None:
    (checkpoint / "hard").hardlink_to(secret)


def _pipe(checkpoint: Path, secret: Path) -> None:
    os.mkfifo(checkpoint / "pipe")


def _folder(checkpoint: Path, secret: Path) -> None:
    (checkpoint / "deep").mkdir()


def _hidden(checkpoint: Path, secret: Path) -> None:
    (checkpoint / ".hidden").write_bytes(b"x")


def _many(checkpoint: Path, secret: Path) -> None:
    for number in range(checkpoints.MAX_FILES + 1):
        (checkpoint / f"file-{number}").touch()


def _large(checkpoint: Path, secret: Path) -> None:
    with (checkpoint / "sparse").open("wb") as stream:
        stream.truncate(2 * 1024**2)


def _behind_a_link(checkpoint: Path, secret: Path) -> None:
    checkpoint.rename(checkpoint.with_name("moved"))
    checkpoint.symlink_to(checkpoint.with_name("moved"))


def _file(checkpoint: Path, secret: Path) -> None:
    checkpoint.rename(checkpoint.with_name("moved"))
    checkpoint.write_bytes(b"x")


@pytest.mark.parametrize(
    "spoil",
    [_link, _second_name, _pipe, _folder, _hidden, _many, _large, _behind_a_link, _file],
    ids=lambda s: s.__name__,
)
def test_what_is_not_plain_is_not_taken_and_the_log_says_so(
    spoil: Callable[[Path, Path], None], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for the job")
    earlier = attempt(tmp_path / "7", 1, values=b"123")
    spoil(earlier / CHECKPOINT_FOLDER, secret)
    following = attempt(tmp_path / "7", 2)
    with caplog.at_level(logging.WARNING):
        assert taken(following, Limits(folder_bytes=1024**2)) == {}
    assert "is not used" in caplog.text
    assert not earlier.exists()
    assert secret.read_bytes() == b"not for the job"
