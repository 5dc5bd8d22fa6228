"""The C library through which the layers speak to Linux, and the one switch that several of them need."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38

libc = ctypes.CDLL(None, use_errno=True)


def give_up_new_privileges() -> bool:
    """Let no program that is started from here on gain anything from a set-uid bit or file capabilities."""
    return bool(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)


def die_with(parent_pid: int) -> bool:
    """Have this process killed when the thread that started it ends."""
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return False
    # The parent may have died between starting this process and the call above.
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return True
