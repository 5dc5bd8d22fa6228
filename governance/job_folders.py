"""The folders in which attempts run: made, watched while a child fills them, removed whatever it left in them."""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from pathlib import Path

from workers.protocol import JobSpec

logger = logging.getLogger(__name__)

#: What statx(2) counts blocks in, whatever the file system's own are.
_BLOCK_BYTES = 512


def make_folders(folder: Path) -> None:
    """Make a folder with those above it, again where another worker has just removed one as empty."""
    while not folder.is_dir():
        with contextlib.suppress(FileNotFoundError):
            folder.mkdir(parents=True, mode=0o700)


def overflow(folder: Path, spec: JobSpec) -> str | None:
    """Say how a job takes more room than it may, its inputs apart; None while it does not.

    The child writes meanwhile, and is not trusted: links are not followed, what vanishes is passed, what cannot be
    looked into counts as too much, and looking ends at the limit.
    """
    limits = spec.limits
    most_bytes = limits.folder_bytes + sum(file.size_bytes for file in spec.inputs.values())
    taken_bytes = entry_count = 0
    waiting = [folder]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    with contextlib.suppress(FileNotFoundError):
                        taken_bytes += entry.stat(follow_symlinks=False).st_blocks * _BLOCK_BYTES
                    entry_count += 1
                    if entry_count > limits.folder_entries:
                        return f"It has more than {limits.folder_entries:,} files and folders, the most that it may."
                    if taken_bytes > most_bytes:
                        return f"Its files take more than {limits.folder_bytes:,} bytes, the most that they may."
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(Path(entry.path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            return f"It has a folder that cannot be looked into ({error.strerror})."
    return None


def remove_folder(folder: Path, *, but: str | None = None) -> None:
    """Remove the folder of an attempt, and that of its job when it was the last; what a child locked is unlocked.

    ``but`` names one entry that stays, and with it the folder.

    A folder that stays all the same is told in the log of the worker; the next worker to start tries again.
    """
    try:
        if folder.exists():
            _remove(folder, but)
        if folder.parent.is_dir() and not any(folder.parent.iterdir()):
            folder.parent.rmdir()
    except OSError as error:
        logger.warning("%s could not be removed: %s", folder, error)


def _remove(folder: Path, but: str | None) -> None:
    """Remove a folder of any depth: what lies deeper is moved up first, so that neither paths nor a stack grow."""
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        current.chmod(0o700)
        with os.scandir(current) as entries:
            for entry in entries:
                if current == folder and entry.name == but:
                    continue
                if not entry.is_dir(follow_symlinks=False):
                    Path(entry.path).unlink()
                elif current == folder:
                    waiting.append(Path(entry.path))
                else:
                    # Moving a folder writes in it: its entry for the one above.
                    Path(entry.path).chmod(0o700)
                    waiting.append(Path(entry.path).rename(folder / uuid.uuid4().hex))
        if current != folder:
            current.rmdir()
    if but is None:
        folder.rmdir()
