"""What a process may use at most, and the powers of root that it gives up.

Source: getrlimit(2), capabilities(7).
"""

from __future__ import annotations

import resource
import struct
from pathlib import Path

from workers.protocol import Limits
from workers.sandbox.kernel import libc

#: What the engine that draws charts (V8) reserves without using it. Private writable memory is what RLIMIT_DATA counts
#: and reservations are not, so that is the limit on memory; the one on address space only bounds mapped files.
_RESERVED_BYTES = 80 * 1024**3

_PR_CAPBSET_DROP = 24
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION = 0x20080522
_HIGHEST_CAPABILITY = 63


def limit(limits: Limits, *, uses_gpu: bool) -> None:
    """Set the limits of a job, never above what the system gives; a GPU's driver reserves without end."""
    wanted = {
        resource.RLIMIT_CORE: (0, 0),
        # The soft limit sends SIGXCPU, which names the reason; the hard one ends a process that ignores it.
        resource.RLIMIT_CPU: (limits.cpu_seconds, limits.cpu_seconds + 5),
        resource.RLIMIT_FSIZE: (limits.file_bytes, limits.file_bytes),
        resource.RLIMIT_NPROC: (limits.processes, limits.processes),
        resource.RLIMIT_NOFILE: (limits.open_files, limits.open_files),
    }
    if not uses_gpu:
        wanted[resource.RLIMIT_DATA] = (limits.memory_bytes, limits.memory_bytes)
        space = limits.memory_bytes + _RESERVED_BYTES
        wanted[resource.RLIMIT_AS] = (space, space)
    for kind, (soft, hard) in wanted.items():
        _, highest = resource.getrlimit(kind)
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(kind, (soft, hard))


def drop_capabilities() -> bool:
    """Give up every capability for good, and tell whether none is left."""
    for capability in range(_HIGHEST_CAPABILITY + 1):
        libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    libc.capset(struct.pack("=Ii", _CAPABILITY_VERSION, 0), bytes(24))
    held = [
        int(line.split()[1], 16)
        for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        if line.startswith(("CapPrm:", "CapEff:"))
    ]
    return held == [0, 0]
