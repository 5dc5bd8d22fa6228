"""Scores of rows in which some features come from a background row: what every estimator of attributions is made of."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from workers.frameworks.rows import chunk_rows, chunks
from workers.frameworks.short_walks import Mixtures, ShortWalks, differing_features, is_worthwhile
from workers.protocol import JobError

if TYPE_CHECKING:
    from workers.frameworks.base import Inputs, Model

Scale = Literal["logits", "probabilities"]
Scores = NDArray[np.float64]

#: Explained rows that are composed together, so that masks and the background's share are made once for all of them.
GROUP_ROWS = 16
#: Composed rows of one batch: at most so many, and no layer gives more values than this for all of them, so that what
#: goes from layer to layer stays in the processor's cache. An accelerator wants more work at a time.
BATCH_ROWS = {"cpu": 2048, "cuda": 32_768}
BATCH_VALUES = {"cpu": 2**20, "cuda": 2**26}
#: What is listed at once of walks whose steps are scored one by one, unless one background row takes more, and what a
#: step of a list takes, its credits too.
LISTED_BYTES = 16 * 1024 * 1024
STEP_BYTES, STEP_BYTES_OF_AN_OUTPUT = 50, 40
#: Of so many background rows it is looked at how many features differ from a row's.
LOOKED_AT = 100
#: What is held at once, unless told otherwise.
MEMORY_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Game:
    """A model's rows, the background rows they are mixed with, and which features are replaced as one.

    Attributes:
        assignment: input name -> feature number of each value of one row, shaped like the row.
        features: how many features there are.
        outputs: the numbers of the model's outputs that are wanted for each row, shape (rows, outputs).
    """

    rows: Inputs
    background: Inputs
    assignment: Mapping[str, NDArray[np.intp]]
    features: int
    outputs: NDArray[np.intp]
    scale: Scale = "logits"


class CoalitionScorer(ABC):
    """Composes and scores rows for coalitions of features, on the device of the model.

    A composed row has the values of the explained row where the coalition holds the feature and those of a background
    row elsewhere. What an answer is depends on the arguments of the call only, bit for bit: they alone decide which
    composed rows go through the model together. ``memory_bytes`` decides how much of the answer is held at once.
    """

    def __init__(self, model: Model, game: Game, *, memory_bytes: int = MEMORY_BYTES) -> None:
        self._model = model
        self._game = game
        self._memory_bytes = memory_bytes
        self._are_all: bool | None = None
        self._row_scores: Scores | None = None
        self._background_scores: Scores | None = None
        self._scored = np.zeros(len(game.outputs), dtype=np.int64)

    def scored(self, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return how many composed rows went through the model for walks of each row until now."""
        return self._scored[rows]

    def of_rows(self) -> Scores:
        """Return the scores of the explained rows themselves, shape (rows, outputs)."""
        if self._row_scores is None:
            self._row_scores = self._in_chunks(self._game.rows, self._game.outputs)
        return self._row_scores

    def of_background(self) -> Scores:
        """Return all scores of the background rows, shape (background rows, all outputs of the model)."""
        if self._background_scores is None:
            self._background_scores = self._in_chunks(self._game.background)
        return self._background_scores

    def of_coalitions(
        self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]
    ) -> Scores:
        """Score every row under every mask.

        Args:
            rows: numbers of explained rows, shape (rows,).
            masks: which features come from the explained row, shape (masks, features).
            background_rows: the background row under each mask, shape (masks,).

        Returns:
            Scores of shape (rows, masks, outputs).

        Raises:
            JobError: ``score_not_finite``.
        """
        answer = np.empty((len(rows), len(masks), self._game.outputs.shape[1]))
        if len(masks):
            for part in chunks(len(rows), min(GROUP_ROWS, self._batch_rows())):
                answer[part] = self._score(rows[part], masks, background_rows)
        self._refuse_unless_finite(answer)
        return answer

    def walks(
        self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp]
    ) -> Iterator[Scores]:
        """Credit features with the change that each makes along permutations and along their reverses.

        On a walk the features of a background row turn into those of the explained row, in the order of their ranks.

        Args:
            rows: numbers of explained rows, shape (rows,); at most ``GROUP_ROWS``.
            ranks: the place of each feature in each permutation, shape (background rows, permutations, features).
            background_rows: where the walks start, shape (background rows,).

        Yields:
            The mean of both directions for consecutive background rows, as many as fit the memory: shape (rows,
            background rows, permutations, features, outputs).

        Raises:
            JobError: ``score_not_finite``.
        """
        if ranks.shape[2] == 1:
            starts, ends = self._ends(rows, background_rows)
            yield (ends[:, None] - starts)[:, :, None, None].repeat(ranks.shape[1], axis=2)
            return
        if self._are_short(rows, background_rows):
            yield from self._short_walks(rows, ranks, background_rows)
            return
        self._scored[rows] += 2 * ranks.shape[0] * ranks.shape[1] * (ranks.shape[2] - 1)
        # Where a batch has no room for all rows, they go one part after the other; only the last leaves room for walks.
        parts = list(chunks(len(rows), self._batch_rows()))
        unit = self._walks_of_a_batch(parts[-1].stop - parts[-1].start, ranks)
        held = ranks.shape[1] * ranks.shape[2] * (7 * 8 * len(rows) * self._game.outputs.shape[1] + 4 * ranks.shape[2])
        together = unit * max(1, self._memory_bytes // (held * unit))
        for part in chunks(len(background_rows), together):
            found = [self._walk(rows[some], ranks[part], background_rows[part]) for some in parts]
            credits = found[0] if len(found) == 1 else np.concatenate(found)
            self._refuse_unless_finite(credits)
            yield credits

    @abstractmethod
    def _score(self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]) -> Scores:
        """Score at most ``GROUP_ROWS`` rows under every mask, shape (rows, masks, outputs)."""

    @abstractmethod
    def _walk(self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp]) -> Scores:
        """Do what ``walks`` does for at most ``GROUP_ROWS`` rows and at least two features, for all walks at once."""

    @abstractmethod
    def _score_each(self, rows: NDArray[np.intp], mixtures: Mixtures) -> Scores:
        """Score mixtures of some rows, composed one by one, in batches from the first on: shape (mixtures, outputs)."""

    def _short_walks(
        self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp]
    ) -> Iterator[Scores]:
        """Do what ``walks`` does where many steps change nothing, so many background rows at once as fit a list."""
        listed = 2 * len(rows) * ranks[0].size * (STEP_BYTES + STEP_BYTES_OF_AN_OUTPUT * self._game.outputs.shape[1])
        for part in chunks(len(background_rows), max(1, LISTED_BYTES // listed)):
            differs = self._differing(rows, background_rows[part])
            walks = ShortWalks.along(ranks[part], background_rows[part], differs)
            self._scored[rows] += np.bincount(walks.mixtures.rows, minlength=len(rows))
            credits = walks.credits(self._score_each(rows, walks.mixtures), *self._ends(rows, background_rows[part]))
            self._refuse_unless_finite(credits)
            yield credits

    def _are_short(self, rows: NDArray[np.intp], background_rows: NDArray[np.intp]) -> bool:
        """Tell whether so many steps of walks change nothing that it pays to leave them out; some tell for all."""
        if self._are_in_blocks(len(rows)):
            return False
        some = background_rows[:: -(-len(background_rows) // LOOKED_AT)]
        row_values = sum(features.size for features in self._game.assignment.values())
        differs = self._differing(rows, some)
        return is_worthwhile(differs, row_values=row_values, layer_values=self._model.widths.total)

    def _are_in_blocks(self, row_count: int) -> bool:  # noqa: ARG002 - what others decide by it
        """Tell whether walks go through the first layer in blocks, where a step costs little anyway."""
        return False

    def _differing(self, rows: NDArray[np.intp], background_rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Tell which features differ, shape (rows, background rows, features)."""
        game = self._game
        some = {name: np.asarray(game.rows[name])[rows] for name in game.assignment}
        return differing_features(some, game.background, background_rows, game.assignment, game.features)

    def _batch_rows(self) -> int:
        """Return how many composed rows go through the model at once."""
        return chunk_rows(self._model.signature)

    def _masks_of_a_batch(self, row_count: int) -> int:
        return max(1, self._batch_rows() // row_count)

    def _walks_of_a_batch(self, row_count: int, ranks: NDArray[np.intp]) -> int:
        """Return the walks of how many background rows fit a batch; one row's walks may need several batches."""
        permutations, features = int(ranks.shape[1]), int(ranks.shape[2])
        return max(1, self._masks_of_a_batch(row_count) // max(1, 2 * permutations * (features - 1)))

    def _batches_of_walks(self, row_count: int, ranks: NDArray[np.intp]) -> Iterator[slice]:
        """Cut the coalitions along walks into batches that begin anew with every so many background rows."""
        count, permutations, features = ranks.shape
        unit = self._walks_of_a_batch(row_count, ranks)
        for part in chunks(count, unit):
            masks = 2 * permutations * (features - 1)
            for batch in chunks((part.stop - part.start) * masks, self._masks_of_a_batch(row_count)):
                yield slice(part.start * masks + batch.start, part.start * masks + batch.stop)

    def _ends(
        self, rows: NDArray[np.intp], background_rows: NDArray[np.intp]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the scores where walks start, shape (rows, background rows, outputs), and end, (rows, outputs)."""
        starts = self.of_background()[background_rows][:, self._game.outputs[rows]]
        return np.ascontiguousarray(starts.swapaxes(0, 1)), self.of_rows()[rows]

    def _takes_all(self, output_count: int) -> bool:
        """Tell whether all outputs are wanted of every row in order, so that there is nothing to pick."""
        if self._are_all is None:
            outputs = self._game.outputs
            self._are_all = bool(outputs.shape[1] == output_count and (outputs == np.arange(output_count)).all())
        return self._are_all

    def _in_chunks(self, inputs: Inputs, outputs: NDArray[np.intp] | None = None) -> Scores:
        parts = []
        for part in chunks(len(next(iter(inputs.values()))), chunk_rows(self._model.signature)):
            some = {name: values[part] for name, values in inputs.items()}
            scores = scores_of(self._model, some, self._game.scale)
            parts.append(scores if outputs is None else np.take_along_axis(scores, outputs[part], axis=1))
        joined = np.concatenate(parts)
        self._refuse_unless_finite(joined)
        return joined

    def _refuse_unless_finite(self, scores: NDArray[np.floating[Any]]) -> None:
        refuse_unless_finite(scores, self._model)


class NumpyCoalitionScorer(CoalitionScorer):
    """Composes rows with NumPy, for a model of any framework."""

    def __init__(self, model: Model, game: Game, *, memory_bytes: int = MEMORY_BYTES) -> None:
        super().__init__(model, game, memory_bytes=memory_bytes)
        self._rows = {name: np.asarray(game.rows[name]) for name in game.assignment}
        self._background = {name: np.asarray(game.background[name]) for name in game.assignment}

    def _score(self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]) -> Scores:
        return self._scores(rows, masks, background_rows, chunks(len(masks), self._masks_of_a_batch(len(rows))))

    def _walk(self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp]) -> Scores:
        _, permutations, features = ranks.shape
        starts, ends = self._ends(rows, background_rows)
        walk = np.empty((len(rows), *ranks.shape[:2], 2, features + 1, ends.shape[-1]))
        walk[..., 0, :] = starts[:, :, None, None]
        walk[..., -1, :] = ends[:, None, None, None]
        repeated = background_rows.repeat(2 * permutations * (features - 1))
        batches = self._batches_of_walks(len(rows), ranks)
        inner = walk[..., 1:-1, :]
        inner[:] = self._scores(rows, masks_along(ranks), repeated, batches).reshape(inner.shape)
        steps = np.diff(walk, axis=4)
        # A feature's credit is the step that its rank leads to.
        forwards = np.take_along_axis(steps[:, :, :, 0], ranks[None, ..., None], axis=3)
        backwards = np.take_along_axis(steps[:, :, :, 1], (features - 1 - ranks)[None, ..., None], axis=3)
        credits: Scores = (forwards + backwards) / 2
        return credits

    def _score_each(self, rows: NDArray[np.intp], mixtures: Mixtures) -> Scores:
        answer = np.empty((len(mixtures), self._game.outputs.shape[1]))
        for part in chunks(len(mixtures), self._batch_rows()):
            of_group, background_rows, numbers, steps = mixtures.numbers(part)
            kept = mixtures.orders[numbers] < steps[:, None]
            composed = {}
            for name, features in self._game.assignment.items():
                own, filling = self._rows[name][rows[of_group]], self._background[name][background_rows]
                composed[name] = np.where(kept[:, features], own, filling)
            scores = scores_of(self._model, composed, self._game.scale)
            if not self._takes_all(scores.shape[1]):
                scores = np.take_along_axis(scores, self._game.outputs[rows[of_group]], axis=1)
            answer[part] = scores
        return answer

    def _scores(
        self,
        rows: NDArray[np.intp],
        masks: NDArray[np.bool_],
        background_rows: NDArray[np.intp],
        batches: Iterator[slice],
    ) -> Scores:
        outputs = self._game.outputs[rows]
        answer = np.empty((len(rows), len(masks), outputs.shape[1]))
        for batch in batches:
            composed = self._composed(rows, masks[batch], background_rows[batch])
            scores = scores_of(self._model, composed, self._game.scale)
            scores = scores.reshape(len(rows), len(scores) // len(rows), -1)
            if not self._takes_all(scores.shape[-1]):
                scores = np.take_along_axis(scores, outputs[:, None], axis=2)
            answer[:, batch] = scores
        return answer

    def _composed(
        self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]
    ) -> dict[str, NDArray[Any]]:
        """Return ``z * x + (1 - z) * b`` for every row and mask; all rows share the second product."""
        composed = {}
        for name, features in self._game.assignment.items():
            background = self._background[name][background_rows]
            kept = masks[:, features]
            values = self._rows[name][rows][:, None] * kept[None].astype(background.dtype)
            values += np.where(kept, np.zeros((), background.dtype), background)[None]
            composed[name] = values.reshape(-1, *features.shape)
        return composed


def batch_rows(model: Model, *, at_most: int | None = None) -> int:
    """Return how many composed rows to put through a model at once; the model and its device alone decide."""
    kind = model.device.partition(":")[0]
    return max(1, min(at_most or BATCH_ROWS[kind], BATCH_VALUES[kind] // max(1, model.widths.widest)))


def masks_along(ranks: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return the coalitions along each permutation and its reverse, without the empty and the full one.

    ``ranks`` has shape (background rows, permutations, features), the answer (coalitions of all in order, features).
    """
    features = ranks.shape[-1]
    both = np.stack([ranks, features - 1 - ranks], axis=2)[:, :, :, None]
    masks: NDArray[np.bool_] = both < np.arange(1, features)[:, None]
    return masks.reshape(-1, features)


def scores_of(model: Model, inputs: Inputs, scale: Scale) -> Scores:
    """Return the scores of rows on a scale, shape (rows, outputs).

    Raises:
        JobError: ``no_probabilities``, of a model that gives none.
    """
    if scale == "logits":
        scores = np.asarray(model.logits(inputs), dtype=np.float64)
    else:
        demand_probabilities(model)
        scores = np.asarray(model.forward(inputs), dtype=np.float64)
        if model.signature.output.kind == "logits":
            scores = _shares(scores)
    return scores.reshape(len(scores), math.prod(scores.shape[1:]))


def demand_probabilities(model: Model) -> None:
    """Refuse a model whose output is neither probabilities nor logits.

    Raises:
        JobError: ``no_probabilities``.
    """
    output = model.signature.output
    if output.kind not in ("probabilities", "logits"):
        raise JobError(
            "no_probabilities",
            f"The output {output.name!r} is of kind {output.kind!r}; it has no probabilities.",
            place="scale",
        )


def refuse_unless_finite(scores: NDArray[np.floating[Any]], model: Model) -> None:
    """Refuse scores that are not numbers.

    Raises:
        JobError: ``score_not_finite``.
    """
    if not np.isfinite(scores).all():
        raise JobError(
            "score_not_finite",
            "The model gives a score that is not a number for a row mixed from the data and the background; such a "
            "model has no attributions.",
            place=model.signature.output.name,
        )


def _shares(logits: Scores) -> Scores:
    if logits.shape[-1] == 1:
        single: Scores = 1 / (1 + np.exp(-logits))
        return single
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    shares: Scores = shifted / shifted.sum(axis=-1, keepdims=True)
    return shares
