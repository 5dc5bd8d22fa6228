"""The memory of a job as its worker counts it: of every process of the session, and of no other."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

from tests.faults.conftest import eventually
from workers.executors.memory import held_by_session

MEBIBYTE = 1024**2


def process(folder: Path, number: int, *, session: object, name: str = "python", **kibibytes: int) -> None:
    """Make up a process as proc(5) shows it."""
    (folder / str(number)).mkdir(parents=True)
    (folder / str(number) / "stat").write_text(f"{number} ({name}) S 1 {session} {session} 0 -1 4194560 1 0 0 0\n")
    lines = [f"{name}:\t{value} kB\n" for name, value in kibibytes.items()]
    (folder / str(number) / "status").write_text("".join(["Name:\tpython\n", "VmRSS:\t900 kB\n", *lines]))


def test_a_session_holds_what_its_processes_hold_together(tmp_path: Path) -> None:
    process(tmp_path, 7, session=7, RssAnon=10, RssFile=500, RssShmem=20, VmSwap=40, VmPTE=80, VmData=9000)
    process(tmp_path, 9, session=7, RssAnon=1)
    process(tmp_path, 8, session=8, RssAnon=1000)
    assert held_by_session(7, processes=tmp_path) == 151 * 1024
    assert held_by_session(5, processes=tmp_path) == 0


def test_a_name_cannot_pass_for_another_session(tmp_path: Path) -> None:
    process(tmp_path, 7, session=7, name="x) S 1 8 8 (y", RssAnon=3)
    process(tmp_path, 8, session=8, name=") S 7 7 7", RssAnon=5)
    assert held_by_session(7, processes=tmp_path) == 3 * 1024


def test_what_ends_meanwhile_and_what_is_no_process_holds_nothing(tmp_path: Path) -> None:
    process(tmp_path, 7, session=7, RssAnon=3)
    (tmp_path / "9").mkdir()
    process(tmp_path, 11, session=7)
    (tmp_path / "11" / "status").unlink()
    (tmp_path / "self").mkdir()
    # A process that has ended and was not yet waited for has no memory to tell of.
    process(tmp_path, 12, session=7)
    assert held_by_session(7, processes=tmp_path) == 3 * 1024


def test_real_memory_is_counted_private_shared_and_of_a_grandchild() -> None:
    code = f"""
import mmap, os, sys, time
private = bytearray(b"x") * (32 * {MEBIBYTE})
shared = mmap.mmap(-1, 32 * {MEBIBYTE})
for place in range(0, len(shared), {mmap.PAGESIZE}):
    shared[place] = 1
if os.fork() == 0:
    if os.fork() == 0:
        grandchild = bytearray(b"x") * (64 * {MEBIBYTE})
        print("ready", flush=True)
        sys.stdin.read()
    os._exit(0)
os.wait()
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        held = held_by_session(parent.pid)
        assert held_by_session(os.getsid(0)) > 0
        parent.communicate()
    assert 128 * MEBIBYTE < held < 320 * MEBIBYTE
    eventually(lambda: held_by_session(parent.pid) == 0)
