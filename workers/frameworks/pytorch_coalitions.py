"""Coalitions on PyTorch: composed, scored and credited on the device of the model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.frameworks.coalitions import MEMORY_BYTES, CoalitionScorer, Game, Scores, batch_rows
from workers.frameworks.rows import chunks, conform

if TYPE_CHECKING:
    from workers.frameworks.pytorch_running import TorchModel

#: Gives the scores of rows, one tensor an input, as floats of shape (rows, outputs).
Score = Callable[[list[torch.Tensor]], torch.Tensor]


class TorchCoalitionScorer(CoalitionScorer):
    """Composes ``z * x + (1 - z) * b`` in one pass; whole numbers are chosen instead, so that none is rounded.

    ``score`` gives the scores of tensors on the scale of the game.
    """

    def __init__(self, model: TorchModel, game: Game, score: Score, *, memory_bytes: int = MEMORY_BYTES) -> None:
        super().__init__(model, game, memory_bytes=memory_bytes)
        self._score_tensors = score
        self._model: TorchModel = model
        self._rows_a_batch = batch_rows(model)
        self._background = self._on_device(game.background, np.arange(len(next(iter(game.background.values())))))
        self._features = [self._features_of(spec.name) for spec in model.signature.inputs]

    def _batch_rows(self) -> int:
        return self._rows_a_batch

    def _score(self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]) -> Scores:
        with torch.no_grad():
            group = self._on_device(self._game.rows, rows)
            scores = self._scores(group, rows, self._tensor(masks), self._tensor(background_rows))
            answer: Scores = scores.double().cpu().numpy()
        return answer

    def _walk(
        self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp], unit: int
    ) -> Scores:
        with torch.no_grad():
            group = self._on_device(self._game.rows, rows)
            starts, ends = map(self._tensor, self._ends(rows, background_rows))
            orders, numbers = self._tensor(ranks), self._tensor(background_rows)
            parts = []
            for part in chunks(len(ranks), unit):
                both = torch.stack([orders[part], ranks.shape[-1] - 1 - orders[part]], dim=2)
                walk = starts.new_empty(len(rows), *both.shape[:3], both.shape[3] + 1, starts.shape[-1])
                walk[..., 0, :] = starts[:, part, None, None]
                walk[..., -1, :] = ends[:, None, None, None]
                if both.shape[3] > 1:
                    masks = _masks_along(both)
                    repeated = numbers[part].repeat_interleave(len(masks) // len(both))
                    inner = walk[..., 1:-1, :]
                    inner.copy_(self._scores(group, rows, masks, repeated).view(inner.shape))
                steps = walk.diff(dim=4)
                parts.append(steps.gather(4, both[None, ..., None].expand(steps.shape)).mean(dim=3))
            answer: Scores = torch.cat(parts, dim=1).cpu().numpy()
        return answer

    def _scores(
        self, group: list[torch.Tensor], rows: NDArray[np.intp], masks: torch.Tensor, background_rows: torch.Tensor
    ) -> torch.Tensor:
        """Return the scores of every row of a group under every mask, shape (rows, masks, outputs)."""
        parts = []
        for part in chunks(len(masks), self._masks_of_a_batch(len(rows))):
            scores = self._score_tensors(self._composed(group, masks[part], background_rows[part]))
            scores = scores.view(len(rows), -1, scores.shape[-1])
            if not self._takes_all(rows, scores.shape[-1]):
                outputs = self._tensor(self._game.outputs[rows])
                scores = scores.gather(2, outputs[:, None].expand(-1, scores.shape[1], -1))
            parts.append(scores)
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _composed(
        self, group: list[torch.Tensor], masks: torch.Tensor, background_rows: torch.Tensor
    ) -> list[torch.Tensor]:
        composed = []
        for values, background, features in zip(group, self._background, self._features, strict=True):
            kept = masks if features is None else masks.index_select(1, features)
            kept = kept.view(len(masks), *values.shape[1:])
            filled = background.index_select(0, background_rows)
            if values.is_floating_point():
                shared = filled.masked_fill(kept, 0)
                mixed = torch.addcmul(shared[None], kept.to(values.dtype)[None], values[:, None])
            else:
                mixed = torch.where(kept[None], values[:, None], filled[None])
            composed.append(mixed.flatten(0, 1))
        return composed

    def _features_of(self, name: str) -> torch.Tensor | None:
        """Return the feature of each input value, or None where they are all features in order."""
        flat = self._game.assignment[name].reshape(-1)
        return None if np.array_equal(flat, np.arange(self._game.features)) else self._tensor(flat)

    def _on_device(self, inputs: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> list[torch.Tensor]:
        some = {name: np.asarray(values)[rows] for name, values in inputs.items()}
        return self._model._tensors_of(conform(some, self._model.signature), slice(None))

    def _tensor(self, array: NDArray[Any]) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self._model.device)


def _masks_along(both: torch.Tensor) -> torch.Tensor:
    """Return the coalitions along walks, given the rank of each feature, without the empty and the full one."""
    features = both.shape[-1]
    steps = torch.arange(1, features, dtype=torch.int32, device=both.device)
    return (both.int()[..., None, :] < steps[:, None]).view(-1, features)
