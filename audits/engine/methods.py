"""Which methods of explanation are built in: what each one estimates, and what its values do not mean.

Standard library only: the control half shows them, the methods themselves are in `audits.engine.explainers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class MethodEntry:
    """One method as people choose it.

    Attributes:
        title: its name in a form.
        estimates: what its values are, in a sentence.
        caution: what they are not, in a sentence; empty where what holds for all explanations says enough.
        is_additive: whether base and values add up to the output by construction.
        budgets: which of `BUDGETS` it may be given.
    """

    title: str
    estimates: str
    caution: str = ""
    is_additive: bool = True
    budgets: tuple[str, ...] = ()


@dataclass(frozen=True)
class BudgetEntry:
    """How far a method may go for one row, which is given up on, with its true error, where that is not enough.

    Attributes:
        title: its name in a form.
        least, most: what may be asked for. A design of more coalitions would not fit the memory of a job.
    """

    title: str
    least: int
    most: int


BUDGETS: Mapping[str, BudgetEntry] = {
    "maximum_coalitions": BudgetEntry("coalitions of a row", 2, 16_384),
    "maximum_sweeps": BudgetEntry("sweeps over the background", 1, 256),
}

METHODS: Mapping[str, MethodEntry] = {
    "permutation": MethodEntry(
        "Permutations",
        "Shapley values by antithetic permutations, each with its error.",
        budgets=("maximum_sweeps",),
    ),
    "exact": MethodEntry(
        "Exact",
        "Shapley values by all coalitions, without error; for up to 12 features or groups.",
    ),
    "kernel": MethodEntry(
        "Kernel regression",
        "Shapley values by weighted regression on sampled coalitions, each with its error.",
        budgets=("maximum_coalitions",),
    ),
    "expected_gradients": MethodEntry(
        "Expected gradients",
        "Mean gradients on paths from the background to the row, each with its error.",
        "These are not Shapley values: where features interact they share the effect in another way, and base and "
        "values add up to the output within their error only.",
        is_additive=False,
        budgets=("maximum_sweeps",),
    ),
    "deeplift": MethodEntry(
        "DeepLIFT",
        "Contributions by the rescale rule, layer by layer, for models of which every layer is supported.",
        "These are not Shapley values: they add up to the output, but how it is shared among interacting features "
        "follows from how the network is built: two networks that always answer alike can be given different values.",
    ),
    "partition": MethodEntry(
        "Partition",
        "Owen values over a hierarchy of features, each with its error; for images and texts.",
        "These are Owen values: features join branch by branch of the hierarchy that is shown, and another hierarchy "
        "gives other values.",
        budgets=("maximum_coalitions", "maximum_sweeps"),
    ),
}
