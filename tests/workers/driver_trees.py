"""A made-up NVIDIA driver: what it says of its cards, and ordinary files that stand for the device files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workers.sandbox import Driver

CONTROL_FILES = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")

#: Four cards, of which the driver came across the last one first.
ADDRESSES = ("0000:17:00.0", "0000:65:00.0", "0000:ca:00.0", "0001:03:00.0")
MINORS = (1, 2, 3, 0)

#: What the driver writes of a card that nothing has opened yet.
UUID_TO_COME = "GPU-????????-????-????-????-????????????"


def uuid(number: int) -> str:
    """Return the UUID of the card that CUDA counts as so many."""
    return f"GPU-0000000{number}-1111-2222-3333-444444444444"


def information(minor: object, card_uuid: str, excluded: str = "No") -> str:
    """Return what the driver says of a card, as ``kernel-open/nvidia/nv-procfs.c`` writes it."""
    return (
        "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 226\n"
        f"GPU UUID: \t {card_uuid}\nVideo BIOS: \t 96.00.5e.00.01\nBus Type: \t PCIe\n"
        f"DMA Size: \t 52 bits\nDMA Mask: \t 0xfffffffffffff\nBus Location: \t elsewhere\n"
        f"Device Minor: \t {minor}\nGPU Firmware: \t 550.54.15\nGPU Excluded:\t {excluded}\n"
    )


def four_cards() -> dict[str, str]:
    """Return what a driver says of four cards, by address."""
    return {
        address: information(minor, uuid(number))
        for number, (address, minor) in enumerate(zip(ADDRESSES, MINORS, strict=True))
    }


def plant(folder: Path, told: Mapping[str, str], *, device_files: int = 4) -> Driver:
    """Make the folders of a driver that tells this of its cards, and stand-ins for their device files."""
    for address, text in told.items():
        (folder / "state" / "gpus" / address).mkdir(parents=True)
        (folder / "state" / "gpus" / address / "information").write_text(text)
    (folder / "dev").mkdir(parents=True)
    for name in (*CONTROL_FILES, *(f"nvidia{minor}" for minor in range(device_files))):
        (folder / "dev" / name).write_text(name)
    return Driver(state=folder / "state", device_folder=folder / "dev")


def divide(driver: Driver, minor: int, capabilities: Mapping[str, object]) -> None:
    """Divide a card: ``{"gi1": 12, "gi1/ci0": 13}`` are its instances and the numbers of their capability files."""
    for name, number in capabilities.items():
        folder = driver.state / "capabilities" / f"gpu{minor}" / "mig" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "access").write_text(f"DeviceFileMinor: {number}\nDeviceFileMode: 292\nDeviceFileModify: 1\n")
