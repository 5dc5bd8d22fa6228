"""DeepLIFT by the rescale rule: what each feature contributes to a score, against each background row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from audits.engine.explainers.base import Attribution, Explainer, FloatArray, Task
from audits.engine.explainers.gradients import demand_logits, paths_of, rows_together
from workers.frameworks.coalitions import refuse_unless_finite
from workers.protocol import JobError

#: The largest share of a row's contributions by which they may miss its score: float32 leaves less.
LARGEST_RESIDUAL = 1e-3


@dataclass(frozen=True)
class DeepLiftParameters:
    """The rule leaves nothing to choose."""


class DeepLiftExplainer(Explainer):
    """Contributions by the rescale rule, against each background row; their mean is the value.

    Linear layers pass contributions on by their weights. Through a nonlinearity the slope between the row and the
    background row takes the place of the derivative, so that contributions add up to the difference of the scores; a
    max-pooling credits a rise to where the largest value is, and a fall to where it was. The adapter walks through the
    model use by use; what it has no rule for (products of activations, attention, layer normalisation, recurrent
    layers, code of a package) is refused by name. The contributions are held against the difference of the scores,
    which is a second guard: values that do not add up are refused, too.

    Nothing is drawn at random and all background rows are used, so the errors are 0. That another background gives
    other values is no error of the method; the explanation's quality measures it.

    Sources: Shrikumar, Greenside, Kundaje, "Learning Important Features Through Propagating Activation Differences",
    ICML 2017; Lundberg, Lee, "A Unified Approach to Interpreting Model Predictions", NeurIPS 2017, for the mean over
    the background.
    """

    name = "deeplift"
    parameters = DeepLiftParameters
    estimand = "DeepLIFT contributions (rescale rule): additive, not Shapley values"

    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        demand_logits(task, "DeepLIFT", "through a softmax or sigmoid its values add up and are wrong")
        together = rows_together(task.players.count * task.outputs.shape[1])
        for start in range(first, task.row_count, together):
            chosen = np.arange(start, min(start + together, task.row_count))
            outputs = task.outputs[chosen]
            found = task.model.rescaled_contributions(paths_of(task, chosen))(np.arange(len(chosen)), outputs)
            differences = found.scores - found.base
            refuse_unless_finite(differences, task.model)
            _demand_sums(found.contributions, differences, start)
            values = found.contributions.reshape(len(chosen), *task.players.grid, outputs.shape[1])
            yield Attribution(
                values=values,
                base_values=found.base,
                errors=np.zeros_like(values),
                data=task.players.data({name: rows[chosen] for name, rows in task.rows.items()}),
                feature_names=task.players.names,
                output_names=task.output_names,
                output_numbers=outputs,
                evaluations=np.full(len(chosen), task.background_count, dtype=np.int64),
                scale=task.scale,
            )
            task.progress(int(chosen[-1]) + 1, task.row_count, "")


def _demand_sums(values: FloatArray, differences: FloatArray, first: int) -> None:
    """Refuse contributions, shape (rows, features, outputs), that do not add up to the differences of the scores."""
    missed = np.abs(values.sum(axis=1) - differences)
    allowed = LARGEST_RESIDUAL * (np.abs(values).sum(axis=1) + np.abs(differences)) + 1e-4
    wrong = ~(missed <= allowed)
    if wrong.any():
        row = int(np.flatnonzero(wrong.any(axis=1))[0])
        raise JobError(
            "contributions_do_not_add_up",
            f"DeepLIFT's contributions to row {first + row} miss its score by {missed[row].max():.3g}; a layer of this "
            "model does not do what its rule says. Use 'permutation'.",
            place="method",
        )
