"""What a job has finished so far, kept piece by piece, so that a later attempt goes on behind the last whole piece.

A checkpoint is a folder in the job folder. Each *stream* is a file that only grows; a *journal* has one line a piece:
how many bytes it added to each stream, a note of the runner's, and a digest over all of that, the bytes themselves and
the line before. An attempt that finds the checkpoint of the one before checks every digest, and cuts off what comes
after the first piece that is not whole: a kill may fall between any two writes, and nothing has to be flushed in order.
The first line binds the whole to what the job was asked, so that the pieces of another job are not taken for its own.

It says nothing that the job could not have said itself: who may write here may also write the job's outputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Self

from workers.protocol import Json, canonical_json, is_plain_name

JOURNAL = "journal.jsonl"

#: A line of the journal is a few numbers; anything longer was not written here.
MAX_LINE_BYTES = 64 * 1024
_READ_BYTES = 1024 * 1024


class Checkpoint:
    """The pieces of one job that are whole.

    Attributes:
        piece_count: how many there are.
        note: what the runner said of the last one; None before the first.
        ignored: why what lay there is not used, or not all of it; empty where there is nothing to say.
    """

    def __init__(self, folder: Path, *, binding: str, streams: Sequence[str]) -> None:
        """Open the checkpoint in a folder, made where there is none, with all pieces in it that are whole.

        Args:
            binding: the digest of what the job was asked; pieces of anything else are removed.
            streams: the plain names of the files that every piece adds to.
        """
        if not streams or not all(is_plain_name(name) and name != JOURNAL for name in streams):
            raise ValueError(f"{streams!r} are not plain names of streams")
        self.folder = folder
        self.piece_count = 0
        self.note: Json = None
        self.ignored = ""
        self._binding = binding
        self._digest = hashlib.sha256(binding.encode()).hexdigest()
        self._streams = tuple(streams)
        self._sizes = dict.fromkeys(self._streams, 0)
        self._open = ExitStack()
        self._files: dict[str, IO[bytes]] = {}
        if not self._is_ours():
            self._clear()
        self._start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def path(self, stream: str) -> Path:
        """Return where a stream lies; as many bytes of it as :meth:`size_bytes` says count."""
        return self.folder / stream

    def size_bytes(self, stream: str) -> int:
        return self._sizes[stream]

    def add(self, contents: Mapping[str, bytes], note: Json) -> None:
        """Add a piece: bytes to some streams, and a short note of what it was.

        Raises:
            OSError: the disk is full, or a file longer than it may be; the pieces before stay whole.
        """
        if not set(contents) <= set(self._streams):
            raise ValueError(f"{sorted(set(contents) - set(self._streams))} are no streams of this checkpoint")
        sizes = {name: len(contents[name]) for name in sorted(contents)}
        digest = _digest_of(self._digest, sizes, note, (contents[name] for name in sizes))
        for name in sizes:
            self._files[name].write(contents[name])
            self._files[name].flush()
        self._write_line({"sizes": sizes, "note": note, "digest": digest})
        self._count(sizes, note, digest)

    def restart(self) -> None:
        """Remove all pieces and begin anew."""
        self._clear()
        self._start()

    def _clear(self) -> None:
        self._open.close()
        if self.folder.is_symlink() or self.folder.is_file():
            self.folder.unlink()
        elif self.folder.exists():
            shutil.rmtree(self.folder)
        self.piece_count, self.note = 0, None
        self._sizes = dict.fromkeys(self._streams, 0)
        self._digest = hashlib.sha256(self._binding.encode()).hexdigest()

    # ---------------------------------------------------------------------------------------- what was there
    def _start(self) -> None:
        """Read the pieces that are whole, cut off the rest, and open everything to add to it."""
        self.folder.mkdir(mode=0o700, exist_ok=True)
        journal_bytes = self._read_pieces()
        for name in (JOURNAL, *self._streams):
            file = self._open.enter_context((self.folder / name).open("ab"))
            file.truncate(journal_bytes if name == JOURNAL else self._sizes[name])
            self._files[name] = file
        if not journal_bytes:
            self._write_line({"binding": self._binding})

    def _is_ours(self) -> bool:
        """Tell whether there is nothing, or plain files with pieces of what this job was asked."""
        if not os.path.lexists(self.folder):
            return True
        if self.folder.is_symlink() or not self.folder.is_dir():
            self.ignored = "The checkpoint is no folder."
            return False
        known = {JOURNAL, *self._streams}
        with os.scandir(self.folder) as entries:
            strangers = [e.name for e in entries if e.name not in known or not e.is_file(follow_symlinks=False)]
        if strangers:
            self.ignored = f"The checkpoint holds {min(strangers)!r}, which this job did not write."
            return False
        first = next(self._lines(), None)
        if first is not None and first[0].get("binding") != self._binding:
            self.ignored = "The checkpoint is that of something else than what this job was asked."
            return False
        return True

    def _read_pieces(self) -> int:
        """Count the pieces that are whole; return how long the journal is with the last of them."""
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            return 0
        end = first[1]
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(self.path(name).open("rb"))
                for name in self._streams
                if self.path(name).exists()
            }
            for line, line_end in lines:
                try:
                    sizes, note = {name: int(line["sizes"][name]) for name in sorted(line["sizes"])}, line["note"]
                    content = (piece for name, size in sizes.items() for piece in _pieces(files[name], size))
                    is_whole = _digest_of(self._digest, sizes, note, content) == line["digest"]
                except (LookupError, TypeError, ValueError, EOFError):
                    is_whole = False
                if not is_whole:
                    self.ignored = (
                        f"Piece {self.piece_count + 1} of the checkpoint is not whole; the work goes on behind piece "
                        f"{self.piece_count}."
                    )
                    return end
                self._count(sizes, note, line["digest"])
                end = line_end
        return end

    def _lines(self) -> Iterator[tuple[dict[str, Json], int]]:
        """Yield the lines of the journal and where each ends; a line that is no object ends it."""
        try:
            stream = (self.folder / JOURNAL).open("rb")
        except FileNotFoundError:
            return
        with stream:
            end = 0
            while content := stream.readline(MAX_LINE_BYTES):
                end += len(content)
                try:
                    line = json.loads(content) if content.endswith(b"\n") else None
                except (ValueError, RecursionError):
                    line = None
                if not isinstance(line, dict):
                    return
                yield line, end

    # --------------------------------------------------------------------------------------------- one piece
    def _count(self, sizes: Mapping[str, int], note: Json, digest: str) -> None:
        for name, size in sizes.items():
            self._sizes[name] += size
        self.piece_count += 1
        self.note, self._digest = note, digest

    def _write_line(self, line: dict[str, Json]) -> None:
        content = canonical_json(line) + b"\n"
        if len(content) > MAX_LINE_BYTES:
            raise ValueError(f"A piece with a note of {len(content):,} bytes; the journal has short notes only")
        self._files[JOURNAL].write(content)
        self._files[JOURNAL].flush()


def _digest_of(before: str, sizes: Mapping[str, int], note: Json, content: Iterable[bytes]) -> str:
    digest = hashlib.sha256(canonical_json([before, dict(sizes), note]))
    for piece in content:
        digest.update(piece)
    return digest.hexdigest()


def _pieces(file: IO[bytes], size: int) -> Iterator[bytes]:
    """Yield the next bytes of a stream, a bounded number at a time.

    Raises:
        EOFError: there are not as many.
    """
    while size:
        content = file.read(min(size, _READ_BYTES)) if size > 0 else b""
        if not content:
            raise EOFError
        size -= len(content)
        yield content
