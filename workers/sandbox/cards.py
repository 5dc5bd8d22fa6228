"""Which device files belong to the GPUs that a job is assigned, and by which names CUDA finds those and no others.

Three orders have to agree: Assay and CUDA count cards by PCI address (``CUDA_DEVICE_ORDER=PCI_BUS_ID``), the driver
numbers device files as it comes across the cards, and CUDA, before it counts, leaves out the cards that it cannot open.
So a job is told its cards by UUID, which means the same in each of them, and sees them as ``cuda:0``, ``cuda:1`` and so
on in the order in which they were assigned.

Source: NVIDIA's driver (``kernel-open/nvidia/nv-procfs.c``), CUDA programming guide, "CUDA environment variables".
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from workers.protocol import JobError, Json

#: What CUDA talks to beside the cards themselves; a machine may lack some of it.
_CONTROL_FILES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools")

_DEVICE_FILE = re.compile(r"nvidia(0|[1-9][0-9]{0,2})")
_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,5}")
_UUID = re.compile(r"GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
#: What the driver writes of a card that nothing has opened yet.
_UUID_TO_COME = re.compile(r"GPU-[?]{8}(-[?]{4}){3}-[?]{12}")

#: The driver tells a card in less than one kibibyte.
_MOST_CHARACTERS = 64 * 1024


@dataclass(frozen=True)
class Card:
    """One GPU.

    Attributes:
        device: what Assay calls it on this machine: ``cuda:1``.
        device_file: what opens it.
        name: what CUDA calls it for a job that can open no other: its UUID, or ``0`` for the only card there is.
        address: where it is on the PCI bus; empty where the driver does not say.
        capability_files: what else opens its instances where it is divided (MIG).
    """

    device: str
    device_file: str
    name: str
    address: str = ""
    capability_files: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, document: Json) -> Card:
        return cls(**{**document, "capability_files": tuple(document["capability_files"])})


@dataclass(frozen=True)
class _Information:
    """What the driver says about one card."""

    address: str
    minor: int
    uuid: str
    is_excluded: bool


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver as a machine shows it.

    Attributes:
        state: the folder in which it describes itself and the cards.
        device_folder: where the device files are.
    """

    state: Path = Path("/proc/driver/nvidia")
    device_folder: Path = Path("/dev")

    def cards(self) -> list[Card]:
        """Return the cards that this process may open, as CUDA counts them; none on a machine without.

        A card of which the driver does not tell the UUID yet has no name, unless it is the only one.

        Raises:
            JobError: ``cards_unknown``: which device file is which card cannot be told.
        """
        known = self._described()
        if not known:
            return self._undescribed()
        usable = [card for card in known if not card.is_excluded and _may_be_opened(self._device_file(card.minor))]
        return [
            Card(
                device=f"cuda:{number}",
                device_file=str(self._device_file(card.minor)),
                name=card.uuid or ("0" if len(usable) == 1 else ""),
                address=card.address,
                capability_files=self._capability_files(card.minor),
            )
            for number, card in enumerate(usable)
        ]

    def assigned(self, devices: Iterable[str]) -> tuple[Card, ...]:
        """Return the cards among the devices of a job (``cpu``, ``cuda:1``), in their order.

        A machine without any card gives none: what computes then says that it finds no device.

        Raises:
            JobError: ``cards_unknown`` as above, or ``device_missing``: the machine has cards, but not this one.
        """
        wanted = [device for device in devices if device.startswith("cuda")]
        cards = {card.device: card for card in self.cards()} if wanted else {}
        if not cards:
            return ()
        return tuple(_found(device, cards) for device in wanted)

    def device_files(self, cards: Iterable[Card]) -> list[str]:
        """Return the device files that a job on these cards opens, and none of another card; none without a card."""
        own = [file for card in cards for file in (card.device_file, *card.capability_files)]
        return [*(str(self.device_folder / name) for name in _CONTROL_FILES), *own] if own else []

    def _device_file(self, minor: int) -> Path:
        return self.device_folder / f"nvidia{minor}"

    def _described(self) -> list[_Information]:
        """Return what the driver says about every card, in the order of their addresses."""
        folders = _entries(self.state / "gpus")
        found = sorted((_read_information(folder) for folder in folders), key=lambda card: _position(card.address))
        for told in ("minor", "uuid"):
            values = [value for card in found if (value := getattr(card, told)) != ""]
            if len(set(values)) < len(values):
                raise _unknown(f"two cards have the same {told}", self.state / "gpus")
        return found

    def _undescribed(self) -> list[Card]:
        """Return the only card of a machine on which the driver describes none, as in some containers."""
        files = [path for path in _entries(self.device_folder) if _DEVICE_FILE.fullmatch(path.name)]
        files = [path for path in files if _may_be_opened(path)]
        if len(files) > 1:
            raise _unknown(f"there are {len(files)} cards, and the driver describes none", self.state / "gpus")
        return [Card(device="cuda:0", device_file=str(path), name="0") for path in files]

    def _capability_files(self, minor: int) -> tuple[str, ...]:
        instances = self.state / "capabilities" / f"gpu{minor}" / "mig"
        found = sorted([*instances.glob("gi*/access"), *instances.glob("gi*/ci*/access")])
        numbers = [_number(_read(path), "DeviceFileMinor", path) for path in found]
        return tuple(str(self.device_folder / "nvidia-caps" / f"nvidia-cap{number}") for number in numbers)


def _found(device: str, cards: dict[str, Card]) -> Card:
    card = cards.get(device)
    if card is None:
        detail = f"There is no {device} here: this machine has {', '.join(cards)}."
        raise JobError("device_missing", detail, place=device)
    if not card.name:
        raise JobError(
            "cards_unknown",
            f"The driver does not tell the UUID of {card.device_file} before somebody opens the card, and without it a "
            "job cannot be kept to this one of several cards. Run nvidia-persistenced, or nvidia-smi once.",
            place=device,
        )
    return card


def _read_information(folder: Path) -> _Information:
    if not _ADDRESS.fullmatch(folder.name):
        raise _unknown(f"{folder.name!r} is no PCI address", folder)
    path = folder / "information"
    lines = _read(path)
    uuid = _fact(lines, "GPU UUID", path)
    if not _UUID.fullmatch(uuid) and not _UUID_TO_COME.fullmatch(uuid):
        raise _unknown(f"{uuid!r} is no UUID", path)
    return _Information(
        address=folder.name.lower(),
        minor=_number(lines, "Device Minor", path),
        uuid=uuid if _UUID.fullmatch(uuid) else "",
        # Drivers before 460 called it so.
        is_excluded="Yes" in (_fact(lines, "GPU Excluded", path, "No"), _fact(lines, "Blacklisted", path, "No")),
    )


def _read(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8", errors="replace") as stream:
            return stream.read(_MOST_CHARACTERS).splitlines()
    except OSError as error:
        raise _unknown(f"it cannot be read ({error.strerror})", path) from error


def _fact(lines: Iterable[str], name: str, path: Path, otherwise: str | None = None) -> str:
    """Return what stands behind a name and a colon; it may stand there once."""
    values = [value.strip() for key, _, value in (line.partition(":") for line in lines) if key.strip() == name]
    if not values and otherwise is not None:
        return otherwise
    if len(values) != 1:
        raise _unknown(f"it has {len(values)} lines {name!r}, where one is right", path)
    return values[0]


def _number(lines: Iterable[str], name: str, path: Path) -> int:
    value = _fact(lines, name, path)
    if not _NUMBER.fullmatch(value):
        raise _unknown(f"{name!r} is {value!r}, which is no number of a device file", path)
    return int(value)


def _position(address: str) -> list[int]:
    return [int(part, 16) for part in re.split("[:.]", address)]


def _may_be_opened(path: Path) -> bool:
    """Tell whether a device file is there for this process; it is not opened, which would wake the card."""
    return not path.is_symlink() and not path.is_dir() and os.access(path, os.R_OK | os.W_OK)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _unknown(f"it cannot be looked into ({error.strerror})", folder) from error


def _unknown(why: str, path: Path) -> JobError:
    detail = f"Which device file is which card cannot be told, so no job on a GPU starts here: {why}, at {path}."
    return JobError("cards_unknown", detail, place=str(path))
