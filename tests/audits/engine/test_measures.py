"""The catalogue of measures: one bound each, and a request may be stricter and never looser."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import fields
from typing import Any

import pytest

from audits.engine.measures import MEASURES, Bounds, BoundsError


def test_each_measure_has_a_bound_and_each_bound_its_measure() -> None:
    assert [entry.name for entry in fields(Bounds)] == list(MEASURES)
    for entry in MEASURES.values():
        assert entry.title[0].isupper()
        assert entry.advice.endswith(".")


def test_the_control_half_reads_it_without_numpy() -> None:
    code = "import sys; from audits.engine import measures, methods; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_is_not_said_has_its_default() -> None:
    bounds = Bounds.from_json({"stability": 0.1, "agreement": None})
    assert (bounds.stability, bounds.agreement, bounds.faithfulness) == (0.1, None, Bounds().faithfulness)


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"trust": 1}, "unknown_bound"),
        ({"stability": -1}, "bound_out_of_range"),
        ({"stability": "low"}, "bound_out_of_range"),
        ({"stability": True}, "bound_out_of_range"),
        ({"stability": float("nan")}, "bound_out_of_range"),
        ({"stability": float("inf")}, "bound_out_of_range"),
        ([0.1], "bound_out_of_range"),
        ("stability", "bound_out_of_range"),
    ],
)
def test_bounds_that_mean_nothing_are_refused(asked: Any, code: str) -> None:
    for read in (Bounds.from_json, Bounds().tightened):
        with pytest.raises(BoundsError) as caught:
            read(asked)
        assert caught.value.code == code


@pytest.mark.parametrize("asked", [{"stability": 0.05}, {"stability": 0.2}, {"faithfulness": 0.9}, {"complexity": 5}])
def test_stricter_bounds_are_taken(asked: dict[str, float]) -> None:
    tightened = Bounds().tightened(asked).to_json()
    assert tightened == {**Bounds().to_json(), **asked}


@pytest.mark.parametrize("asked", [{"stability": 0.3}, {"faithfulness": 0.1}, {"stability": None}])
def test_looser_bounds_are_refused_by_name(asked: dict[str, Any]) -> None:
    with pytest.raises(BoundsError, match="a request may be stricter, not looser") as caught:
        Bounds().tightened(asked)
    assert (caught.value.code, caught.value.place) == ("bound_loosened", next(iter(asked)))
