"""Membership by loss: known curves, known areas."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from audits.engine.attacks.membership import membership_by_loss


def test_losses_of_one_kind_tell_nothing() -> None:
    generator = np.random.default_rng(0)
    outcome = membership_by_loss(generator.exponential(size=2000), generator.exponential(size=2000))
    assert outcome.auc.value == pytest.approx(0.5, abs=0.03)
    assert outcome.auc.low is not None
    assert outcome.auc.high is not None
    assert outcome.auc.low < 0.5 < outcome.auc.high
    assert outcome.rate_at_low.value == pytest.approx(0.01, abs=0.01)


def test_members_with_no_loss_are_all_found() -> None:
    outcome = membership_by_loss(np.zeros(300), np.linspace(0.1, 1, 300))
    assert outcome.auc.value == 1
    assert outcome.advantage.value == 1
    assert outcome.rate_at_low.value == 1


def test_higher_losses_of_members_are_not_membership() -> None:
    outcome = membership_by_loss(np.linspace(0.1, 1, 300), np.zeros(300))
    assert outcome.auc.value == 0
    assert outcome.advantage.value == 0


def test_rates_by_hand_with_ties() -> None:
    """Members 1 1 2 4, others 1 3 3 5: at a threshold of 2 three members and one other are caught."""
    outcome = membership_by_loss(np.array([1.0, 1, 2, 4]), np.array([1.0, 3, 3, 5]), false_positive_rate=0.25)
    assert outcome.advantage.value == pytest.approx(3 / 4 - 1 / 4)
    assert outcome.rate_at_low.value == pytest.approx(3 / 4)
    assert outcome.true_positive_rates.tolist() == [0, 0.5, 0.75, 0.75, 1, 1]
    assert outcome.false_positive_rates.tolist() == [0, 0.25, 0.25, 0.75, 0.75, 1]
    # Pairs member < other: 12 of 16, ties count half: (3 + .5) + (3 + .5) + 3 + 1 = 11.
    assert outcome.auc.value == pytest.approx(11 / 16)


def test_the_area_is_that_of_scikit_learn_and_its_interval_covers_it() -> None:
    generator = np.random.default_rng(1)
    members, others = generator.gamma(1, size=400), generator.gamma(2, size=300)
    outcome = membership_by_loss(members, others)
    labels = np.concatenate([np.ones(400), np.zeros(300)])
    assert outcome.auc.value == pytest.approx(roc_auc_score(labels, -np.concatenate([members, others])))
    # The true area of Gamma(1) against Gamma(2) is 3/4.
    assert outcome.auc.low is not None
    assert outcome.auc.high is not None
    assert outcome.auc.low < 0.75 < outcome.auc.high
    assert outcome.auc.high - outcome.auc.low < 0.1
