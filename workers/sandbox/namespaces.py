"""Own namespaces for a process that bubblewrap did not start, and what a process sees of those it is in.

A process namespace is missing here on purpose: it would make the job the first process of it, which the kernel treats
unlike any other (signals that it does not handle are ignored), or cost a second one that stands in between. Bubblewrap
brings one.

Source: namespaces(7), user_namespaces(7), mount_setattr(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Mapping
from pathlib import Path

from workers.sandbox.kernel import libc
from workers.sandbox.layers import NAMESPACE_KINDS

_CLONE_NEWUSER = 0x10000000
#: Mounts, cgroups, host name, IPC, network.
_OTHERS = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x40000000)
#: Every flag of clone(2) that makes a namespace.
CLONE_NAMESPACES = 0x7E020000

_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x40000
_MOUNT_SETATTR = 442
_MOUNT_ATTR_RDONLY = 1
_AT_FDCWD = -100


def identities() -> dict[str, str]:
    """Return the namespaces that this process is in: ``{"net": "net:[4026531840]", ...}``."""
    seen = {}
    for kind in NAMESPACE_KINDS:
        with contextlib.suppress(OSError):
            seen[kind] = str(Path(f"/proc/self/ns/{kind}").readlink())
    return seen


def own(outside: Mapping[str, str]) -> tuple[str, ...]:
    """Return the kinds of namespace in which this process is not where somebody else is."""
    return tuple(kind for kind, identity in identities().items() if identity != outside.get(kind, identity))


def enter() -> None:
    """Leave as many namespaces as the system allows; :func:`own` tells which those were."""
    user, group = os.geteuid(), os.getegid()
    if libc.unshare(_CLONE_NEWUSER) == 0:
        # Where the system allows no map, the namespace holds all the same; the user is only called nobody inside.
        with contextlib.suppress(OSError):
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
            Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    for flag in _OTHERS:
        libc.unshare(flag)


def make_read_only(folder: Path, *, outside: Mapping[str, str]) -> None:
    """Put a read-only mount over a folder, where this process has mounts of its own; :func:`is_read_only` tells."""
    if "mnt" not in own(outside):
        return
    path = ctypes.c_char_p(os.fsencode(folder))
    attributes = struct.pack("=QQQQ", _MOUNT_ATTR_RDONLY, 0, 0, 0)
    if libc.mount(b"none", ctypes.c_char_p(b"/"), None, ctypes.c_ulong(_MS_REC | _MS_PRIVATE), None) != 0:
        return
    if libc.mount(path, path, None, ctypes.c_ulong(_MS_BIND), None) == 0:
        libc.syscall(_MOUNT_SETATTR, _AT_FDCWD, path, 0, attributes, ctypes.c_size_t(len(attributes)))


def is_read_only(folder: Path) -> bool:
    """Tell whether a folder lies on a mount that nobody can write through."""
    return folder.is_dir() and bool(os.statvfs(folder).f_flag & os.ST_RDONLY)
