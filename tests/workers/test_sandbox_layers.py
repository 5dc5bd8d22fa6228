"""Each layer of the sandbox alone: what it refuses, and what it has to leave."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.child_folders import CHECKOUT
from workers import sandbox


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("the key of the event chain")
    return path


@pytest.fixture
def server() -> Iterator[int]:
    """Something on this machine that a connection would reach."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def inside(setup: str, attempt: str) -> str:
    """Run one layer alone in a process and return what became of an attempt: ``done``, or the error's name."""
    code = f"""
import ctypes, fcntl, mmap, os, socket, subprocess, sys, threading
from pathlib import Path
from workers.protocol import Limits
from workers.sandbox import files, kernel, namespaces, resources, system_calls
{setup}
try:
    {attempt}
except OSError as error:
    print(type(error).__name__, error.errno)
else:
    print("done")
"""
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=CHECKOUT)
    return ended.stdout.strip()


SECCOMP = "assert kernel.give_up_new_privileges() and system_calls.filter_system_calls(uses_gpu=False)"
GPU_SECCOMP = "assert kernel.give_up_new_privileges() and system_calls.filter_system_calls(uses_gpu=True)"
LANDLOCK = "assert kernel.give_up_new_privileges() and files.restrict(folder=Path(FOLDER), packages=[])"
START_A_PROGRAM = "subprocess.run([sys.executable, '-c', ''], check=True)"
SHARED_MEMORY = "mmap.mmap(-1, 1 << 20)"
DENIED = "PermissionError 1"


@pytest.mark.parametrize(
    ("layer", "attempt", "outcome"),
    [
        ("", "socket.create_connection(('127.0.0.1', PORT), timeout=3)", "done"),
        (SECCOMP, "socket.create_connection(('127.0.0.1', PORT), timeout=3)", DENIED),
        (SECCOMP, "socket.socket(socket.AF_UNIX)", DENIED),
        (SECCOMP, "socket.socketpair()", "done"),
        (SECCOMP, "os.setpgid(0, 0)", DENIED),
        (SECCOMP, START_A_PROGRAM, DENIED),
        (SECCOMP, "os.execv(sys.executable, [sys.executable, '-c', ''])", DENIED),
        (SECCOMP, "os.fork()", DENIED),
        (SECCOMP, "t = threading.Thread(target=print, args=('a thread',)); t.start(); t.join()", "a thread\ndone"),
        (SECCOMP, SHARED_MEMORY, DENIED),
        (SECCOMP, "mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)", "done"),
        (SECCOMP, "mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100)", DENIED),
        (SECCOMP, "os.memfd_create('x')", DENIED),
        (SECCOMP, "fcntl.ioctl(os.openpty()[1], 0x5412, b'x')", DENIED),
        (SECCOMP, "fcntl.ioctl(os.openpty()[1], 0x5401, bytes(60))", "done"),
        (GPU_SECCOMP, START_A_PROGRAM, "done"),
        (GPU_SECCOMP, SHARED_MEMORY, "done"),
        (GPU_SECCOMP, "subprocess.run([sys.executable, '-c', ''], start_new_session=True)", DENIED),
        (GPU_SECCOMP, "socket.socket(socket.AF_UNIX)", DENIED),
        (
            GPU_SECCOMP,
            "libc = ctypes.CDLL(None, use_errno=True); r = libc.unshare(0x10000000); print(r, ctypes.get_errno())",
            "-1 1\ndone",
        ),
        (LANDLOCK, "Path(SECRET).read_text()", "PermissionError 13"),
        (LANDLOCK, "(Path(FOLDER) / 'x').write_text('x')", "done"),
        (LANDLOCK, "Path('/tmp/assay-planted').write_text('x')", "PermissionError 13"),
        (LANDLOCK, "import numpy; Path('/dev/null').write_text('x')", "done"),
        (LANDLOCK, "mmap.mmap(os.open('/dev/zero', os.O_RDWR), 1 << 20)", "PermissionError 13"),
        (LANDLOCK, "mmap.mmap(os.open('/dev/zero', os.O_RDONLY), 1 << 20, prot=1)", "PermissionError 13"),
        (LANDLOCK, "os.kill(os.getppid(), 0)", DENIED),
        # Root's capabilities would lead around Landlock here, so both are needed.
        (
            f"resources.drop_capabilities(); {LANDLOCK}",
            "Path(f'/proc/{os.getppid()}/environ').read_bytes()",
            "PermissionError 13",
        ),
    ],
)
def test_each_layer_holds_alone(
    layer: str, attempt: str, outcome: str, tmp_path: Path, secret: Path, server: int
) -> None:
    values = f"PORT, FOLDER, SECRET = {server}, {str(tmp_path / 'job')!r}, {str(secret)!r}"
    (tmp_path / "job").mkdir()
    assert inside(f"{values}\n{layer}", attempt) == outcome


def test_namespaces_cut_the_network_where_the_system_has_them(server: int) -> None:
    setup = "outside = namespaces.identities(); namespaces.enter(); print('net' in namespaces.own(outside))"
    outcome = inside(setup, f"socket.create_connection(('127.0.0.1', {server}), timeout=3)")
    assert outcome == ("True\nOSError 101" if "net" in sandbox.probe(sandbox.NAMESPACES).namespaces else "False\ndone")


def test_inputs_are_read_only_where_a_process_has_mounts_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "data.bin").write_text("as it was")
    setup = (
        f"folder = Path({str(tmp_path)!r}); outside = namespaces.identities(); namespaces.enter();"
        "namespaces.make_read_only(folder, outside=outside); print(namespaces.is_read_only(folder))"
    )
    outcome = inside(setup, "(folder / 'data.bin').write_text('changed')")
    holds = sandbox.probe(sandbox.NAMESPACES).read_only_inputs
    assert outcome == ("True\nOSError 30" if holds else "False\ndone")
    assert (tmp_path / "data.bin").read_text() == ("as it was" if holds else "changed")
    # The mount is the process's own: outside, nothing has changed.
    (tmp_path / "data.bin").write_text("changed outside")


def test_namespaces_are_told_by_comparison_and_not_by_hope() -> None:
    assert inside("here = namespaces.identities()", "print(namespaces.own(here), namespaces.own({}))") == "() ()\ndone"
    setup = "here = {**namespaces.identities(), 'net': 'net:[1]'}"
    assert inside(setup, "print(namespaces.own(here))") == "('net',)\ndone"


def test_no_capability_is_left_even_to_root(tmp_path: Path) -> None:
    (tmp_path / "locked").write_text("of another user's")
    (tmp_path / "locked").chmod(0o000)
    outcome = inside("print(resources.drop_capabilities())", f"Path({str(tmp_path / 'locked')!r}).read_text()")
    assert outcome == "True\nPermissionError 13"
    if os.geteuid() == 0:
        assert inside("", f"Path({str(tmp_path / 'locked')!r}).read_text()") == "done"


def test_limits_never_ask_for_more_than_the_system_gives() -> None:
    code = (
        "import resource; from workers.sandbox import resources; from workers.protocol import Limits;"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)); resources.limit(Limits(), uses_gpu=True);"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_AS)[0],"
        " resource.getrlimit(resource.RLIMIT_CORE))"
    )
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=CHECKOUT)
    # On a GPU the driver reserves more address space than any limit that would mean something.
    assert ended.stdout.split(") ")[0] == "(64, 64"
    assert f" {resource.getrlimit(resource.RLIMIT_AS)[0]} (0, 0)" in ended.stdout
