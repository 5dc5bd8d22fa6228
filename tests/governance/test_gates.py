"""Every gate that settings name is asked, and an error is not a pass."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from governance import gates
from tests.governance import gates as sample


def test_reasons_of_every_gate_come_back_in_order(settings):
    settings.GOVERNANCE_GATES = {"training": ["tests.governance.gates.opens", "tests.governance.gates.closes"]}
    sample.asked.clear()

    assert gates.ask("training", version="v", dataset="d") == ["The sky is grey.", "It is Monday."]
    assert sample.asked == [{"version": "v", "dataset": "d"}]


def test_a_gate_that_settings_do_not_list_is_an_error(settings):
    settings.GOVERNANCE_GATES = {}

    with pytest.raises(ImproperlyConfigured, match="training"):
        gates.ask("training")


@pytest.mark.parametrize(("gate", "error"), [("breaks", RuntimeError), ("says_yes", TypeError)])
def test_a_gate_that_breaks_or_answers_otherwise_lets_nothing_through(settings, gate, error):
    settings.GOVERNANCE_GATES = {"training": [f"tests.governance.gates.{gate}"]}

    with pytest.raises(error):
        gates.ask("training")


def test_a_gate_that_does_not_exist_is_told_at_start(settings):
    settings.GOVERNANCE_GATES = {"training": ["validators.gates.no_such_gate"]}

    (problem,) = gates.gates_can_be_asked(None)

    assert problem.id == "governance.E001"
    assert "no_such_gate" in problem.msg


def test_the_gates_of_the_installation_exist():
    assert gates.gates_can_be_asked(None) == []
