"""What an attempt that was cut short had finished (``workers.checkpoint``), handed to the next attempt of the same job.

The folder of such an attempt stays, with nothing but its checkpoint in it, until the next attempt on this machine has
copied that, or the job has ended. The child wrote it and is not trusted: only plain files of plain names are copied,
within the limits of the job, and never moved, since a child that is still to be killed may have them open. Whether the
pieces are whole, and this job's, is seen by the child that goes on with them.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from governance.job_folders import remove_folder
from workers.protocol import CHECKPOINT_FOLDER, Limits, is_plain_name

logger = logging.getLogger(__name__)

#: More files than any job keeps of its work.
MAX_FILES = 64

_COPY_BYTES = 1024 * 1024


class NotPlain(Exception):
    """What lies in the place of a checkpoint is none that may be copied."""


def leave(folder: Path) -> None:
    """Remove everything of an attempt that was cut short but its checkpoint; all of it where it kept none."""
    checkpoint = folder / CHECKPOINT_FOLDER
    if checkpoint.is_symlink() or not checkpoint.is_dir():
        remove_folder(folder)
        return
    remove_folder(folder, but=CHECKPOINT_FOLDER)


def take_over(folder: Path, limits: Limits, *, beat: Callable[[], None]) -> None:
    """Copy what the newest earlier attempt left on this machine into the folder of the next; remove the earlier ones.

    What may not be copied is told in the log of the worker, and the attempt begins anew.

    Args:
        beat: called between pieces of a copy.

    Raises:
        OSError: the disk is full.
    """
    earlier = sorted(earlier_folders(folder), key=lambda path: int(path.name), reverse=True)
    source = next((path for path in earlier if os.path.lexists(path / CHECKPOINT_FOLDER)), None)
    if source is not None:
        target = folder / CHECKPOINT_FOLDER
        try:
            target.mkdir(mode=0o700)
            _copy(source / CHECKPOINT_FOLDER, target, limits, beat)
        except NotPlain as problem:
            logger.warning("The checkpoint of %s is not used: %s", source, problem)
            remove_folder(target)
    for path in earlier:
        remove_folder(path)


def earlier_folders(folder: Path) -> list[Path]:
    """Return the folders of the earlier attempts of the same job, in no order."""
    attempts = [path for path in folder.parent.iterdir() if path.name.isdecimal()]
    return [path for path in attempts if int(path.name) < int(folder.name)]


def _copy(source: Path, target: Path, limits: Limits, beat: Callable[[], None]) -> None:
    left_bytes = limits.folder_bytes
    for name, stream in _plain_files(source):
        with closing(stream), (target / name).open("xb") as copy:
            # As long as it is now: a child that is still to be killed may make it longer.
            size = os.fstat(stream.fileno()).st_size
            left_bytes -= size
            if left_bytes < 0:
                raise NotPlain(f"it takes more than {limits.folder_bytes:,} bytes.")
            while size and (content := stream.read(min(size, _COPY_BYTES))):
                copy.write(content)
                size -= len(content)
                beat()


def _plain_files(folder: Path) -> Iterator[tuple[str, BinaryIO]]:
    """Yield the files of a folder, each opened without following a link; the folder is opened once and not again.

    Raises:
        NotPlain: there is anything else in it, or it is a link itself.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise NotPlain(f"it is no folder ({error.strerror}).") from error
    try:
        with os.scandir(descriptor) as entries:
            names = sorted(entry.name for entry in entries)
        if len(names) > MAX_FILES:
            raise NotPlain(f"it has {len(names):,} files; a checkpoint has at most {MAX_FILES}.")
        for name in names:
            yield name, _opened(name, descriptor)
    finally:
        os.close(descriptor)


def _opened(name: str, folder: int) -> BinaryIO:
    if not is_plain_name(name):
        raise NotPlain(f"{name!r} is no plain name.")
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise NotPlain(f"{name!r} cannot be opened ({error.strerror}).") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise NotPlain(f"{name!r} is no plain file, or has another name too.")
    return os.fdopen(descriptor, "rb")
