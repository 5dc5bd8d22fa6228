"""What a sandbox is made of on one machine, and whether that is enough to load an upload in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Self

from workers.protocol import JobError, Json

#: How a child is started: through bubblewrap where it works, and else with namespaces of its own making ...
AUTO = "auto"
#: ... through bubblewrap or not at all ...
BUBBLEWRAP = "bubblewrap"
#: ... never through bubblewrap.
NAMESPACES = "namespaces"
CHOICES = (AUTO, BUBBLEWRAP, NAMESPACES)

#: The kinds of namespaces(7), in the order in which they are shown.
NAMESPACE_KINDS = ("user", "net", "pid", "ipc", "uts", "mnt", "cgroup")


@dataclass(frozen=True)
class Layers:
    """Which layers are there, as the process inside saw them itself.

    Attributes:
        bubblewrap: the version of it that started the process; empty where it did not.
        namespaces: the kinds of namespace that the process does not share with whoever started it.
        landlock: the version of its interface; 0 for none.
        seccomp: the filter of system calls is in force.
        no_new_privileges: no set-uid program gives anything back.
        no_capabilities: the process holds no capability, not even as root.
        read_only_inputs: the inputs lie on a read-only mount.
        limits: memory, processor time, file size, processes, open files and core dumps are limited.
        parent_death: the process is killed when whoever started it ends.
    """

    bubblewrap: str = ""
    namespaces: tuple[str, ...] = ()
    landlock: int = 0
    seccomp: bool = False
    no_new_privileges: bool = False
    no_capabilities: bool = False
    read_only_inputs: bool = False
    limits: bool = False
    parent_death: bool = False

    @property
    def cuts_network(self) -> bool:
        return "net" in self.namespaces or self.seccomp

    @property
    def fences_files(self) -> bool:
        return self.landlock > 0

    @property
    def may_load_uploads(self) -> bool:
        return self.cuts_network and self.fences_files

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "namespaces": list(self.namespaces)}

    @classmethod
    def from_json(cls, document: Json) -> Self:
        """Read what a process said about itself; whatever is not of its type counts as a layer that is not there."""
        said = document if isinstance(document, Mapping) else {}
        bubblewrap, namespaces, landlock = said.get("bubblewrap"), said.get("namespaces"), said.get("landlock")
        flags = ("seccomp", "no_new_privileges", "no_capabilities", "read_only_inputs", "limits", "parent_death")
        return cls(
            bubblewrap=bubblewrap[:40] if isinstance(bubblewrap, str) else "",
            namespaces=tuple(kind for kind in NAMESPACE_KINDS if isinstance(namespaces, list) and kind in namespaces),
            landlock=landlock if type(landlock) is int and 0 <= landlock < 1000 else 0,
            **{name: said.get(name) is True for name in flags},
        )


def require(layers: Layers, choice: str = AUTO) -> None:
    """Refuse to go on where an upload could reach the network or other files, or where bubblewrap is asked for.

    Raises:
        JobError: ``no_sandbox``, naming what is missing.
    """
    missing = []
    if choice == BUBBLEWRAP and not layers.bubblewrap:
        missing.append("bubblewrap, which ASSAY_SANDBOX asks for")
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
