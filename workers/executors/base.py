"""What a dispatcher asks of an executor: start a job folder, say how it goes, end it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from workers.protocol import JobSpec, Progress
from workers.sandbox import Card


@dataclass(frozen=True)
class ExecutionStatus:
    """How an execution stands.

    Attributes:
        has_ended: nothing of it runs any more, and its folder does not change.
        exit_status: the exit status of the child, negative for the signal that killed it; None while it runs or where
            the executor does not learn it.
        progress: the newest message since the last poll.
        violation: what the child sent that the protocol does not know, as a sentence; it is then not worth running on.
    """

    has_ended: bool = False
    exit_status: int | None = None
    progress: Progress | None = None
    violation: str = ""


class Execution(ABC):
    """One started job folder.

    Attributes:
        cards: the GPUs that it was given, as ``cuda:0``, ``cuda:1`` and so on.
    """

    cards: Sequence[Card] = ()

    @abstractmethod
    def poll(self) -> ExecutionStatus:
        """Return how it stands, at once; also takes what it printed into the log."""

    @abstractmethod
    def held_memory_bytes(self) -> int:
        """Return how much memory it holds now with everything that it started, that of GPUs apart."""

    @abstractmethod
    def wait(self, seconds: float) -> None:
        """Return when there may be something to poll, or after so many seconds."""

    @abstractmethod
    def cancel(self) -> None:
        """End it with everything that it started, and return when nothing of it runs; more than once does no harm."""


class Executor(ABC):
    """Starts job folders; ``name`` is what settings call it."""

    name: str

    @abstractmethod
    def start(self, spec: JobSpec, folder: Path, devices: Sequence[str]) -> Execution:
        """Start the job that lies in a folder on these devices of this machine (``cpu``, ``cuda:0``).

        Raises:
            JobError: the machine does not have them, or cannot keep the job to them.
        """
