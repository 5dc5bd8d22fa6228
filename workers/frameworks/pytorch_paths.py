"""Gradients at many points on paths at once: composed, differentiated and summed up on the device."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from workers.frameworks.paths import PathGradients, Paths, Points
from workers.frameworks.pytorch_entrances import Ends
from workers.frameworks.rows import chunks
from workers.protocol import JobError

#: Gives logits, shape (points, outputs), for one tensor an entrance.
Scores = Callable[[list[torch.Tensor]], torch.Tensor]


def path_gradients(
    paths: Paths, ends: Sequence[Ends], scores: Scores, *, device: str, chunk_rows: int
) -> PathGradients:
    """Return what ``Model.path_gradients`` promises."""

    def gradients(points: Points) -> NDArray[np.float64]:
        sums = np.zeros((points.group_count, paths.feature_count, points.output_count))
        for places in chunks(len(points), chunk_rows):
            part, first = points.part(places)
            sums[first : first + part.group_count] += of_part(part).double().cpu().numpy()
        return sums

    def of_part(points: Points) -> torch.Tensor:
        rows, background_rows, positions, groups, outputs = (
            # A copy: some of these are broadcast, and PyTorch warns of arrays that cannot be written to.
            torch.tensor(values, device=device)
            for values in (points.rows, points.background_rows, points.positions, points.groups, points.outputs)
        )
        leaves, steps = [], []
        for end in ends:
            start = end.background[background_rows]
            step = end.rows[rows] - start
            position = positions.to(start.dtype).reshape(-1, *[1] * (start.ndim - 1))
            leaves.append(torch.addcmul(start, position, step).requires_grad_())
            steps.append(step)
        # A copy of each leaf goes in: an in-place operator may write to what it is given.
        answer = scores([leaf.clone() for leaf in leaves])
        if not answer.requires_grad:
            raise JobError("no_gradient", "The output does not depend on the inputs in a way that has a gradient.")
        chosen = answer.gather(1, outputs)
        sums = chosen.new_zeros(points.group_count, paths.feature_count, points.output_count)
        for column in range(points.output_count):
            is_last = column + 1 == points.output_count
            found = torch.autograd.grad(chosen[:, column].sum(), leaves, allow_unused=True, retain_graph=not is_last)
            for gradient, step, end in zip(found, steps, ends, strict=True):
                if gradient is not None:
                    values = end.summed_by_feature(gradient * step, paths.feature_count)
                    sums[:, :, column].index_add_(0, groups, values)
        return sums

    return gradients
