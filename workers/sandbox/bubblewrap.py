"""A child inside bubblewrap: processes, mounts, network, IPC and host name of its own, and only the files it needs.

What it does not need is not denied but absent: no home, no store, no other job folder, no /run, no /tmp, no process but
its own. The mounts are read-only but for the job folder, and the inputs in that are read-only again.

Source: bwrap(1).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from workers.protocol import INPUTS_FOLDER, SPEC_FILE
from workers.sandbox import files

#: Bubblewrap ends with 128 and the number of the signal that ended the program inside.
_SIGNAL_OFFSET = 128

_ISOLATION = (
    "--unshare-user",
    "--unshare-pid",
    "--unshare-net",
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-cgroup-try",
    "--die-with-parent",
    *("--cap-drop", "ALL"),
    *("--proc", "/proc"),
)


def executable() -> str | None:
    """Return where bubblewrap is; None where the machine has none."""
    return shutil.which("bwrap")


def version() -> str:
    """Return the version of bubblewrap, empty where the machine has none or what is there does not run."""
    # Children import this module, and have no use for it.
    import subprocess

    program = executable()
    if program is None:
        return ""
    try:
        answer = subprocess.run([program, "--version"], check=False, capture_output=True, text=True, timeout=60)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout.strip().removeprefix("bubblewrap ")[:40]


def command(
    program: Sequence[str], *, folder: Path, packages: Iterable[Path], devices: Iterable[str] = ()
) -> list[str]:
    """Return the command that runs a program on a job folder inside bubblewrap; descriptors pass through.

    Args:
        folder: the job folder, seen at the same path inside and the only place to write.
        packages: folders of packages that are imported from outside of Python's own.
        devices: device files that the job may use beside those that everybody may.

    Raises:
        FileNotFoundError: the machine has no bubblewrap.
    """
    bubblewrap = executable()
    if bubblewrap is None:
        raise FileNotFoundError("bwrap is not there")
    arguments = [bubblewrap, *_ISOLATION]
    for path in files.readable_paths(packages):
        arguments += ["--ro-bind-try", path, path]
    for path in (*files.DEVICE_FILES, *devices):
        arguments += ["--dev-bind-try", path, path]
    arguments += ["--bind", str(folder), str(folder)]
    for name in (INPUTS_FOLDER, SPEC_FILE):
        arguments += ["--ro-bind-try", str(folder / name), str(folder / name)]
    return [*arguments, "--remount-ro", "/", "--chdir", str(folder), "--", *program]


def status_of(exit_status: int) -> int:
    """Return the exit status of the program inside, negative for the signal that ended it."""
    return _SIGNAL_OFFSET - exit_status if exit_status > _SIGNAL_OFFSET else exit_status
