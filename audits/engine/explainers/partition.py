"""Owen values over a hierarchy of features: exact where it is small, else by orders that respect it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, FloatArray, Task
from audits.engine.explainers.coalitions import Coalitions
from audits.engine.explainers.enumeration import enumerated
from audits.engine.explainers.hierarchy import Hierarchy
from audits.engine.explainers.orders import IndependentOrders, Orders
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters


@dataclass(frozen=True)
class PartitionParameters(PermutationParameters):
    """When to stop, and in what pieces to compute.

    Attributes:
        maximum_coalitions: the values are exact where the hierarchy allows no more coalitions than this.
    """

    maximum_coalitions: int = 4096

    def __post_init__(self) -> None:
        super().__post_init__()
        limit = self.maximum_coalitions
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise ValueError(f"`maximum_coalitions` is a whole number from 0 upwards, not {limit!r}.")


class PartitionExplainer(PermutationExplainer):
    """Owen values: Shapley values in which the features of every branch of a hierarchy join one after another.

    A Shapley value is the mean over all orders in which features may join. An Owen value is the mean over those orders
    in which the features of each branch stand together: an image is completed region by region and a text clause by
    clause, and correlated columns are not torn apart by others. The values add up to the score as Shapley
    values do, and the values of a branch add up to the value of that branch as one feature, whatever the tree below.

    Where the hierarchy allows few coalitions (``maximum_coalitions``), all of them are scored against every background
    row, and the values are exact. Otherwise orders that respect the hierarchy are drawn and walked with their reverse,
    which respects it too, one background row a pair, with the standard error and the stop of `PermutationExplainer`.
    Such orders cannot be shifted by half nor their features be placed freely, so that all of them are independent.
    No branch is left unexpanded: a value that is not known well has an error that says so.

    Sources: Owen, "Values of Games with a Priori Unions" (1977); Winter, "A Value for Cooperative Games with Levels
    Structure of Cooperation" (1989), for more than one level.
    """

    name = "partition"
    parameters = PartitionParameters
    settings: PartitionParameters
    estimand = "Owen values (Shapley values that respect a hierarchy)"

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        hierarchy = Hierarchy.of_task(task)
        consistent = coalitions_of(hierarchy, self.settings.maximum_coalitions)
        if consistent is not None:
            yield from enumerated(task, *consistent, first=first, hierarchy=hierarchy.linkage)
            return
        for part in super().parts(task, first=first):
            yield replace(part, hierarchy=hierarchy.linkage)

    def orders(self, task: Task, coalitions: Coalitions) -> Orders:  # noqa: ARG002 - scores decide nothing here
        return IndependentOrders(task, Hierarchy.of_task(task).draw)


def coalitions_of(hierarchy: Hierarchy, limit: int) -> tuple[NDArray[np.bool_], FloatArray] | None:
    """Return the coalitions that a hierarchy allows before and after a feature, and their weights in its value.

    On the way from the top to a feature each branch that is passed by has joined before or not, with the same chance.

    Returns:
        Masks of shape (coalitions, features) and weights of shape (features, coalitions), or None where there are more
        coalitions than ``limit``.
    """
    count = hierarchy.count
    if count > limit:
        return None
    members = hierarchy.members()
    before: dict[int, NDArray[np.bool_]] = {2 * count - 2: np.zeros((1, count), dtype=bool)}
    numbers: dict[bytes, int] = {}
    entries: list[tuple[int, int, float]] = []
    for node in range(2 * count - 2, -1, -1):
        contexts = before.pop(node)
        for masks in (contexts, contexts | members[node]):
            for mask in masks:
                numbers.setdefault(mask.tobytes(), len(numbers))
        if len(numbers) > limit:
            return None
        if node >= count:
            left, right = hierarchy.children[node - count]
            before[int(left)] = np.concatenate([contexts, contexts | members[right]])
            before[int(right)] = np.concatenate([contexts, contexts | members[left]])
        else:
            for mask in contexts:
                entries.append((node, numbers[(mask | members[node]).tobytes()], 1 / len(contexts)))
                entries.append((node, numbers[mask.tobytes()], -1 / len(contexts)))
    masks = np.frombuffer(b"".join(numbers), dtype=bool).reshape(len(numbers), count)
    weights = np.zeros((count, len(numbers)))
    for feature, coalition, weight in entries:
        weights[feature, coalition] += weight
    return masks, weights
