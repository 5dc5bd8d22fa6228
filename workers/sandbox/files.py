"""Which files a process may still open: those of Python, its packages and the system to read, its job folder to write.

Source: landlock(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from workers.sandbox.kernel import libc

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_MAKE_CHAR, _MAKE_BLOCK = 1 << 6, 1 << 11
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
#: The rights that mean something on a file; a rule on a file may name no others.
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
#: How many rights on files each version of Landlock knows; newer ones add none that this module needs.
_RIGHT_COUNT = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_NET_BIND_CONNECT = 0b11
_SCOPE_SOCKETS_SIGNALS = 0b11

#: What the libraries read of the system. Not here: home folders, /run, /var, /etc as a whole.
SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/sys")
SYSTEM_FILES = (
    "/etc/fonts",
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
)
#: Not here: /dev/zero, of which a shared mapping is memory that no limit counts.
DEVICE_FILES = ("/dev/null", "/dev/full", "/dev/random", "/dev/urandom")
_PROC = "/proc"


def landlock_version() -> int:
    """Return the version of Landlock's interface, 0 where the kernel has none or has it switched off."""
    version = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return max(0, int(version))


def restrict(*, folder: Path, packages: Iterable[Path], devices: Iterable[str] = ()) -> int:
    """Restrict this process for good, and return the version of Landlock that does it; 0 where none can.

    Args:
        folder: the only place to write; nothing in it can be run.
        packages: folders of packages that are imported from outside of Python's own.
        devices: device files that the job may use beside those that everybody may.
    """
    version = landlock_version()
    if version == 0:
        return 0
    everything = (1 << _RIGHT_COUNT[min(version, 5)]) - 1
    attributes = struct.pack("=QQQ", everything, _NET_BIND_CONNECT, _SCOPE_SOCKETS_SIGNALS)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = libc.syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return 0
    try:
        reading = _READ_FILE | _READ_DIR | _EXECUTE
        using = (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & everything
        writing = everything & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
        readable = [_PROC, *readable_paths(packages)]
        usable = [*DEVICE_FILES, *devices]
        rules = [(path, reading) for path in readable] + [(path, using) for path in usable]
        if not all(_allow(ruleset, Path(path), rights) for path, rights in [*rules, (str(folder), writing)]):
            return 0
        restricted = libc.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)
    return version if restricted else 0


def readable_paths(packages: Iterable[Path]) -> list[str]:
    """Return what a job reads outside of its folder: the system, Python, and the packages of the compute half."""
    return [*SYSTEM_FOLDERS, *SYSTEM_FILES, *_python_folders(), *map(str, packages)]


def _allow(ruleset: int, path: Path, rights: int) -> bool:
    """Add one rule; a path that the machine does not have needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return True
    try:
        rights = rights if path.is_dir() else rights & _ON_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        return bool(libc.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0) == 0)
    finally:
        os.close(descriptor)


def _python_folders() -> list[str]:
    """Return where Python and its installed packages are, and nothing that merely lies on the module path."""
    return sorted({sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix})
