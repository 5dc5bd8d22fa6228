"""Two standard errors hold the truth in 90 to 98 % of values, and rows keep their tolerance, whatever the model."""

from __future__ import annotations

import numpy as np
import pytest

from audits.engine.explainers.stopping import BEYOND, are_settled
from tests.audits.engine.coverage import BACKGROUNDS, CASES, METHODS, measured


@pytest.mark.parametrize("background_count", BACKGROUNDS)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", METHODS)
def test_the_stated_errors_and_the_tolerance_are_kept(method: str, case: str, background_count: int) -> None:
    found = measured(method, case, background_count)
    assert found.estimated >= 500
    assert 0.90 <= found.inside <= 0.98
    assert found.kept >= 0.95


def test_a_row_of_many_values_is_settled_later_than_a_row_of_one() -> None:
    """Of 400 values just within two errors of the tolerance, about twenty are beyond it."""
    one, many = np.ones((1, 1, 1)), np.ones((1, 400, 1))
    assert are_settled(one, one / 46, 0.05, 1000).all()
    assert not are_settled(many, many / 46, 0.05, 1000).any()
    assert are_settled(many, many / 90, 0.05, 1000).all()


def test_an_error_with_little_behind_it_has_to_be_smaller() -> None:
    values = np.ones((1, 1, 1))
    assert are_settled(values, values / 46, 0.05, 1000).all()
    assert not are_settled(values, values / 46, 0.05, 3).any()


def test_a_tolerance_of_nothing_is_kept_by_exact_values_only() -> None:
    values = np.ones((2, 3, 1))
    errors = np.zeros((2, 3, 1))
    errors[1, 0] = 1e-12
    assert are_settled(values, errors, 0.0, 100).tolist() == [True, False]


def test_half_of_one_row_in_twenty_may_be_beyond() -> None:
    assert BEYOND == 0.025
