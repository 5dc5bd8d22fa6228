"""Coalitions on PyTorch: composed, scored and credited on the device of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.frameworks.coalitions import MEMORY_BYTES, CoalitionScorer, Game, Scores, batch_rows
from workers.frameworks.pytorch_first_layer import WORTHWHILE_BLOCKS, FirstLayer, steps_of_a_block
from workers.frameworks.pytorch_threads import beside, operators_on_one_thread, share_of
from workers.frameworks.rows import chunks, conform
from workers.frameworks.short_walks import Mixtures

if TYPE_CHECKING:
    from workers.frameworks.base import Inputs
    from workers.frameworks.pytorch_running import TorchModel

#: Composed rows of one batch on the processor, at the most: an operator of oneDNN takes 10 us before its first row.
PROCESSOR_ROWS = 4096
#: Masks and shares of the background are prepared for so many batches at once that they stay in the caches.
PREPARED_BYTES = 2 * 1024 * 1024
#: What is there of a batch at a time, in tensors of float32 as wide as the widest layer; 20 to 40 MiB were measured.
LAYERS_AT_ONCE = 8
#: Batches beside each other may take so many times what is held of an answer: an explanation's whole setting of memory.
BATCHES_SHARE = 8

#: Gives the scores of rows, one tensor an input, as floats of shape (rows, outputs).
Score = Callable[[list[torch.Tensor]], torch.Tensor]


class TorchCoalitionScorer(CoalitionScorer):
    """Composes ``z * x + (1 - z) * b`` in one pass; whole numbers are chosen instead, so that none is rounded.

    ``score`` gives the scores of tensors on the scale of the game; ``first_layer`` is the dense layer that the model
    begins with, if it does, through which long walks need not take whole rows.
    """

    def __init__(
        self,
        model: TorchModel,
        game: Game,
        score: Score,
        *,
        first_layer: FirstLayer | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        super().__init__(model, game, memory_bytes=memory_bytes)
        self._score_tensors = score
        self._first_layer = first_layer
        self._model: TorchModel = model
        self._rows_a_batch = batch_rows(model, at_most=PROCESSOR_ROWS if model.device == "cpu" else None)
        self._is_reentrant = model.is_reentrant
        self._threads = self._batches_at_once() if self._is_reentrant else 1
        self._background = self._on_device(game.background, np.arange(len(next(iter(game.background.values())))))
        self._mask_bytes = sum(2 * tensor[0].nbytes for tensor in self._background)
        self._features = [self._features_of(spec.name) for spec in model.signature.inputs]

    def _batch_rows(self) -> int:
        return self._rows_a_batch

    def _batches_at_once(self) -> int:
        """Return how many batches are scored beside each other: one a thread, if the memory has room for them."""
        batch_bytes = PREPARED_BYTES + LAYERS_AT_ONCE * 4 * self._rows_a_batch * self._model.widths.widest
        return max(1, min(torch.get_num_threads(), BATCHES_SHARE * self._memory_bytes // batch_bytes))

    def _in_chunks(self, inputs: Inputs, outputs: NDArray[np.intp] | None = None) -> Scores:
        with self._processor():
            return super()._in_chunks(inputs, outputs)

    def _processor(self) -> AbstractContextManager[None]:
        """Return a context in which operators take as many threads as they may while this model is scored."""
        return operators_on_one_thread() if self._is_reentrant else nullcontext()

    def _score(self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]) -> Scores:
        with torch.no_grad(), self._processor():
            parts = chunks(len(masks), self._masks_of_a_batch(len(rows)))
            scores = self._scores(rows, self._tensor(masks), self._tensor(background_rows), parts)
            answer: Scores = scores.double().cpu().numpy()
        return answer

    def _walk(self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp]) -> Scores:
        _, permutations, features = ranks.shape
        with torch.no_grad(), self._processor():
            starts, ends = map(self._tensor, self._ends(rows, background_rows))
            orders, numbers = self._tensor(ranks), self._tensor(background_rows)
            both = torch.stack([orders, features - 1 - orders], dim=2)
            walk = starts.new_empty(len(rows), *both.shape[:3], features + 1, starts.shape[-1])
            walk[..., 0, :] = starts[:, :, None, None]
            walk[..., -1, :] = ends[:, None, None, None]
            inner = walk[..., 1:-1, :]
            if self._first_layer is not None and self._are_in_blocks(len(rows)):
                scores = self._scores_in_blocks(self._first_layer, rows, both, numbers)
            else:
                repeated = numbers.repeat_interleave(2 * permutations * (features - 1))
                batches = self._batches_of_walks(len(rows), ranks)
                scores = self._scores(rows, _masks_along(both), repeated, batches)
            inner.copy_(scores.view(inner.shape))
            steps = walk.diff(dim=4)
            # A feature's credit is the step that its rank leads to.
            credits = steps.gather(4, both[None, ..., None].expand(steps.shape)).mean(dim=3)
            answer: Scores = credits.cpu().numpy()
        return answer

    def _are_in_blocks(self, row_count: int) -> bool:
        return self._first_layer is not None and self._game.features > WORTHWHILE_BLOCKS * steps_of_a_block(row_count)

    def _score_each(self, rows: NDArray[np.intp], mixtures: Mixtures) -> Scores:
        answer = np.empty((len(mixtures), self._game.outputs.shape[1]))
        with torch.no_grad(), self._processor():
            group, outputs = self._on_device(self._game.rows, rows), self._tensor(self._game.outputs[rows])
            # Compared in place and as floats, which takes a third of the time of a mask of truth values.
            orders = self._tensor(mixtures.orders).float()

            def score(part: slice) -> None:
                of_group, background_rows, numbers, steps = map(self._tensor, mixtures.numbers(part))
                prepared = self._prepared(orders.index_select(0, numbers).lt_(steps.float()[:, None]), background_rows)
                values = [values.index_select(0, of_group) for values in group]
                scores = self._score_tensors(list(map(_mixed, values, prepared[::2], prepared[1::2])))
                if not self._takes_all(scores.shape[1]):
                    scores = scores.gather(1, outputs.index_select(0, of_group))
                answer[part] = scores.cpu().numpy()

            beside(score, list(chunks(len(mixtures), self._batch_rows())), threads=self._threads)
        return answer

    def _scores(
        self,
        rows: NDArray[np.intp],
        masks: torch.Tensor,
        background_rows: torch.Tensor,
        batches: Iterator[slice],
    ) -> torch.Tensor:
        """Return the scores of every row of a group under every mask, shape (rows, masks, outputs)."""
        group = [values[:, None] for values in self._on_device(self._game.rows, rows)]
        outputs = self._tensor(self._game.outputs[rows])[:, None]
        answer = self._room(len(rows), len(masks))

        def score(several: list[slice]) -> None:
            whole = slice(several[0].start, several[-1].stop)
            sizes = [batch.stop - batch.start for batch in several]
            prepared = [
                torch.split(tensor.unsqueeze(0), sizes, dim=1)
                for tensor in self._prepared(masks[whole], background_rows[whole])
            ]
            for batch, of_inputs in zip(several, zip(*prepared, strict=True), strict=True):
                kept, filled = of_inputs[::2], of_inputs[1::2]
                composed = [values.flatten(0, 1) for values in map(_mixed, group, kept, filled)]
                scores = self._score_tensors(composed)
                answer[:, batch] = self._picked(scores.view(len(rows), -1, scores.shape[-1]), outputs)

        cut = list(batches)
        fitting = max(1, PREPARED_BYTES // (self._mask_bytes * self._masks_of_a_batch(len(rows))))
        together = min(fitting, share_of(len(cut), self._threads))
        beside(score, [cut[some] for some in chunks(len(cut), together)], threads=self._threads)
        return answer

    def _scores_in_blocks(
        self, first_layer: FirstLayer, rows: NDArray[np.intp], both: torch.Tensor, background_rows: torch.Tensor
    ) -> torch.Tensor:
        """Return the scores along walks, shape (rows, coalitions of all walks in order, outputs)."""
        (group,), (background,), (features,) = self._on_device(self._game.rows, rows), self._background, self._features
        outputs = self._tensor(self._game.outputs[rows])[:, None]
        size = min(steps_of_a_block(len(rows)), self._masks_of_a_batch(len(rows)))
        orders = both.flatten(0, 2)
        starts = background_rows.repeat_interleave(len(orders) // len(background_rows)).tolist()
        answer = self._room(len(rows), len(orders), both.shape[-1] - 1)

        def score(number: int) -> None:
            ranks = orders[number] if features is None else orders[number][features]
            start = 0
            for scores in first_layer.along(group.flatten(1), background[starts[number]].flatten(), ranks, size):
                stop = start + scores.shape[1]
                answer[:, number, start:stop] = self._picked(scores, outputs)
                start = stop

        beside(score, range(len(orders)), threads=self._threads)
        return answer.flatten(1, 2)

    def _room(self, *shape: int) -> torch.Tensor:
        """Return room for the wanted scores of so many rows under so many masks.

        Scores go where they stay. Small tensors that are kept, made between large ones that go, would cut the heap
        into pieces that no large one fits, and it would grow from batch to batch.
        """
        dtype = torch.float32 if self._game.scale == "logits" else torch.float64
        return torch.empty(*shape, self._game.outputs.shape[1], dtype=dtype, device=self._model.device)

    def _picked(self, scores: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """Return the scores that are wanted of each row: ``outputs`` has shape (rows, 1, outputs)."""
        if self._takes_all(scores.shape[-1]):
            return scores
        return scores.gather(2, outputs.expand(-1, scores.shape[1], -1))

    def _prepared(self, masks: torch.Tensor, background_rows: torch.Tensor) -> list[torch.Tensor]:
        """Return two tensors an input: which values are the row's own, and the background's share, which all have."""
        prepared = []
        for background, features in zip(self._background, self._features, strict=True):
            kept = masks if features is None else masks.index_select(1, features)
            kept = kept.view(len(masks), *background.shape[1:])
            filled = background.index_select(0, background_rows)
            kept = kept.to(filled.dtype if filled.is_floating_point() else torch.bool)
            if filled.is_floating_point():
                filled = filled.addcmul_(filled, kept, value=-1)
            prepared += [kept, filled]
        return prepared

    def _features_of(self, name: str) -> torch.Tensor | None:
        """Return the feature of each input value, or None where they are all features in order."""
        flat = self._game.assignment[name].reshape(-1)
        return None if np.array_equal(flat, np.arange(self._game.features)) else self._tensor(flat)

    def _on_device(self, inputs: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> list[torch.Tensor]:
        some = {name: np.asarray(values)[rows] for name, values in inputs.items()}
        return self._model._tensors_of(conform(some, self._model.signature), slice(None))

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._model.device)


def _mixed(values: torch.Tensor, kept: torch.Tensor, filled: torch.Tensor) -> torch.Tensor:
    """Return rows composed under masks; all shapes are those of the rows, but for axes that are repeated."""
    return torch.addcmul(filled, kept, values) if values.is_floating_point() else torch.where(kept, values, filled)


def _masks_along(both: torch.Tensor) -> torch.Tensor:
    """Return the coalitions along walks, given the rank of each feature, without the empty and the full one."""
    features = both.shape[-1]
    steps = torch.arange(1, features, dtype=torch.int32, device=both.device)
    return (both.int()[..., None, :] < steps[:, None]).view(-1, features)
