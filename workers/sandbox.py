"""What a child takes away from itself before it touches an upload: network, files, capabilities, resources.

Layers, each probed on the machine at hand:

===================  =====================================================================================
``namespaces``       own user and network namespace: no interface but an unconfigured loopback
``landlock``         files: write in the job folder only, read in Python's, the packages' and the system's folders only
``seccomp``          system calls: no sockets, no way out of the process group, no mounts, tracing or kernel surface
``no_new_privileges``  no set-uid program gives anything back
``limits``           memory, address space, CPU time, file size, processes, open files, no core dump
``parent_death``     killed when the thread that started it ends
===================  =====================================================================================

A model is loaded only where the network is out of reach and files are fenced (:func:`require`). Everything is done by
``ctypes`` on Linux's own interface, so that a worker needs no package and no privilege for it.

Sources: landlock(7), seccomp(2), user_namespaces(7), prctl(2); system call numbers from the kernel's tables.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from workers.protocol import JobError, Limits

_libc = ctypes.CDLL(None, use_errno=True)

_PR_SET_PDEATHSIG = 1
_PR_SET_SECCOMP = 22
_PR_SET_NO_NEW_PRIVS = 38
_SECCOMP_MODE_FILTER = 2
_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000
#: Every flag of clone(2) that makes a namespace: mount, cgroup, host name, IPC, user, process, network.
_CLONE_NAMESPACES = 0x7E020000

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_RULE_PATH_BENEATH = 1
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
_SYSTEM_FOLDERS = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/proc", "/sys")
_SYSTEM_FILES = (
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
_DEVICE_FILES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_GPU_DEVICES = "nvidia*"


@dataclass(frozen=True)
class Layers:
    """Which layers are there; ``landlock`` is the version of its interface, 0 for none."""

    namespaces: bool = False
    landlock: int = 0
    seccomp: bool = False
    no_new_privileges: bool = False
    limits: bool = False
    parent_death: bool = False

    @property
    def cuts_network(self) -> bool:
        return self.namespaces or self.seccomp

    @property
    def fences_files(self) -> bool:
        return self.landlock > 0

    @property
    def may_load_uploads(self) -> bool:
        return self.cuts_network and self.fences_files

    def to_json(self) -> dict[str, bool | int]:
        return asdict(self)


def enter(*, folder: Path, limits: Limits, packages: Iterable[Path], uses_gpu: bool, parent_pid: int | None) -> Layers:
    """Take away from this process, for good, what a job does not need; return what could be taken.

    It must run before any other thread exists, since Landlock and namespaces count for the calling thread and the
    threads that it starts later.

    Args:
        folder: the job folder, the only place to write.
        packages: folders of packages that are imported from outside of Python's own.
        uses_gpu: allow the GPU's devices; its driver reserves too much address space for a limit on that.
        parent_pid: die with this process; None for a job that a person runs by hand.
    """
    namespaces = _enter_namespaces()
    # After the change of credentials, which clears it.
    parent_death = parent_pid is not None and _die_with(parent_pid)
    no_new_privileges = _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    landlock = _restrict_files(folder=folder, packages=packages, uses_gpu=uses_gpu) if no_new_privileges else 0
    _set_limits(limits, uses_gpu=uses_gpu)
    seccomp = no_new_privileges and _filter_system_calls()
    return Layers(
        namespaces=namespaces,
        landlock=landlock,
        seccomp=seccomp,
        no_new_privileges=no_new_privileges,
        limits=True,
        parent_death=parent_death,
    )


def require(layers: Layers) -> None:
    """Refuse to go on where an upload could reach the network or other files.

    Raises:
        JobError: ``no_sandbox``, naming what is missing.
    """
    missing = []
    if not layers.cuts_network:
        missing.append("network isolation (neither namespaces nor seccomp)")
    if not layers.fences_files:
        missing.append("file isolation (Landlock, Linux 5.13 or newer with the module enabled)")
    if missing:
        raise JobError(
            "no_sandbox",
            f"This machine lacks {' and '.join(missing)}, so no upload is loaded on it. Static inspection still works.",
            place=os.uname().nodename,
        )


@cache
def probe() -> Layers:
    """Return the layers that a child gets on this machine; tried out in a process of its own, once."""
    # Children import this module, and have no use for it.
    import subprocess

    ended = subprocess.run(
        [sys.executable, "-P", "-m", "workers.sandbox"],
        check=False,
        capture_output=True,
        cwd=Path(__file__).parents[1],
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        timeout=60,
    )
    return Layers(**json.loads(ended.stdout)) if ended.returncode == 0 else Layers()


# -------------------------------------------------------------------------------------------------- network
def _enter_namespaces() -> bool:
    """Enter an own user and network namespace; the user keeps the same number inside."""
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) != 0:
        return False
    # Where the system allows no map, the namespace holds all the same; the user is only called nobody inside.
    with contextlib.suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def _die_with(parent_pid: int) -> bool:
    if _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        return False
    # The parent may have died between starting this process and the call above.
    if os.getppid() != parent_pid:
        os.kill(os.getpid(), signal.SIGKILL)
    return True


# ---------------------------------------------------------------------------------------------------- files
def landlock_version() -> int:
    """Return the version of Landlock's interface, 0 where the kernel has none or has it switched off."""
    version = _libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    return max(0, int(version))


def _restrict_files(*, folder: Path, packages: Iterable[Path], uses_gpu: bool) -> int:
    version = landlock_version()
    if version == 0:
        return 0
    everything = (1 << _RIGHT_COUNT[min(version, 5)]) - 1
    attributes = struct.pack("=QQQ", everything, _NET_BIND_CONNECT, _SCOPE_SOCKETS_SIGNALS)
    attributes = attributes[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = _libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return 0
    try:
        reading = _READ_FILE | _READ_DIR | _EXECUTE
        using = (_READ_FILE | _WRITE_FILE | _TRUNCATE | _IOCTL_DEV) & everything
        writing = everything & ~(_EXECUTE | _MAKE_CHAR | _MAKE_BLOCK | _IOCTL_DEV)
        readable = [*_SYSTEM_FOLDERS, *_SYSTEM_FILES, *_python_folders(), *map(str, packages)]
        usable = [*_DEVICE_FILES, *(_gpu_devices() if uses_gpu else ())]
        rules = [(path, reading) for path in readable] + [(path, using) for path in usable]
        if not all(_allow(ruleset, Path(path), rights) for path, rights in [*rules, (str(folder), writing)]):
            return 0
        restricted = _libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)
    return version if restricted else 0


def _allow(ruleset: int, path: Path, rights: int) -> bool:
    """Add one rule; a path that the machine does not have needs none."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return True
    try:
        rights = rights if path.is_dir() else rights & _ON_FILES
        rule = struct.pack("=Qi", rights, descriptor)
        return bool(_libc.syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, rule, 0) == 0)
    finally:
        os.close(descriptor)


def _python_folders() -> list[str]:
    """Return where Python and its installed packages are, and nothing that merely lies on the module path."""
    return sorted({sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix})


def _gpu_devices() -> list[str]:
    return [str(path) for path in Path("/dev").glob(_GPU_DEVICES)]


# --------------------------------------------------------------------------------------------- system calls
@dataclass(frozen=True)
class _Machine:
    """The numbers of one processor architecture."""

    audit_number: int
    denied: tuple[int, ...]
    clone: int
    highest: int


#: Denied, in this order: socket, connect, bind, listen, accept, accept4, setsid, setpgid, ptrace,
#: process_vm_readv, process_vm_writev, kcmp, pidfd_getfd, mount, umount2, pivot_root, chroot, move_mount, open_tree,
#: fsopen, fsconfig, fsmount, fspick, mount_setattr, unshare, setns, bpf, perf_event_open, userfaultfd,
#: io_uring_setup, io_uring_enter, io_uring_register, keyctl, add_key, request_key, init_module, finit_module,
#: delete_module, kexec_load, kexec_file_load, reboot, swapon, swapoff, acct, quotactl, open_by_handle_at,
#: name_to_handle_at, syslog, settimeofday, clock_settime, sethostname, setdomainname.
_MACHINES = {
    "x86_64": _Machine(
        audit_number=0xC000003E,
        denied=(
            *(41, 42, 49, 50, 43, 288, 112, 109, 101, 310, 311, 312, 438, 165, 166, 155, 161, 429, 428, 430, 431, 432),
            *(433, 442, 272, 308, 321, 298, 323, 425, 426, 427, 250, 248, 249, 175, 313, 176, 246, 320, 169, 167, 168),
            *(163, 179, 304, 303, 103, 164, 227, 170, 171),
        ),
        clone=56,
        highest=0x3FFFFFFF,  # above it are the calls of the x32 interface, which would go around the filter
    ),
    "aarch64": _Machine(
        audit_number=0xC00000B7,
        denied=(
            *(198, 203, 200, 201, 202, 242, 157, 154, 117, 270, 271, 272, 438, 40, 39, 41, 51, 429, 428, 430, 431, 432),
            *(433, 442, 97, 268, 280, 241, 282, 425, 426, 427, 219, 217, 218, 105, 273, 106, 104, 294, 142, 224, 225),
            *(89, 60, 265, 264, 116, 170, 112, 161, 162),
        ),
        clone=220,
        highest=0x7FFFFFFF,
    ),
}
_CLONE3 = 435

_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_FIRST_ARGUMENT = 0, 4, 16


def _filter_system_calls() -> bool:
    """Deny, with an error that libraries can handle, the calls that no job needs; False where it cannot be done."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    instructions = b"".join(_program(machine))
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(instructions) // 8, ctypes.addressof(buffer)))
    return bool(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0) == 0)


def _program(machine: _Machine) -> list[bytes]:
    """Return the filter as classic BPF instructions (code, jump if true, jump if false, value)."""

    def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("=HBBI", code, if_true, if_false, value)

    denied = instruction(_RETURN, _ERRNO | errno.EPERM)
    program = [
        instruction(_LOAD, _OFFSET_ARCHITECTURE),
        instruction(_JUMP_EQUAL, machine.audit_number, 1, 0),
        instruction(_RETURN, _KILL),
        instruction(_LOAD, _OFFSET_NUMBER),
        instruction(_JUMP_GREATER, machine.highest, 0, 1),
        denied,
    ]
    for number in machine.denied:
        program += [instruction(_JUMP_EQUAL, number, 0, 1), denied]
    return [
        *program,
        # The arguments of clone3 lie in memory, out of a filter's sight: "not there" makes libc use clone.
        instruction(_JUMP_EQUAL, _CLONE3, 0, 1),
        instruction(_RETURN, _ERRNO | errno.ENOSYS),
        instruction(_JUMP_EQUAL, machine.clone, 0, 3),
        instruction(_LOAD, _OFFSET_FIRST_ARGUMENT),
        instruction(_JUMP_ANY_BIT, _CLONE_NAMESPACES, 0, 1),
        denied,
        instruction(_RETURN, _ALLOW),
    ]


# ------------------------------------------------------------------------------------------------ resources
#: What the engine that draws charts (V8) reserves without using it. Private writable memory is what RLIMIT_DATA counts
#: and reservations are not, so that is the limit on memory; the one on address space only bounds shared mappings.
_RESERVED_BYTES = 80 * 1024**3


def _set_limits(limits: Limits, *, uses_gpu: bool) -> None:
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


def _main() -> None:
    """Enter the sandbox and tell what it is made of."""
    layers = enter(folder=Path("/nonexistent"), limits=Limits(), packages=(), uses_gpu=False, parent_pid=os.getppid())
    print(json.dumps(layers.to_json()))


if __name__ == "__main__":
    _main()
