"""What a hostile model tries, as code inside a model of a framework; each payload touches a marker at most.

A payload that is contained raises; one that gets through returns. Payloads that end the child stand at the end.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workers.context import JobContext

Deed = Callable[[], None]
Payload = Callable[[JobContext], Any]

_libc = ctypes.CDLL(None, use_errno=True)
_PTRACE_ATTACH = 16
_MAP_GROWS_DOWN = 0x0100
_PROT_READ = 1
_EIGHT_GIBIBYTES = 8 * 1024**3
_TEN_GIGABYTES = 10**10


def run(context: JobContext) -> dict[str, Any]:
    """Run payloads inside a model of a framework, one after the other; answer what became of each."""
    names = context.parameters["payloads"]
    outcomes: dict[str, str] = {}

    def deed() -> None:
        for name in names:
            if context.parameters.get("is_caught", True):
                outcomes[name] = _outcome(PAYLOADS[name], context)
            else:
                PAYLOADS[name](context)

    FRAMEWORKS[context.parameters["framework"]](deed)
    return {"answer": len(outcomes), "outcomes": outcomes}


def _outcome(payload: Payload, context: JobContext) -> str:
    try:
        got = payload(context)
    except (OSError, MemoryError, ValueError) as error:
        return type(error).__name__
    return f"not contained: {got!r}"[:200]


def _in_torch(deed: Deed) -> None:
    import torch

    class Hostile(torch.nn.Module):
        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            deed()
            return rows

    model = torch.nn.Sequential(torch.nn.Linear(3, 2), Hostile())
    assert model(torch.ones(1, 3)).shape == (1, 2)


def _in_keras(deed: Deed) -> None:
    import keras
    import numpy as np

    class Hostile(keras.layers.Layer):
        def call(self, rows: Any) -> Any:
            deed()
            return rows

    rows = keras.layers.Dense(2)(np.ones((1, 3), dtype="float32"))
    assert Hostile()(rows).shape == (1, 2)


FRAMEWORKS: dict[str, Callable[[Deed], None]] = {"torch": _in_torch, "keras": _in_keras, "none": lambda deed: deed()}


# ---------------------------------------------------------------------------------------------------- reading
def read_secret(context: JobContext) -> Any:
    return (_outside(context) / "secret").read_text()


def read_secret_through_a_link(context: JobContext) -> Any:
    link = context.folder / "link"
    link.symlink_to(_outside(context) / "secret")
    return link.read_text()


def list_home(context: JobContext) -> Any:
    return list(_outside(context).iterdir())


def read_another_job(context: JobContext) -> Any:
    return (Path(context.parameters["other_job"]) / "spec.json").read_text()


def read_passwords_of_the_system(context: JobContext) -> Any:
    return Path("/etc/shadow").read_text()


def read_environment_of_the_parent(context: JobContext) -> Any:
    return Path(f"/proc/{os.getppid()}/environ").read_bytes()


def read_environment_of_anybody(context: JobContext) -> Any:
    """Look for the decoy of the test in every process that there is to see."""
    for process in Path("/proc").iterdir():
        if process.name.isdecimal():
            try:
                content = (process / "environ").read_bytes()
            except OSError:
                continue
            if context.parameters["decoy"].encode() in content:
                return process.name
    raise PermissionError("no environment holds the decoy")


def read_memory_of_the_parent(context: JobContext) -> Any:
    return Path(f"/proc/{os.getppid()}/mem").open("rb")


def use_a_descriptor_that_was_left_open(context: JobContext) -> Any:
    """The test leaves one open, for everything that it starts to inherit."""
    for entry in list(Path("/proc/self/fd").iterdir()):
        if int(entry.name) > 3:
            try:
                content = os.pread(int(entry.name), 100, 0)
            except OSError:
                continue
            if context.parameters["decoy"].encode() in content:
                return content
    raise PermissionError("no descriptor leads to the decoy")


# ---------------------------------------------------------------------------------------------------- writing
def write_outside(context: JobContext) -> Any:
    return (_outside(context) / "marker").write_text("escaped")


def write_in_the_system(context: JobContext) -> Any:
    return Path("/usr/lib/assay-marker").write_text("escaped")


def write_in_the_packages(context: JobContext) -> Any:
    return (Path(sys.prefix) / "assay-marker.pth").write_text("escaped")


def write_in_the_temporary_folder_of_everybody(context: JobContext) -> Any:
    return Path("/tmp/assay-marker").write_text("escaped")


def write_in_shared_memory(context: JobContext) -> Any:
    return Path("/dev/shm/assay-marker").write_text("escaped")


def change_an_input(context: JobContext) -> Any:
    path = context.input("data")
    path.chmod(0o600)
    return path.write_text("changed")


def replace_an_input(context: JobContext) -> Any:
    path = context.input("data")
    path.unlink()
    return path.write_text("changed")


def move_the_inputs_away(context: JobContext) -> Any:
    return (context.folder / "inputs").rename(context.folder / "elsewhere")


# ---------------------------------------------------------------------------------------------------- network
def connect_by_tcp(context: JobContext) -> Any:
    return socket.create_connection(("127.0.0.1", context.parameters["port"]), timeout=3)


def connect_to_a_local_socket(context: JobContext) -> Any:
    return socket.socket(socket.AF_UNIX).connect(str(_outside(context) / "socket"))


def connect_to_an_abstract_socket(context: JobContext) -> Any:
    return socket.socket(socket.AF_UNIX).connect("\0" + context.parameters["decoy"])


def send_a_datagram(context: JobContext) -> Any:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", context.parameters["port"]))


def listen(context: JobContext) -> Any:
    return socket.create_server(("127.0.0.1", 0))


# -------------------------------------------------------------------------------------------------- processes
def trace_the_parent(context: JobContext) -> Any:
    return _called(_libc.ptrace(_PTRACE_ATTACH, os.getppid(), 0, 0))


def kill_the_parent(context: JobContext) -> Any:
    return os.kill(os.getppid(), signal.SIGKILL)


def kill_the_worker(context: JobContext) -> Any:
    return os.kill(context.parameters["worker"], signal.SIGKILL)


def reach_anybody_by_signal(context: JobContext) -> Any:
    """Signal 0 asks whether one could: nobody is harmed where it is not contained."""
    for process in list(Path("/proc").iterdir()):
        if process.name.isdecimal() and int(process.name) != os.getpid():
            try:
                os.kill(int(process.name), 0)
            except OSError:
                continue
            return process.name
    raise PermissionError("no other process can be reached")


def fork(context: JobContext) -> Any:
    if os.fork() == 0:
        os._exit(0)
    return "forked"


def fork_for_ever(context: JobContext) -> Any:
    """A bomb that stops by itself at a number that no machine minds."""
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
    return "200 processes"


def run_a_program(context: JobContext) -> Any:
    return subprocess.run(["/bin/sh", "-c", "exit 0"], check=True)


def become_a_program(context: JobContext) -> Any:
    return os.execv("/bin/sh", ["/bin/sh", "-c", "exit 0"])


def leave_the_session(context: JobContext) -> Any:
    return os.setsid()


# ------------------------------------------------------------------------------------------ kernel and resources
def make_a_namespace(context: JobContext) -> Any:
    return _called(_libc.unshare(0x10000000))


def mount(context: JobContext) -> Any:
    return _called(_libc.mount(b"none", os.fsencode(context.folder), b"tmpfs", 0, None))


def ask_for_a_kernel_program(context: JobContext) -> Any:
    return _called(_libc.syscall(321 if os.uname().machine == "x86_64" else 280, 0, None, 0))


def raise_the_own_limit(context: JobContext) -> Any:
    return resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def allocate_memory(context: JobContext) -> Any:
    return len(bytearray(_EIGHT_GIBIBYTES))


def allocate_shared_memory(context: JobContext) -> Any:
    return len(mmap.mmap(-1, _EIGHT_GIBIBYTES))


def allocate_shared_memory_of_a_device(context: JobContext) -> Any:
    """Mapped and shared, /dev/zero is memory; given back page by page, it stays and is no process's."""
    with Path("/dev/zero").open("r+b", buffering=0) as device:
        return len(mmap.mmap(device.fileno(), _EIGHT_GIBIBYTES))


def allocate_memory_as_a_stack(context: JobContext) -> Any:
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_GROWS_DOWN
    return len(mmap.mmap(-1, _EIGHT_GIBIBYTES, flags=flags))


def write_a_huge_file(context: JobContext) -> Any:
    with (context.folder / "tmp" / "huge.bin").open("wb", buffering=0) as stream:
        for _ in range(_TEN_GIGABYTES // 1024**2):
            stream.write(bytes(1024**2))
    return "10 GB"


def write_a_huge_file_with_holes(context: JobContext) -> Any:
    with (context.folder / "tmp" / "sparse.bin").open("wb") as stream:
        return stream.truncate(_TEN_GIGABYTES)


# ---------------------------------------------------------------------------------- those that end the child
def use_the_processor_for_ever(context: JobContext) -> Any:
    while True:
        sum(range(10_000))


def wait_for_ever(context: JobContext) -> Any:
    while True:
        time.sleep(60)


def fill_the_folder(context: JobContext) -> Any:
    """Write files that are small each, up to a gibibyte, and wait."""
    for number in range(256):
        (context.folder / "tmp" / f"{number}.bin").write_bytes(bytes(4 * 1024**2))
    return wait_for_ever(context)


def fill_the_folder_with_names(context: JobContext) -> Any:
    for number in range(5000):
        (context.folder / "tmp" / str(number)).touch()
    return wait_for_ever(context)


def hold_memory_slowly(context: JobContext) -> Any:
    """Take a little at a time, up to a gibibyte, and wait."""
    kept = []
    for _ in range(64):
        kept.append(bytearray(b"x") * (16 * 1024**2))
        time.sleep(0.005)
    return wait_for_ever(context)


def hold_memory_at_once(context: JobContext) -> Any:
    kept = bytearray(b"x") * 1024**3
    return len(kept) and wait_for_ever(context)


def hold_memory_that_is_read_only(context: JobContext) -> Any:
    """The system's limit counts what may be written: up to a gibibyte, each piece is closed once it is written."""
    kept = []
    for _ in range(64):
        piece = mmap.mmap(-1, 16 * 1024**2, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        piece.write(b"x" * len(piece))
        address = ctypes.addressof(ctypes.c_char.from_buffer(piece))
        _called(_libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(len(piece)), _PROT_READ))
        kept.append(piece)
    return wait_for_ever(context)


def hold_memory_that_is_shared(context: JobContext) -> Any:
    kept = mmap.mmap(-1, 1024**3)
    for place in range(0, len(kept), mmap.PAGESIZE):
        kept[place] = 1
    return wait_for_ever(context)


def hold_memory_in_several_processes(context: JobContext) -> Any:
    """Each of four, forked twice so that nobody waits for it, holds less than one may."""
    for _ in range(4):
        if os.fork() == 0:
            if os.fork() == 0:
                kept = bytearray(b"x") * (256 * 1024**2)
                return len(kept) and wait_for_ever(context)
            os._exit(0)
    return wait_for_ever(context)


def nest_folders(context: JobContext) -> Any:
    """Make folders inside each other, deeper than a path may be long and than Python may recurse."""
    os.chdir(context.folder / "tmp")
    for _ in range(1200):
        Path("nested").mkdir()
        os.chdir("nested")
    os.chdir(context.folder)
    return "nested"


def leave_a_process_behind(context: JobContext) -> Any:
    """Fork twice, so that nobody waits for it, and try to leave the session; a job on a GPU may fork."""
    if os.fork() == 0:
        if os.fork() == 0:
            try:
                os.setsid()
            finally:
                time.sleep(600)
        os._exit(0)
    os.wait()
    return "left"


def link_an_output(context: JobContext) -> Any:
    return context.output("result.txt").symlink_to(_outside(context) / "secret")


def link_the_outputs(context: JobContext) -> Any:
    (context.folder / "outputs").rmdir()
    return (context.folder / "outputs").symlink_to(_outside(context))


def _outside(context: JobContext) -> Path:
    return Path(context.parameters["outside"])


def _called(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer


#: What one child can try one after the other: each raises where it is contained.
RAISING: tuple[Payload, ...] = (
    read_secret,
    read_secret_through_a_link,
    list_home,
    read_another_job,
    read_passwords_of_the_system,
    read_environment_of_the_parent,
    read_environment_of_anybody,
    read_memory_of_the_parent,
    use_a_descriptor_that_was_left_open,
    write_outside,
    write_in_the_system,
    write_in_the_packages,
    write_in_the_temporary_folder_of_everybody,
    write_in_shared_memory,
    change_an_input,
    replace_an_input,
    move_the_inputs_away,
    connect_by_tcp,
    connect_to_a_local_socket,
    connect_to_an_abstract_socket,
    send_a_datagram,
    listen,
    trace_the_parent,
    kill_the_parent,
    kill_the_worker,
    reach_anybody_by_signal,
    fork,
    fork_for_ever,
    run_a_program,
    become_a_program,
    leave_the_session,
    make_a_namespace,
    mount,
    ask_for_a_kernel_program,
    raise_the_own_limit,
    allocate_memory,
    allocate_shared_memory,
    allocate_shared_memory_of_a_device,
    allocate_memory_as_a_stack,
    write_a_huge_file,
    write_a_huge_file_with_holes,
)
ENDING: tuple[Payload, ...] = (
    use_the_processor_for_ever,
    wait_for_ever,
    fill_the_folder,
    fill_the_folder_with_names,
    hold_memory_slowly,
    hold_memory_at_once,
    hold_memory_that_is_read_only,
    hold_memory_that_is_shared,
    hold_memory_in_several_processes,
    nest_folders,
    leave_a_process_behind,
    link_an_output,
    link_the_outputs,
)
PAYLOADS: dict[str, Payload] = {payload.__name__: payload for payload in (*RAISING, *ENDING)}
