"""Membership inference by loss threshold: was a row in the training data?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.statistics import difference_of_shares
from workers.statistics import Interval, area_under_curve, wilson

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class MembershipOutcome:
    """How well the loss tells members from others.

    Attributes:
        auc: area under the ROC curve; 0.5 is guessing.
        advantage: the largest true minus false positive rate, over thresholds.
        rate_at_low: the true positive rate at a false positive rate of at most the one asked for.
        false_positive_rates, true_positive_rates: the ROC curve, from (0, 0) to (1, 1).
    """

    auc: Interval
    advantage: Interval
    rate_at_low: Interval
    false_positive_rates: FloatArray
    true_positive_rates: FloatArray


def membership_by_loss(
    members: FloatArray, others: FloatArray, *, false_positive_rate: float = 0.01
) -> MembershipOutcome:
    """Call a row a member when its loss is at most a threshold, for every threshold.

    Args:
        members, others: the loss of each row, shapes (members,) and (others,).

    Source: Yeom, Giacomelli, Fredrikson, Jha, "Privacy Risk in Machine Learning: Analyzing the Connection to
    Overfitting", CSF 2018; true positives at low false positive rates after Carlini et al., "Membership Inference
    Attacks From First Principles", S&P 2022.
    """
    thresholds = np.unique(np.concatenate([members, others]))
    caught = np.searchsorted(np.sort(members), thresholds, side="right")
    mistaken = np.searchsorted(np.sort(others), thresholds, side="right")
    caught, mistaken = np.concatenate([[0], caught]), np.concatenate([[0], mistaken])
    gain = caught / len(members) - mistaken / len(others)
    best = int(gain.argmax())
    low = int(np.flatnonzero(mistaken <= false_positive_rate * len(others))[-1])
    return MembershipOutcome(
        auc=area_under_curve(-members, -others),
        advantage=difference_of_shares(int(caught[best]), len(members), int(mistaken[best]), len(others)),
        rate_at_low=wilson(int(caught[low]), len(members)),
        false_positive_rates=mistaken / len(others),
        true_positive_rates=caught / len(members),
    )
