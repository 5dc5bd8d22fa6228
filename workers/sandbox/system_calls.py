"""Which system calls a job does without: a seccomp filter that answers them with an error.

A job on a CPU starts no process and no program, only threads: none of the libraries needs one, and what asks for one
anyway (``platform`` asks ``uname``, ``ctypes.util`` asks ``ldconfig``) takes the error for an answer. Nor does it map
memory that the limit on memory would not count: shared, or growing like a stack. A job on a GPU may do both, since XLA
runs ``ptxas`` and the driver shares memory; Landlock then lets it run programs of the system and of Python only.

Source: seccomp(2); numbers from the kernel's ``unistd_64.h`` (x86_64) and ``asm-generic/unistd.h`` (aarch64).
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass

from workers.sandbox.kernel import libc
from workers.sandbox.namespaces import CLONE_NAMESPACES

#: The numbers of a call on x86_64 and on aarch64; None where the architecture does not have it.
_Numbers = tuple[int | None, int | None]

#: No job needs these: sockets, ways out of the process group, other processes' memory, mounts, namespaces, queues and
#: memory between processes, and what reaches deep into the kernel or belongs to root.
_DENIED: dict[str, _Numbers] = {
    "socket": (41, 198),
    "connect": (42, 203),
    "bind": (49, 200),
    "listen": (50, 201),
    "accept": (43, 202),
    "accept4": (288, 242),
    "setsid": (112, 157),
    "setpgid": (109, 154),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "unshare": (272, 97),
    "setns": (308, 268),
    "msgget": (68, 186),
    "semget": (64, 190),
    "shmget": (29, 194),
    "mq_open": (240, 180),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "nfsservctl": (180, 42),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
}

#: What a job on a CPU does without as well: programs, processes, memory in files that nothing counts.
_DENIED_WITHOUT_GPU: dict[str, _Numbers] = {
    "execve": (59, 221),
    "execveat": (322, 281),
    "fork": (57, None),
    "vfork": (58, None),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
}


@dataclass(frozen=True)
class _Machine:
    """What differs from one processor architecture to the next."""

    audit_number: int
    column: int
    clone: int
    mmap: int
    ioctl: int
    highest: int


_MACHINES = {
    # Above the highest are the calls of the x32 interface, which would go around the filter.
    "x86_64": _Machine(audit_number=0xC000003E, column=0, clone=56, mmap=9, ioctl=16, highest=0x3FFFFFFF),
    "aarch64": _Machine(audit_number=0xC00000B7, column=1, clone=220, mmap=222, ioctl=29, highest=0x7FFFFFFF),
}
_CLONE3 = 435
_CLONE_THREAD = 0x00010000
_MAP_SHARED_ANONYMOUS = 0x01 | 0x20
#: A stack in the eyes of the kernel, which its limit on memory leaves out.
_MAP_GROWS_DOWN = 0x0100
#: Both put words into a terminal as if the person in front of it had typed them.
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_LOAD, _AND, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x25, 0x45, 0x06
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16


def filter_system_calls(*, uses_gpu: bool) -> bool:
    """Deny, with an error that libraries can handle, the calls that no job needs; False where it cannot be done."""
    machine = _MACHINES.get(os.uname().machine)
    if machine is None:
        return False
    instructions = b"".join(_program(machine, uses_gpu=uses_gpu))
    buffer = ctypes.create_string_buffer(instructions, len(instructions))
    program = ctypes.create_string_buffer(struct.pack("@HxxxxxxP", len(instructions) // 8, ctypes.addressof(buffer)))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0) == 0)


def _program(machine: _Machine, *, uses_gpu: bool) -> list[bytes]:
    """Return the filter as classic BPF instructions; the number of the call stays loaded up to the last block."""
    denied = _instruction(_RETURN, _ERRNO | errno.EPERM)
    allowed = _instruction(_RETURN, _ALLOW)
    program = [
        _instruction(_LOAD, _OFFSET_ARCHITECTURE),
        _instruction(_JUMP_EQUAL, machine.audit_number, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _OFFSET_NUMBER),
        _instruction(_JUMP_GREATER, machine.highest, 0, 1),
        denied,
    ]
    calls = _DENIED if uses_gpu else {**_DENIED, **_DENIED_WITHOUT_GPU}
    for numbers in calls.values():
        number = numbers[machine.column]
        if number is not None:
            program += _on(number, denied)
    # The arguments of clone3 lie in memory, out of a filter's sight: "not there" makes libc use clone.
    program += _on(_CLONE3, _instruction(_RETURN, _ERRNO | errno.ENOSYS))
    program += _on(
        machine.ioctl,
        _argument(1),
        _instruction(_JUMP_EQUAL, _TIOCSTI, 1, 0),
        _instruction(_JUMP_EQUAL, _TIOCLINUX, 0, 1),
        denied,
        allowed,
    )
    if not uses_gpu:
        program += _on(
            machine.mmap,
            _argument(3),
            _instruction(_JUMP_ANY_BIT, _MAP_GROWS_DOWN, 0, 1),
            denied,
            _instruction(_AND, _MAP_SHARED_ANONYMOUS),
            _instruction(_JUMP_EQUAL, _MAP_SHARED_ANONYMOUS, 0, 1),
            denied,
            allowed,
        )
    only_threads = [] if uses_gpu else [_instruction(_JUMP_ANY_BIT, _CLONE_THREAD, 1, 0), denied]
    program += _on(
        machine.clone,
        _argument(0),
        _instruction(_JUMP_ANY_BIT, CLONE_NAMESPACES, 0, 1),
        denied,
        *only_threads,
        allowed,
    )
    return [*program, allowed]


def _on(number: int, *block: bytes) -> list[bytes]:
    """Return a block that is passed over by every call but one; it ends with a return."""
    return [_instruction(_JUMP_EQUAL, number, 0, len(block)), *block]


def _argument(position: int) -> bytes:
    """Load the low half of an argument; both architectures are little-endian."""
    return _instruction(_LOAD, _OFFSET_ARGUMENTS + 8 * position)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)
