"""The order in which a process takes things away from itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from workers.protocol import INPUTS_FOLDER, Json, Limits
from workers.sandbox import files, namespaces, resources, system_calls
from workers.sandbox.cards import Card
from workers.sandbox.kernel import die_with, give_up_new_privileges
from workers.sandbox.layers import AUTO, Layers


@dataclass(frozen=True)
class Surroundings:
    """What a process cannot know by itself: what it was started in, and by whose choice.

    Attributes:
        choice: how the installation wants children to be started (``ASSAY_SANDBOX``).
        bubblewrap: the version of bubblewrap around the process, empty for none.
        outside: the namespaces of whoever started it; those that differ are its own.
        cards: the GPUs that it is assigned, as ``cuda:0``, ``cuda:1`` and so on.
        device_files: what it opens to use them.
    """

    choice: str = AUTO
    bubblewrap: str = ""
    outside: Mapping[str, str] = field(default_factory=namespaces.identities)
    cards: tuple[Card, ...] = ()
    device_files: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Json]) -> Self:
        cards, device_files = map(Card.from_json, document["cards"]), document["device_files"]
        return cls(**{**document, "cards": tuple(cards), "device_files": tuple(device_files)})


def enter(
    *,
    folder: Path,
    limits: Limits,
    packages: Iterable[Path],
    uses_gpu: bool,
    parent_pid: int | None,
    surroundings: Surroundings | None = None,
) -> Layers:
    """Take away from this process, for good, what a job does not need; return what could be taken.

    It must run before any other thread exists, since Landlock and namespaces count for the calling thread and the
    threads that it starts later.

    Args:
        folder: the job folder, the only place to write.
        packages: folders of packages that are imported from outside of Python's own.
        uses_gpu: allow what CUDA needs: programs, processes, shared memory, and address space without a limit.
        parent_pid: die with this process; None for a job that a person runs by hand.
        surroundings: what the process was started in; None where nothing was prepared for it.
    """
    around = surroundings or Surroundings()
    inputs = folder / INPUTS_FOLDER
    if not around.bubblewrap:
        namespaces.enter()
        namespaces.make_read_only(inputs, outside=around.outside)
    no_capabilities = resources.drop_capabilities()
    # After the change of credentials, which clears it.
    parent_death = parent_pid is not None and die_with(parent_pid)
    # Before the fences: what they leave of /proc does not have to show it.
    own = namespaces.own(around.outside)
    no_new_privileges = give_up_new_privileges()
    landlock = files.restrict(folder=folder, packages=packages, devices=around.device_files) if no_new_privileges else 0
    resources.limit(limits, uses_gpu=uses_gpu)
    return Layers(
        bubblewrap=around.bubblewrap,
        namespaces=own,
        landlock=landlock,
        seccomp=no_new_privileges and system_calls.filter_system_calls(uses_gpu=uses_gpu),
        no_new_privileges=no_new_privileges,
        no_capabilities=no_capabilities,
        read_only_inputs=namespaces.is_read_only(inputs),
        limits=True,
        parent_death=parent_death,
    )
