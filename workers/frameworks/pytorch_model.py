"""What a torch model does that gives its answers by modes, and so can be trained, whatever kind of module it is."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable

import torch

from workers.entry_point import EntryPoint
from workers.frameworks.base import EpochRecord, FloatArray, History, Inputs, TrainingRows
from workers.frameworks.fitting import OwnLoss, objective_of, own_loss_missing, run_epochs
from workers.frameworks.pytorch_graph import Answer, FeaturesMissingError
from workers.frameworks.pytorch_running import TorchModel, flat, logarithms
from workers.frameworks.pytorch_training import PyTorchTrainer
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature

#: Takes tensors in the signature's order and gives one tensor.
Run = Callable[..., torch.Tensor]


class TrainableModel(TorchModel):
    """A torch model that answers with its output, its logits or its features, in training and in inference.

    ``holder`` has the weights; ``finds_logits`` says whether the answer ``logits`` of a model that gives probabilities
    is what goes into its last softmax or sigmoid.
    """

    def __init__(self, *, signature: Signature, device: str, holder: torch.nn.Module, finds_logits: bool) -> None:
        super().__init__(signature=signature, device=device)
        self._holder = holder
        self._finds_logits = finds_logits

    @abstractmethod
    def _run(self, *, training: bool, answer: Answer) -> Run:
        """Return what gives an answer in one mode; in inference nothing may change.

        Raises:
            FeaturesMissingError: ``features`` of a model without weights.
        """

    def _own_loss(self, name: EntryPoint) -> OwnLoss:
        """Return the loss of this name that came with the model."""
        raise own_loss_missing(name)

    def forward(self, inputs: Inputs) -> FloatArray:
        return self._answers(inputs, "output")

    def logits(self, inputs: Inputs) -> FloatArray:
        if self._is_exact:
            return self._answers(inputs, "output")
        with torch.no_grad():
            return self._in_chunks(inputs, self._scores)

    def features(self, inputs: Inputs) -> FloatArray:
        try:
            return self._answers(inputs, "features")
        except FeaturesMissingError:
            raise JobError("no_features", "The model has no operator with weights, so it has no features.") from None

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> History:
        objective = objective_of(recipe, self.signature)
        own_loss = None if recipe.own_loss is None else self._own_loss(recipe.own_loss)
        answer: Answer = "output" if self._is_exact or own_loss is not None else "logits"
        torch.manual_seed(recipe.seed)
        trainer = PyTorchTrainer(
            learn=self._run(training=True, answer=answer),
            watch=self._run(training=False, answer=answer),
            holder=self._holder,
            as_scores=self._as_scores if own_loss is None else flat,
            signature=self.signature,
            rows=rows,
            recipe=recipe,
            objective=objective,
            own_loss=own_loss,
            device=self.device,
        )
        return run_epochs(trainer, rows, recipe, on_epoch=on_epoch)

    def _scores(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        answer: Answer = "output" if self._is_exact else "logits"
        return self._as_scores(self._run(training=False, answer=answer)(*tensors))

    def _output(self, tensors: list[torch.Tensor]) -> torch.Tensor:
        return flat(self._run(training=False, answer="output")(*tensors))

    def _as_scores(self, answer: torch.Tensor) -> torch.Tensor:
        scores = flat(answer)
        return scores if self._is_exact or self._finds_logits else logarithms(scores)

    def _answers(self, inputs: Inputs, answer: Answer) -> FloatArray:
        run = self._run(training=False, answer=answer)
        with torch.no_grad():
            return self._in_chunks(inputs, lambda tensors: flat(run(*tensors)))
