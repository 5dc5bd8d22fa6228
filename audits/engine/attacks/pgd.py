"""Projected gradient descent: the strongest change within a small ball that plain gradients find."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from audits.engine.attacks.space import FloatArray, Space, rows_of
from workers.frameworks.base import Inputs, Model
from workers.protocol import JobError

Norm = Literal["linf", "l2"]
Objective = Literal["cross_entropy", "margin"]

#: Values of one batch of rows, so that memory does not grow with the image size.
BATCH_VALUES = 2**22


@dataclass(frozen=True)
class Outcome:
    """What an attack did.

    Attributes:
        broken: which rows are not given their class (those that were not before the attack included), shape (rows,).
        deltas: the change that broke the row, in units of the scale, 0 where none was found; shape (rows, values).
        without_gradient: rows that were right and whose gradient at the start was all zero: a sign of masking.
    """

    broken: NDArray[np.bool_]
    deltas: FloatArray
    without_gradient: int


def predicted_classes(logits: NDArray[np.floating]) -> NDArray[np.intp]:
    """Return the class of each row; a single logit tells two classes apart at 0.

    Raises:
        JobError: ``score_not_finite``, when a score is not a number.
    """
    if not np.isfinite(logits).all():
        raise JobError("score_not_finite", "The model gives a score that is not a number for a row under attack.")
    if logits.shape[1] == 1:
        return (logits[:, 0] > 0).astype(np.intp)
    return np.asarray(logits.argmax(axis=1), dtype=np.intp)


def pgd(
    model: Model,
    inputs: Inputs,
    targets: NDArray[np.int64],
    space: Space,
    *,
    norm: Norm,
    eps: float,
    steps: int,
    restarts: int,
    generator: np.random.Generator,
    progress: Callable[[int, int], None] | None = None,
) -> Outcome:
    """Look for a change of each row, at most ``eps`` long in units of the scale, after which its class is wrong.

    Each row stops at its first success. The first start is the row itself and climbs the cross-entropy; later starts
    are random in the ball, and every other one climbs the margin between the best wrong class and the right one, which
    large logits do not flatten. The step falls along a cosine from half of ``eps`` to a fiftieth. Steps are taken in
    units of the scale, projected on the ball and then cut to the range of the space.

    Args:
        inputs, targets: rows and their class numbers.
        norm: ``linf`` (each value moves at most eps) or ``l2`` (the whole row moves at most eps).
        progress: called with starts done and starts in all.

    Sources: Madry, Makelov, Schmidt, Tsipras, Vladu, "Towards Deep Learning Models Resistant to Adversarial Attacks",
    ICLR 2018; Carlini, Wagner, "Towards Evaluating the Robustness of Neural Networks", 2017, for the margin; Croce,
    Hein, "Reliable evaluation of adversarial robustness", ICML 2020, for the need of both.
    """
    count = len(targets)
    batch = max(1, BATCH_VALUES // max(1, space.width))
    broken = np.zeros(count, dtype=bool)
    deltas = np.zeros((count, space.width))
    without_gradient = 0
    starts = restarts * math.ceil(count / batch)
    for number, first in enumerate(range(0, count, batch)):
        chosen = np.arange(first, min(first + batch, count))
        attack = _Attack(model, rows_of(inputs, chosen), targets[chosen], space, norm, eps, steps)
        for restart in range(restarts):
            attack.start(restart, generator)
            if progress is not None:
                progress(number * restarts + restart + 1, starts)
        broken[chosen], deltas[chosen] = attack.broken, attack.deltas
        without_gradient += attack.without_gradient
    return Outcome(broken=broken, deltas=deltas, without_gradient=without_gradient)


class _Attack:
    """One batch of rows under attack, and which of them are broken so far."""

    def __init__(
        self, model: Model, inputs: Inputs, targets: NDArray[np.int64], space: Space, norm: Norm, eps: float, steps: int
    ) -> None:
        self._model, self._inputs, self._targets = model, inputs, targets
        self._space, self._norm, self._eps, self._steps = space, norm, eps, steps
        self._origin = space.flatten(inputs)
        self._low, self._high = np.minimum(space.low, self._origin), np.maximum(space.high, self._origin)
        self.deltas = np.zeros_like(self._origin)
        self.broken = predicted_classes(np.asarray(model.logits(inputs))) != targets
        self.without_gradient = 0

    def start(self, restart: int, generator: np.random.Generator) -> None:
        """Walk once from a start, for the rows that still have their class."""
        objective: Objective = "margin" if restart % 2 else "cross_entropy"
        active = np.flatnonzero(~self.broken)
        # Numbers are drawn for all rows, so that what one row gets does not depend on which others are broken.
        delta = self._random(generator) if restart else np.zeros_like(self._origin)
        delta = self._projected(delta[active], active)
        for step in range(self._steps + 1):
            if not len(active):
                return
            rows = self._moved(delta, active)
            logits = np.asarray(self._model.logits(rows))
            wrong = predicted_classes(logits) != self._targets[active]
            if wrong.any():
                self.broken[active[wrong]] = True
                self.deltas[active[wrong]] = delta[wrong]
                keep = np.flatnonzero(~wrong)
                active, delta, logits, rows = active[keep], delta[keep], logits[keep], rows_of(rows, keep)
            if step == self._steps or not len(active):
                return
            gradient = self._gradient(objective, rows, active, logits) * self._space.scale
            if restart == 0 and step == 0:
                self.without_gradient = int((gradient == 0).all(axis=1).sum())
            size = self._eps * (0.02 + 0.24 * (1 + math.cos(math.pi * step / self._steps)))
            delta = self._projected(delta + size * _direction(gradient, self._norm), active)

    def _random(self, generator: np.random.Generator) -> FloatArray:
        """Return a random point of the ball for each row."""
        shape = self._origin.shape
        if self._norm == "linf":
            return generator.uniform(-self._eps, self._eps, shape)
        direction = generator.normal(size=shape) * (self._space.scale > 0)
        length = np.linalg.norm(direction, axis=1, keepdims=True)
        radius = self._eps * generator.random((shape[0], 1)) ** (1 / max(1, self._space.moved_count))
        direction *= np.divide(radius, length, out=np.zeros_like(length), where=length > 0)
        return direction

    def _projected(self, delta: FloatArray, active: NDArray[np.intp]) -> FloatArray:
        """Return the nearest change in the ball, cut to the range; that holds the row, so it stays in the ball."""
        scale = self._space.scale
        if self._norm == "linf":
            delta = np.clip(delta, -self._eps, self._eps)
        else:
            length = np.linalg.norm(delta * (scale > 0), axis=1, keepdims=True)
            delta = delta * np.minimum(1, self._eps / np.maximum(length, 1e-300))
        moved = np.clip(self._origin[active] + scale * delta, self._low[active], self._high[active])
        return np.divide(moved - self._origin[active], scale, out=np.zeros_like(delta), where=scale > 0)

    def _moved(self, delta: FloatArray, active: NDArray[np.intp]) -> Inputs:
        moved = self._origin[active] + self._space.scale * delta
        return self._space.place(moved, rows_of(self._inputs, active))

    def _gradient(
        self, objective: Objective, rows: Inputs, active: NDArray[np.intp], logits: NDArray[np.floating]
    ) -> FloatArray:
        targets = self._targets[active]
        if objective == "cross_entropy":
            _, gradients = self._model.loss_gradient(rows, targets)
            return np.nan_to_num(self._space.flatten(gradients), posinf=0.0, neginf=0.0)
        if logits.shape[1] == 1:
            _, gradients = self._model.logits_gradient(rows, 0)
            return np.nan_to_num(self._space.flatten(gradients)) * np.where(targets == 1, -1.0, 1.0)[:, None]
        others = logits.astype(np.float64)
        others[np.arange(len(targets)), targets] = -np.inf
        rival = others.argmax(axis=1)
        total = np.zeros((len(targets), self._space.width))
        for output in np.union1d(rival, targets):
            chosen = np.flatnonzero((rival == output) | (targets == output))
            _, gradients = self._model.logits_gradient(rows_of(rows, chosen), int(output))
            sign = np.where(rival[chosen] == output, 1.0, -1.0)[:, None]
            total[chosen] += sign * np.nan_to_num(self._space.flatten(gradients), posinf=0.0, neginf=0.0)
        return total


def _direction(gradient: FloatArray, norm: Norm) -> FloatArray:
    """Return the steepest step of length 1 in the norm."""
    if norm == "linf":
        return np.asarray(np.sign(gradient), dtype=np.float64)
    # Divided by the largest value first, so that squares of tiny gradients do not vanish.
    largest = np.abs(gradient).max(axis=1, keepdims=True)
    scaled = np.divide(gradient, largest, out=np.zeros_like(gradient), where=largest > 0)
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.asarray(np.divide(scaled, length, out=np.zeros_like(gradient), where=length > 0), dtype=np.float64)
