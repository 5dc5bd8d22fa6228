"""What a job keeps of its work: pieces come back whole, in order and only to whom they belong."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from workers.checkpoint import JOURNAL, Checkpoint
from workers.context import JobContext
from workers.protocol import JobSpec

STREAMS = ("values", "names")


def opened(folder: Path, binding: str = "sha256:asked") -> Checkpoint:
    return Checkpoint(folder, binding=binding, streams=STREAMS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint with three pieces."""
    with opened(tmp_path / "checkpoint") as checkpoint:
        for number in range(3):
            checkpoint.add({"values": b"%d" % number * 4, "names": b"n%d" % number}, {"rows": number + 1})
    return tmp_path / "checkpoint"


def content(checkpoint: Checkpoint) -> tuple[bytes, bytes]:
    return checkpoint.path("values").read_bytes(), checkpoint.path("names").read_bytes()


def test_pieces_come_back(folder: Path) -> None:
    with opened(folder) as checkpoint:
        assert (checkpoint.piece_count, checkpoint.note, checkpoint.ignored) == (3, {"rows": 3}, "")
        assert content(checkpoint) == (b"000011112222", b"n0n1n2")
        assert (checkpoint.size_bytes("values"), checkpoint.size_bytes("names")) == (12, 6)


def test_what_is_added_later_follows(folder: Path) -> None:
    with opened(folder) as checkpoint:
        checkpoint.add({"names": b"n3"}, None)
    with opened(folder) as checkpoint:
        assert (checkpoint.piece_count, checkpoint.note, checkpoint.ignored) == (4, None, "")
        assert content(checkpoint) == (b"000011112222", b"n0n1n2n3")


@pytest.mark.parametrize("kept", range(13))
def test_of_a_stream_that_was_cut_the_whole_pieces_count(folder: Path, kept: int) -> None:
    os.truncate(folder / "values", kept)
    with opened(folder) as checkpoint:
        assert checkpoint.piece_count == kept // 4
        assert content(checkpoint) == (b"000011112222"[: kept // 4 * 4], b"n0n1n2"[: kept // 4 * 2])
        checkpoint.add({"values": b"more"}, "again")
    with opened(folder) as checkpoint:
        assert (checkpoint.piece_count, checkpoint.note, checkpoint.ignored) == (kept // 4 + 1, "again", "")


def test_a_journal_cut_anywhere_gives_the_pieces_before(folder: Path) -> None:
    whole = (folder / JOURNAL).read_bytes()
    ends = [place for place, byte in enumerate(whole, 1) if byte == ord("\n")]
    for length in range(len(whole)):
        (folder / JOURNAL).write_bytes(whole[:length])
        (folder / "values").write_bytes(b"000011112222")
        (folder / "names").write_bytes(b"n0n1n2")
        with opened(folder) as checkpoint:
            assert checkpoint.piece_count == max(0, sum(end <= length for end in ends) - 1)
            assert checkpoint.size_bytes("values") == 4 * checkpoint.piece_count == len(content(checkpoint)[0])


@pytest.mark.parametrize("stream", STREAMS)
def test_a_changed_byte_ends_what_counts(folder: Path, stream: str) -> None:
    path = folder / stream
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    with opened(folder) as checkpoint:
        assert checkpoint.piece_count == 1
        assert "Piece 2 of the checkpoint is not whole" in checkpoint.ignored


@pytest.mark.parametrize(
    "change",
    [
        {"note": {"rows": 99}},
        {"sizes": {"values": 2, "names": 2}},
        {"sizes": {"values": -4, "names": 2}},
        {"sizes": {"values": 10**18, "names": 2}},
        {"sizes": {"../values": 0}},
        {"sizes": [4]},
        {"sizes": {"values": "many"}},
        {"digest": "0" * 64},
        {"digest": None},
    ],
)
def test_a_line_that_is_not_true_ends_what_counts(folder: Path, change: dict[str, object]) -> None:
    lines = (folder / JOURNAL).read_text().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), **change})
    (folder / JOURNAL).write_text("\n".join(lines) + "\n")
    with opened(folder) as checkpoint:
        assert (checkpoint.piece_count, checkpoint.note) == (1, {"rows": 1})


def test_pieces_out_of_order_do_not_count(folder: Path) -> None:
    lines = (folder / JOURNAL).read_text().splitlines()
    (folder / JOURNAL).write_text("\n".join([lines[0], lines[2], lines[1], lines[3]]) + "\n")
    with opened(folder) as checkpoint:
        assert checkpoint.piece_count == 0


def test_the_pieces_of_something_else_are_removed_with_a_message(folder: Path) -> None:
    with opened(folder, binding="sha256:other") as checkpoint:
        assert checkpoint.piece_count == 0
        assert "something else than what this job was asked" in checkpoint.ignored
        assert content(checkpoint) == (b"", b"")


@pytest.mark.parametrize(
    "journal", [b"", b"[]\n", b"{}\n", b'{"binding": 7}\n', b"\xff\n", b"x" * 100_000, b"[" * 60_000 + b"\n"]
)
def test_a_journal_that_is_none_is_begun_anew(folder: Path, journal: bytes) -> None:
    (folder / JOURNAL).write_bytes(journal)
    with opened(folder) as checkpoint:
        assert (checkpoint.piece_count, content(checkpoint)) == (0, (b"", b""))
        checkpoint.add({"values": b"first"}, 1)
    with opened(folder) as checkpoint:
        assert (checkpoint.piece_count, checkpoint.note) == (1, 1)


def test_a_link_or_a_stranger_in_the_folder_is_not_used(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"000011112222")
    (folder / "values").unlink()
    (folder / "values").symlink_to(secret)
    with opened(folder) as checkpoint:
        assert checkpoint.piece_count == 0
        assert "'values', which this job did not write" in checkpoint.ignored
        checkpoint.add({"values": b"mine"}, 1)
    assert secret.read_bytes() == b"000011112222"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_folder_is_replaced(folder: Path, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "other"
    place.write_text("a file") if kind == "file" else place.symlink_to(folder)
    with opened(place) as checkpoint:
        assert checkpoint.piece_count == 0
        assert checkpoint.ignored == "The checkpoint is no folder."
    with opened(folder) as checkpoint:
        assert content(checkpoint) == (b"000011112222", b"n0n1n2")


def test_a_piece_that_did_not_fit_on_the_disk_is_not_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder) as checkpoint:

        class Full:
            def write(self, _: bytes) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setitem(checkpoint._files, "values", Full())  # type: ignore[misc]
        with pytest.raises(OSError, match="No space left"):
            checkpoint.add({"names": b"n3", "values": b"3333"}, {"rows": 4})
    with opened(folder) as checkpoint:
        assert (checkpoint.piece_count, checkpoint.note, content(checkpoint)[1]) == (3, {"rows": 3}, b"n0n1n2")


def test_a_stream_that_was_not_named_and_a_long_note_are_refused(folder: Path) -> None:
    with opened(folder) as checkpoint:
        with pytest.raises(ValueError, match="'errors'"):
            checkpoint.add({"errors": b"x"}, None)
        with pytest.raises(ValueError, match="short notes"):
            checkpoint.add({}, "x" * 70_000)
    for names in ((), ("../values",), (JOURNAL,)):
        with pytest.raises(ValueError, match="plain names"):
            Checkpoint(folder, binding="", streams=names)


class TestOfAJob:
    def context(self, tmp_path: Path, attempt: int, *, job_id: int = 1, seed: int = 0) -> JobContext:
        spec = JobSpec(kind="tiny", runner="", job_id=job_id, attempt=attempt, seed=seed)
        return JobContext(spec, tmp_path)

    def note(self, context: JobContext, **options: str) -> object:
        with context.checkpoint(STREAMS, **options) as checkpoint:
            return checkpoint.note

    def test_a_later_attempt_goes_on(self, tmp_path: Path) -> None:
        with self.context(tmp_path, 1).checkpoint(STREAMS, depends_on="numpy 2") as checkpoint:
            checkpoint.add({"values": b"one"}, "one")
        assert self.note(self.context(tmp_path, 2), depends_on="numpy 2") == "one"
        assert self.note(self.context(tmp_path, 3), depends_on="numpy 2") == "one"

    @pytest.mark.parametrize(
        ("asked", "depends_on"),
        [
            ({"attempt": 1}, "a"),
            ({"attempt": 2, "job_id": 2}, "a"),
            ({"attempt": 2, "seed": 1}, "a"),
            ({"attempt": 2}, "b"),
        ],
        ids=["the first attempt", "another job", "another seed", "other libraries"],
    )
    def test_nothing_else_does(
        self, tmp_path: Path, asked: dict[str, int], depends_on: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with self.context(tmp_path, 1).checkpoint(STREAMS, depends_on="a") as checkpoint:
            checkpoint.add({"values": b"one"}, "one")
        assert self.note(self.context(tmp_path, **asked), depends_on=depends_on) is None
        assert ("something else" in capsys.readouterr().err) == (asked["attempt"] > 1)
