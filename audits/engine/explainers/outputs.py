"""What a model's outputs are called, in which unit their attributions are, and which one a row is shown by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import FloatArray
from workers.frameworks.coalitions import Scale
from workers.signature import Signature


@dataclass(frozen=True)
class OutputWords:
    """The words for the outputs of one model: ``count`` scores a row on one scale."""

    signature: Signature
    count: int
    scale: Scale

    @property
    def has_classes(self) -> bool:
        return self.signature.output.class_count > 0

    @property
    def is_single_score(self) -> bool:
        """Tell whether one score stands for two classes: the log-odds, or probability, of the second."""
        return self.has_classes and self.count == 1

    def label(self, number: int) -> str:
        """Return the label of a class."""
        classes = self.signature.output.classes
        return classes[number] if classes else str(number)

    def name(self, output: int) -> str:
        """Return what one output speaks for: a class, or the value it is."""
        if self.is_single_score:
            return self.label(1)
        if self.has_classes:
            return self.label(output)
        name = self.signature.output.name
        return name if self.count == 1 else f"{name}[{output}]"

    def unit(self, output: int) -> str:
        """Return the unit of one output's attributions."""
        if not self.has_classes:
            return self.name(output)
        if self.scale == "probabilities":
            return f"probability of {self.name(output)}"
        return f"{'log-odds' if self.is_single_score else 'logit'} of {self.name(output)}"

    def unit_of_all(self, outputs: NDArray[np.intp]) -> str:
        """Return the unit of values that are taken for the shown output of each row."""
        if not self.has_classes or self.count == 1 or outputs.min() == outputs.max():
            return self.unit(int(outputs[0, 0]))
        return f"{'probability' if self.scale == 'probabilities' else 'logit'} of the predicted class"

    def names_of(self, outputs: NDArray[np.intp], *, is_predicted: bool) -> tuple[str, ...]:
        """Return a name for each column of explained outputs."""
        if is_predicted and not self.is_single_score and self.has_classes:
            return ("predicted class",)
        return tuple(self.name(int(number)) for number in outputs[0])

    def predicted(self, scores: FloatArray) -> NDArray[np.intp]:
        """Return the class that each row is given, or 0 where there are no classes."""
        if not self.has_classes:
            return np.zeros(len(scores), dtype=np.intp)
        if self.is_single_score:
            is_second = scores[:, 0] > (0.5 if self.scale == "probabilities" else 0.0)
            return np.asarray(is_second, dtype=np.intp)
        return np.asarray(scores.argmax(axis=1), dtype=np.intp)

    def column_of(self, predicted: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the output that belongs to a class: there is one only where one score stands for both."""
        return np.zeros_like(predicted) if self.is_single_score else predicted

    def shown_columns(self, outputs: NDArray[np.intp], predicted: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return for each row the explained column of its predicted class, or the first where that is not explained."""
        is_predicted = outputs == self.column_of(predicted)[:, None]
        return np.where(is_predicted.any(axis=1), is_predicted.argmax(axis=1), 0)
