"""A fresh interpreter a job: own session, cleared environment, a lifeline, messages apart from what libraries print.

Where bubblewrap works on the machine, the interpreter starts inside it; the child does the rest (``workers.sandbox``).
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import math
import os
import select
import signal
import sys
import time
from collections import deque
from collections.abc import Mapping, Sequence
from io import FileIO
from pathlib import Path

import workers
from workers import environment, packages, sandbox
from workers.executors import memory
from workers.executors.base import Execution, ExecutionStatus, Executor
from workers.protocol import LOG_FILE, MESSAGE_DESCRIPTOR, JobSpec, Progress
from workers.sandbox import bubblewrap

#: A message is a progress line; anything longer is no message.
MAX_MESSAGE_BYTES = 16 * 1024

#: As much of messages or of output as one poll takes; a child that sends more waits in its write.
_TAKE_BYTES = 256 * 1024

#: The most that a pipe can be made to hold by an unprivileged process.
_MAX_PIPE_BYTES = 1024 * 1024

_PR_SET_CHILD_SUBREAPER = 36

#: As much of a log as is kept: its beginning, and its end, where the error stands.
LOG_HEAD_BYTES = 6 * 1024 * 1024
LOG_TAIL_BYTES = 2 * 1024 * 1024

#: How long the rest of a killed process group may take to be gone.
_GONE_SECONDS = 5.0


class LocalExecutor(Executor):
    """Runs ``python -m workers JOB_FOLDER`` in a child process.

    Args:
        threads: how many threads a numeric library may use in one job.
        runner_packages: packages beside Assay's own in which runners may live (plug-ins).
        choice: how children are put into their sandbox, one of ``workers.sandbox.CHOICES``.
        driver: what tells which device file is which GPU.
    """

    name = "local"

    def __init__(
        self,
        *,
        threads: int = 1,
        runner_packages: Sequence[str] = (),
        choice: str = sandbox.AUTO,
        driver: sandbox.Driver = sandbox.Driver(),  # noqa: B008 - immutable
    ) -> None:
        self.threads = threads
        self.runner_packages = tuple(runner_packages)
        self.choice = choice
        self.driver = driver

    def start(self, spec: JobSpec, folder: Path, devices: Sequence[str]) -> LocalExecution:
        """Start the child; it is killed with everything it started as soon as this process is gone."""
        cards = self.driver.assigned(devices)
        device_files = self.driver.device_files(cards)
        _adopt_orphans()
        temporary = folder / environment.TEMPORARY_FOLDER
        temporary.mkdir(exist_ok=True)
        variables = environment.variables(
            temporary=temporary,
            module_path=[Path(workers.__file__).parents[1]],
            threads=self.threads,
            cards=[card.name for card in cards],
        )
        around = sandbox.Surroundings(
            choice=self.choice,
            bubblewrap=sandbox.probe(self.choice).bubblewrap,
            cards=cards,
            device_files=tuple(device_files),
        )
        arguments = [sys.executable, "-P", "-m", "workers", "--dispatched", "--started-at", f"{time.monotonic():.6f}"]
        arguments += ["--surroundings", json.dumps(around.to_json())]
        for package in self.runner_packages:
            arguments += ["--runner-package", package]
        arguments.append(str(folder))
        if around.bubblewrap:
            arguments = bubblewrap.command(
                arguments,
                folder=folder,
                packages=packages.folders(spec.runner, self.runner_packages),
                devices=device_files,
            )
        return LocalExecution(
            folder=folder,
            arguments=arguments,
            variables=variables,
            is_wrapped=bool(around.bubblewrap),
            cards=cards,
        )


class LocalExecution(Execution):
    """One child process with its three pipes: a lifeline to it, messages and output from it.

    Args:
        is_wrapped: the process is bubblewrap, and the child one inside it.
        cards: the GPUs that the child is given.
    """

    def __init__(
        self,
        *,
        folder: Path,
        arguments: Sequence[str],
        variables: Mapping[str, str],
        is_wrapped: bool = False,
        cards: Sequence[sandbox.Card] = (),
    ) -> None:
        self.folder = folder
        self.cards = cards
        self._is_wrapped = is_wrapped
        self._status: int | None = None
        self._has_ended = False
        self._log = _Log((folder / LOG_FILE).open("xb", buffering=0))
        self._messages = _Messages()
        with contextlib.ExitStack() as child_ends:
            lifeline, self._lifeline = _pipe()
            child_ends.callback(os.close, lifeline)
            self._message_pipe, message = _pipe()
            child_ends.callback(os.close, message)
            self._output_pipe, output = _pipe()
            child_ends.callback(os.close, output)
            os.set_blocking(self._message_pipe, False)
            os.set_blocking(self._output_pipe, False)
            self.pid = os.posix_spawn(
                arguments[0],
                list(arguments),
                dict(variables),
                # Everything else that this process has open closes itself on exec.
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, lifeline, 0),
                    (os.POSIX_SPAWN_DUP2, output, 1),
                    (os.POSIX_SPAWN_DUP2, output, 2),
                    (os.POSIX_SPAWN_DUP2, message, MESSAGE_DESCRIPTOR),
                ],
                setsid=True,
                setsigmask=[],
                setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ],
            )
        self._process = os.pidfd_open(self.pid)
        self._open_pipes = {self._message_pipe, self._output_pipe}

    def poll(self) -> ExecutionStatus:
        """Return how the child stands; where it has ended, what it left running is killed first."""
        if not self._has_ended:
            self._take()
            # WNOWAIT leaves the dead child in place, so that its number cannot become another group's before the kill.
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                self._end()
        return ExecutionStatus(
            has_ended=self._has_ended,
            exit_status=self._status,
            progress=self._messages.newest(),
            violation=self._messages.violation,
        )

    def held_memory_bytes(self) -> int:
        """Return how much memory the processes of the session hold now."""
        return 0 if self._has_ended else memory.held_by_session(self.pid)

    def wait(self, seconds: float) -> None:
        """Return when the child has written something or ended, or after so many seconds."""
        if not self._has_ended:
            select.select([self._process, *self._open_pipes], [], [], seconds)

    def cancel(self) -> None:
        """Kill the child and everything that it started."""
        if not self._has_ended:
            self._end()

    def _take(self) -> None:
        self._messages.feed(self._read(self._message_pipe))
        self._log.write(self._read(self._output_pipe))

    def _end(self) -> None:
        """Kill the session's processes, collect them, take what is left in the pipes, close everything.

        Inside bubblewrap the first process of the session's namespace is among them, and the kernel ends everything in
        a namespace with its first process, before that can be collected.
        """
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        ended = os.waitid(os.P_PID, self.pid, os.WEXITED)
        assert ended is not None  # without WNOHANG it waits for the end
        self._status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        if self._is_wrapped:
            self._status = bubblewrap.status_of(self._status)
        self._has_ended = True
        with contextlib.ExitStack() as closing:
            for descriptor in (self._lifeline, self._message_pipe, self._output_pipe, self._process):
                closing.callback(os.close, descriptor)
            closing.callback(self._log.close)
            self._collect_group()
            for _ in range(_MAX_PIPE_BYTES // _TAKE_BYTES):
                self._take()

    def _collect_group(self) -> None:
        """Collect the rest of the killed group, so that nobody writes in the folder any more."""
        deadline = time.monotonic() + _GONE_SECONDS
        while time.monotonic() < deadline:
            try:
                if os.waitid(os.P_PGID, self.pid, os.WEXITED | os.WNOHANG) is None:
                    time.sleep(0.001)
            except ChildProcessError:
                return

    def _read(self, pipe: int) -> bytes:
        """Return what a pipe holds, as much as one poll takes; a pipe at its end is no longer waited for."""
        pieces: list[bytes] = []
        taken = 0
        while taken < _TAKE_BYTES and pipe in self._open_pipes:
            try:
                piece = os.read(pipe, 65536)
            except BlockingIOError:
                break
            if not piece:
                self._open_pipes.discard(pipe)
            pieces.append(piece)
            taken += len(piece)
        return b"".join(pieces)


class _Messages:
    """The lines on the message descriptor, checked one by one; the sender is not trusted."""

    def __init__(self) -> None:
        self.violation = ""
        self._rest = b""
        self._newest: Progress | None = None

    def feed(self, content: bytes) -> None:
        if self.violation:
            return
        *lines, self._rest = (self._rest + content).split(b"\n")
        try:
            for line in lines:
                self._newest = _read_progress(line)
            if len(self._rest) > MAX_MESSAGE_BYTES:
                raise ValueError(f"a message is longer than {MAX_MESSAGE_BYTES:,} bytes")
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
            self.violation = f"The child sent a message that the protocol does not know: {error}."[:500]

    def newest(self) -> Progress | None:
        newest, self._newest = self._newest, None
        return newest


class _Log:
    """A log file with a limit: the beginning as it comes, and of the rest the end."""

    def __init__(self, stream: FileIO) -> None:
        self._stream = stream
        self._is_writable = True
        self._written = 0
        self._dropped = 0
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0

    def write(self, content: bytes) -> None:
        """Keep what was printed; a disk that is full is told once, and the rest of the log is then given up."""
        head = content[: max(0, LOG_HEAD_BYTES - self._written)]
        self._written += len(head)
        self._write_out(head)
        rest = content[len(head) :]
        if rest:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
            while self._tail_bytes - len(self._tail[0]) >= LOG_TAIL_BYTES:
                self._dropped += len(self._tail[0])
                self._tail_bytes -= len(self._tail.popleft())

    def close(self) -> None:
        try:
            if self._dropped:
                self._write_out(f"\n[{self._dropped:,} bytes of the log are left out here]\n".encode())
            for piece in self._tail:
                self._write_out(piece)
        finally:
            self._stream.close()

    def _write_out(self, content: bytes) -> None:
        view = memoryview(content)
        while view and self._is_writable:
            try:
                view = view[self._stream.write(view) :]
            except OSError:
                self._is_writable = False
                raise


def _read_progress(line: bytes) -> Progress:
    if len(line) > MAX_MESSAGE_BYTES:
        raise ValueError(f"a message is longer than {MAX_MESSAGE_BYTES:,} bytes")
    document = json.loads(line)
    if document["type"] != "progress" or set(document) != {"type", "done", "total", "unit", "message"}:
        raise ValueError("it is not a progress message")
    numbers = [float(document[name]) for name in ("done", "total") if not isinstance(document[name], bool | str)]
    texts = [document[name] for name in ("unit", "message") if isinstance(document[name], str)]
    if len(numbers) != 2 or len(texts) != 2 or not all(math.isfinite(number) and number >= 0 for number in numbers):
        raise ValueError("done and total are numbers of at least 0, unit and message are texts")
    unit, message = (text.replace("\0", "").encode("utf-8", "replace").decode() for text in texts)
    return Progress(done=numbers[0], total=numbers[1], unit=unit[:40], message=message[:500])


def _pipe() -> tuple[int, int]:
    """Return a pipe whose ends lie above the descriptors that the child gets, so that none is overwritten."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, MESSAGE_DESCRIPTOR + 7) for end in ends)
    for end in ends:
        os.close(end)
    return moved[0], moved[1]


def _adopt_orphans() -> None:
    """Let what a dead child leaves behind become this process's own, to be collected, wherever the service runs."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
