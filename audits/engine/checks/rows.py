"""Rows of a data set as checks see them: what is computed on them is computed once, when it is first asked for."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from audits.engine.attacks.pgd import predicted_classes
from workers.datasets import arrays
from workers.datasets.schema import Schema
from workers.frameworks.base import Model
from workers.protocol import JobError

if TYPE_CHECKING:
    import pyarrow

Task = Literal["classification", "regression"]
FloatArray = NDArray[np.float64]


class Rows:
    """Selected rows of one data set under one model.

    Attributes:
        table: the rows, with all columns.
        numbers: the row number of each in the data set, shape (rows,).
        schema: of the data set.
    """

    def __init__(
        self, table: pyarrow.Table, numbers: NDArray[np.int64], *, schema: Schema, model: Model, task: Task
    ) -> None:
        self.table = table
        self.numbers = numbers
        self.schema = schema
        self._model = model
        self._task = task

    @property
    def count(self) -> int:
        return len(self.numbers)

    @cached_property
    def inputs(self) -> dict[str, NDArray[Any]]:
        """What the model gets, by input name."""
        return arrays.model_inputs(self.table, self.schema, self._model.signature)

    @cached_property
    def targets(self) -> NDArray[Any]:
        """Class numbers (int64), or values (float64) of a regression."""
        return arrays.targets(self.table, self.schema, self._model.signature, self._task)

    @cached_property
    def logits(self) -> FloatArray:
        """The scores of the model, shape (rows, outputs).

        Raises:
            JobError: ``score_not_finite`` with the first row, when a score is not a number.
        """
        scores = np.asarray(self._model.logits(self.inputs), dtype=np.float64).reshape(self.count, -1)
        broken = np.flatnonzero(~np.isfinite(scores).all(axis=1))
        if len(broken):
            raise JobError(
                "score_not_finite",
                f"The model gives a score that is not a number for {len(broken):,} of {self.count:,} rows, first for "
                f"row {self.numbers[broken[0]]}; look for missing or extreme values there.",
                place=f"row {self.numbers[broken[0]]}",
            )
        return scores

    @cached_property
    def predicted(self) -> NDArray[np.intp]:
        """The class of each row."""
        return predicted_classes(self.logits)

    @cached_property
    def is_right(self) -> NDArray[np.bool_]:
        """Whether each row is given its class."""
        return np.asarray(self.predicted == self.targets, dtype=np.bool_)

    @cached_property
    def probabilities(self) -> FloatArray:
        """The probability of each class, shape (rows, classes); a single score gives two columns."""
        if self.logits.shape[1] == 1:
            positive = 1 / (1 + np.exp(-np.clip(self.logits[:, 0], -700, 700)))
            return np.stack([1 - positive, positive], axis=1)
        shifted = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))

    @cached_property
    def losses(self) -> FloatArray:
        """Cross-entropy of each row from its scores, or its squared error in a regression."""
        if self._task == "regression":
            return np.asarray(((self.logits - self.targets.reshape(self.count, -1)) ** 2).sum(axis=1))
        if self.logits.shape[1] == 1:
            return np.logaddexp(0, np.where(self.targets == 1, -1.0, 1.0) * self.logits[:, 0])
        highest = self.logits.max(axis=1)
        total = highest + np.log(np.exp(self.logits - highest[:, None]).sum(axis=1))
        return np.asarray(total - self.logits[np.arange(self.count), self.targets])
