"""A job on a GPU: which device files it gets, by which name CUDA finds its cards, and what is refused as not clear."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.workers.child_folders import CHECKOUT, WAYS, finish, lay
from tests.workers.driver_trees import ADDRESSES, UUID_TO_COME, divide, four_cards, information, plant, uuid
from workers import sandbox
from workers.__main__ import _surroundings
from workers.executors.local import LocalExecutor
from workers.protocol import JobError, JobSpec, Result
from workers.sandbox import Driver, bubblewrap


def names(driver: Driver, *devices: str) -> list[str]:
    """Return the names of the device files that a job on these devices gets."""
    return [str(Path(file).relative_to(driver.device_folder)) for file in driver.device_files(driver.assigned(devices))]


def refusal(driver: Driver, *devices: str) -> JobError:
    with pytest.raises(JobError) as refused:
        driver.assigned(devices)
    return refused.value


@pytest.mark.parametrize(
    ("devices", "files"),
    [
        (["cpu"], []),
        (["cuda:0"], ["nvidia1"]),
        (["cuda:1"], ["nvidia2"]),
        (["cuda:3"], ["nvidia0"]),
        (["cuda:3", "cuda:0"], ["nvidia0", "nvidia1"]),
    ],
)
def test_a_job_gets_the_files_of_its_cards_and_no_others(devices: list[str], files: list[str], tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    control = ["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools"] if files else []
    assert names(driver, *devices) == [*control, *files]
    cards = driver.assigned(devices)
    assert [card.name for card in cards] == [uuid(int(device[-1])) for device in devices if device != "cpu"]
    assert [card.address for card in cards] == [ADDRESSES[int(device[-1])] for device in devices if device != "cpu"]


def test_addresses_are_counted_as_numbers(tmp_path: Path) -> None:
    told = {"0000:ff:00.0": information(0, uuid(0)), "10000:01:00.0": information(1, uuid(1))}
    assert [card.name for card in plant(tmp_path, told).cards()] == [uuid(0), uuid(1)]


def test_what_cuda_cannot_see_is_not_counted(tmp_path: Path) -> None:
    told = four_cards() | {ADDRESSES[0]: information(1, uuid(0), excluded="Yes")}
    driver = plant(tmp_path, told)
    (driver.device_folder / "nvidia2").unlink()
    (driver.device_folder / "nvidia3").unlink()
    (driver.device_folder / "nvidia3").symlink_to("nvidia0")
    assert [(card.device, card.name) for card in driver.cards()] == [("cuda:0", uuid(3))]


def test_a_divided_card_brings_the_files_of_its_own_instances(tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    divide(driver, 1, {"gi1": 12, "gi1/ci0": 13})
    divide(driver, 2, {"gi1": 39, "gi1/ci0": 40})
    assert names(driver, "cuda:0")[3:] == ["nvidia1", "nvidia-caps/nvidia-cap12", "nvidia-caps/nvidia-cap13"]
    assert names(driver, "cuda:2")[3:] == ["nvidia3"]


def test_a_capability_that_is_no_number_is_refused(tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    divide(driver, 1, {"gi1": "../../sda"})
    assert refusal(driver, "cuda:0").code == "cards_unknown"


def test_a_machine_without_cards_gives_none(tmp_path: Path) -> None:
    empty = Driver(state=tmp_path / "state", device_folder=tmp_path)
    assert empty.assigned(["cuda:0"]) == ()
    assert empty.device_files(()) == []
    # As in a container that sees the driver of its host and is given no card.
    assert plant(tmp_path / "host", four_cards(), device_files=0).cards() == []


def test_a_card_that_is_not_there_is_told(tmp_path: Path) -> None:
    told = refusal(plant(tmp_path, four_cards()), "cuda:4")
    assert told.code == "device_missing"
    assert "no cuda:4 here: this machine has cuda:0, cuda:1, cuda:2, cuda:3" in told.detail


def test_the_only_card_needs_no_description(tmp_path: Path) -> None:
    (card,) = plant(tmp_path, {}, device_files=1).cards()
    assert (card.device, card.name, Path(card.device_file).name, card.address) == ("cuda:0", "0", "nvidia0", "")


def test_several_cards_without_a_description_are_refused(tmp_path: Path) -> None:
    told = refusal(plant(tmp_path, {}, device_files=2), "cuda:0")
    assert told.code == "cards_unknown"
    assert "there are 2 cards, and the driver describes none" in told.detail


def test_a_uuid_that_the_driver_does_not_know_yet_matters_among_several_cards_only(tmp_path: Path) -> None:
    told = four_cards() | {ADDRESSES[1]: information(2, UUID_TO_COME), ADDRESSES[2]: information(3, UUID_TO_COME)}
    several = plant(tmp_path / "several", told)
    assert "Run nvidia-persistenced" in refusal(several, "cuda:1").detail
    assert [card.name for card in several.assigned(["cuda:0"])] == [uuid(0)]
    one = plant(tmp_path / "one", {ADDRESSES[0]: information(0, UUID_TO_COME)})
    assert [card.name for card in one.assigned(["cuda:0"])] == ["0"]


ODD_TREES = {
    "an address that is none": lambda told: told | {"0000:17:00": information(7, uuid(7))},
    "a folder beside": lambda told: told | {"..data": information(7, uuid(7))},
    "an empty description": lambda told: told | {ADDRESSES[0]: ""},
    "no minor": lambda told: told | {ADDRESSES[0]: information(1, uuid(0)).replace("Device Minor", "Minor")},
    "two minors": lambda told: told | {ADDRESSES[0]: information(1, uuid(0)) + "Device Minor: \t 2\n"},
    "a negative minor": lambda told: told | {ADDRESSES[0]: information(-1, uuid(0))},
    "a minor that is a path": lambda told: told | {ADDRESSES[0]: information("0/../sda", uuid(0))},
    "a minor in other digits": lambda told: told | {ADDRESSES[0]: information("١", uuid(0))},
    "a minor of two cards": lambda told: told | {ADDRESSES[0]: information(2, uuid(0))},
    "a UUID of two cards": lambda told: told | {ADDRESSES[0]: information(1, uuid(1))},
    "two UUIDs in one": lambda told: told | {ADDRESSES[0]: information(1, f"{uuid(0)},{uuid(1)}")},
    "no UUID": lambda told: told | {ADDRESSES[0]: information(1, "")},
    "a UUID that is a number": lambda told: told | {ADDRESSES[0]: information(1, "0")},
}


@pytest.mark.parametrize("bend", ODD_TREES.values(), ids=ODD_TREES)
def test_an_odd_description_of_one_card_refuses_them_all(
    bend: Callable[[dict[str, str]], dict[str, str]], tmp_path: Path
) -> None:
    driver = plant(tmp_path, bend(four_cards()))
    assert refusal(driver, "cuda:3").code == "cards_unknown"
    assert driver.assigned(["cpu"]) == ()


def test_a_description_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    (driver.state / "gpus" / ADDRESSES[0] / "information").unlink()
    (driver.state / "gpus" / ADDRESSES[0] / "information").mkdir()
    assert "it cannot be read" in refusal(driver, "cuda:3").detail


# -------------------------------------------------------------------------------------------------- in the sandbox
@pytest.mark.parametrize("number", [0, 3])
def test_landlock_lets_a_job_open_its_own_card_alone(number: int, tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    (tmp_path / "job").mkdir()
    code = f"""
import json
from pathlib import Path
from workers.sandbox import files, kernel
assert kernel.give_up_new_privileges()
allowed = {driver.device_files(driver.assigned([f"cuda:{number}"]))!r}
assert files.restrict(folder=Path({str(tmp_path / "job")!r}), packages=[], devices=allowed)
opened = []
for name in ("nvidiactl", "nvidia-uvm", "nvidia-modeset", "nvidia0", "nvidia1", "nvidia2", "nvidia3"):
    try:
        (Path({str(driver.device_folder)!r}) / name).open("r+b").close()
        opened.append(name)
    except PermissionError:
        pass
print(json.dumps(opened))
"""
    ended = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=CHECKOUT)
    assert json.loads(ended.stdout) == ["nvidiactl", "nvidia-uvm", {0: "nvidia1", 3: "nvidia0"}[number]]


@pytest.mark.bubblewrap
def test_bubblewrap_shows_the_device_files_that_it_is_given(tmp_path: Path) -> None:
    command = bubblewrap.command(["program"], folder=tmp_path, packages=[], devices=["/dev/nvidia1"])
    bound = [command[at + 1] for at, word in enumerate(command) if word == "--dev-bind-try"]
    assert "/dev/nvidia1" in bound
    assert not {"/dev/zero", "/dev/nvidia0"} & set(bound)


@pytest.mark.parametrize("choice", WAYS)
def test_a_dispatched_job_opens_and_names_its_own_cards_alone(choice: str, tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    # What a job is told it has is counted from 0; which cards of the machine those are, its worker decides.
    spec = lay(tmp_path / "job", "open_cards", devices=["cuda:0", "cuda:1"], device_folder=str(driver.device_folder))
    execution = LocalExecutor(runner_packages=["tests.faults"], choice=choice, driver=driver).start(
        spec, tmp_path / "job", ["cuda:3", "cuda:1"]
    )
    finish(execution)
    result = Result.read(tmp_path / "job")
    assert result.value is not None, result.error
    assert result.value["opened"] == ["nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidia2", "nvidiactl"]
    assert result.value["visible"] == f"{uuid(3)},{uuid(1)}"
    assert result.environment["cards"] == {
        "cuda:0": {
            "on this machine": "cuda:3",
            "name": uuid(3),
            "address": ADDRESSES[3],
            "file": str(driver.device_folder / "nvidia0"),
        },
        "cuda:1": {
            "on this machine": "cuda:1",
            "name": uuid(1),
            "address": ADDRESSES[1],
            "file": str(driver.device_folder / "nvidia2"),
        },
    }
    assert [card.device for card in execution.cards] == ["cuda:3", "cuda:1"]


def test_a_job_on_a_cpu_opens_no_card(tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    spec = lay(tmp_path / "job", "open_cards", device_folder=str(driver.device_folder))
    execution = LocalExecutor(runner_packages=["tests.faults"], choice=sandbox.NAMESPACES, driver=driver).start(
        spec, tmp_path / "job", ["cpu"]
    )
    finish(execution)
    result = Result.read(tmp_path / "job")
    assert result.value is not None, result.error
    assert (result.value["opened"], result.value["visible"]) == ([], "")
    assert "cards" not in result.environment


def test_nothing_starts_where_the_cards_cannot_be_told(tmp_path: Path) -> None:
    driver = plant(tmp_path, {}, device_files=2)
    spec = lay(tmp_path / "job", devices=["cuda:0"])
    with pytest.raises(JobError, match="no job on a GPU starts here"):
        LocalExecutor(driver=driver).start(spec, tmp_path / "job", ["cuda:0"])
    assert not (tmp_path / "job" / "log.txt").exists()


def test_a_job_by_hand_gets_the_first_cards_of_the_machine(tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    spec = JobSpec(kind="k", runner="r", job_id=1, attempt=1, devices=("cuda:0", "cuda:1"))
    around = _surroundings(None, spec, driver)
    assert [card.name for card in around.cards] == [uuid(0), uuid(1)]
    assert list(around.device_files) == driver.device_files(around.cards)
    with pytest.raises(JobError, match="no cuda:1 here: this machine has cuda:0"):
        _surroundings(None, spec, plant(tmp_path / "one", {ADDRESSES[0]: information(0, uuid(0))}))


def test_surroundings_travel_as_json(tmp_path: Path) -> None:
    driver = plant(tmp_path, four_cards())
    divide(driver, 1, {"gi1": 12})
    cards = driver.assigned(["cuda:0"])
    around = sandbox.Surroundings(cards=cards, device_files=tuple(driver.device_files(cards)))
    assert sandbox.Surroundings.from_json(json.loads(json.dumps(around.to_json()))) == around


def test_a_spec_knows_whether_it_uses_a_gpu() -> None:
    spec = {"kind": "k", "runner": "r", "job_id": 1, "attempt": 1}
    assert JobSpec(**spec, devices=("cuda:0",)).uses_gpu
    assert not JobSpec(**spec).uses_gpu
