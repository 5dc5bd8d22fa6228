"""``manage.py worker`` on a machine with GPUs, and on one without: what it says before it takes a job."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from governance.management.commands.worker import Command
from tests.workers.driver_trees import four_cards, plant
from workers.sandbox import Driver


def work(driver: Driver, devices: str) -> str:
    """Run a worker until the queue is empty, and return what it said on standard error."""
    command, said = Command(), StringIO()
    command.driver = driver
    call_command(command, devices=devices, until_idle=True, stdout=StringIO(), stderr=said)
    return said.getvalue()


def test_a_worker_does_not_start_where_its_cards_cannot_be_told(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="there are 2 cards, and the driver describes none"):
        work(plant(tmp_path, {}, device_files=2), "cpu,cuda:0")


def test_a_worker_does_not_start_for_a_card_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no cuda:4 here: this machine has cuda:0, cuda:1"):
        work(plant(tmp_path, four_cards()), "cuda:1,cuda:4")


@pytest.mark.django_db(transaction=True)
def test_a_machine_without_a_card_is_told_to_whoever_offers_one(tmp_path: Path) -> None:
    none = Driver(state=tmp_path, device_folder=tmp_path)
    assert "what computes on a GPU will find none" in work(none, "cuda:0")
    assert work(none, "cpu") == ""
    assert work(plant(tmp_path / "four", four_cards()), "cpu,cuda:0") == ""
