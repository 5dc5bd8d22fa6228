"""The importance of each feature over all rows, with its interval, computed in one pass over the attributions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, FloatArray
from audits.engine.explainers.outputs import OutputWords

#: Entries of all outputs together; of more than that, each output keeps those that lead.
MOST_ENTRIES = 20_000
_FEWEST_OF_AN_OUTPUT = 5


class Moments:
    """Running mean and spread of the sizes of values, and the mean of their errors, for some groups of rows.

    Source for adding a block: Chan, Golub, LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
    Variances" (1979).
    """

    def __init__(self, groups: int, features: int) -> None:
        self.counts = np.zeros(groups, dtype=np.int64)
        self.means = np.zeros((groups, features))
        self.errors = np.zeros((groups, features))
        self._squares = np.zeros((groups, features))

    def add(self, groups: NDArray[np.intp] | slice, sizes: FloatArray, errors: FloatArray) -> None:
        """Add rows to groups: ``sizes`` and ``errors`` have the shape (rows, groups, features)."""
        count = len(sizes)
        before, after = self.counts[groups][:, None], self.counts[groups][:, None] + count
        mean = sizes.mean(axis=0)
        change = mean - self.means[groups]
        self._squares[groups] += ((sizes - mean) ** 2).sum(axis=0) + change**2 * before * count / after
        self.means[groups] += change * count / after
        self.errors[groups] += (errors.mean(axis=0) - self.errors[groups]) * count / after
        self.counts[groups] += count

    def halves(self, group: int) -> FloatArray | None:
        """Return half the width of each feature's 95 % interval; None where a single row gives none."""
        count = int(self.counts[group])
        if count < 2:
            return None
        spread = np.sqrt(self._squares[group] / (count - 1)) / math.sqrt(count)
        halves: FloatArray = 1.96 * np.hypot(spread, self.errors[group])
        return halves


class Importance:
    """The mean size of each feature's values, of the output each row is shown by, and of every output by itself.

    The 95 % interval is over rows and estimator error together. All rows share what is drawn at random, so the
    estimator error does not shrink with the number of rows; with a single row there is no interval.
    """

    def __init__(self, attribution: Attribution, shown: NDArray[np.intp], *, outputs_vary: bool) -> None:
        """Go through all values.

        Args:
            shown: the column of ``attribution`` that each row is shown by, shape (rows,).
            outputs_vary: whether a column stands for another output from row to row; there is one column then.
        """
        features = len(attribution.feature_names)
        numbers = attribution.output_numbers
        self._feature_names = attribution.feature_names
        self.outputs = np.unique(numbers) if outputs_vary else np.array(numbers[0])
        self._of_shown = Moments(1, features)
        self._of_outputs = Moments(len(self.outputs), features)
        for rows in attribution.blocks():
            sizes, errors = np.abs(attribution.flat_values[rows]), np.asarray(attribution.flat_errors[rows])
            column = shown[rows][:, None, None]
            self._of_shown.add(
                slice(None),
                np.take_along_axis(sizes, column, axis=2).swapaxes(1, 2),
                np.take_along_axis(errors, column, axis=2).swapaxes(1, 2),
            )
            if not outputs_vary:
                self._of_outputs.add(slice(None), sizes.swapaxes(1, 2), errors.swapaxes(1, 2))
                continue
            for output in np.unique(numbers[rows]):
                holds = numbers[rows][:, 0] == output
                group = np.flatnonzero(self.outputs == output)
                self._of_outputs.add(group, sizes[holds].swapaxes(1, 2), errors[holds].swapaxes(1, 2))

    def of_shown(self) -> list[dict[str, Any]]:
        """Return an entry for each feature, largest first: ``feature``, ``value``, and ``low`` and ``high`` or None."""
        return self._entries(self._of_shown, 0)

    def by_output(self, words: OutputWords) -> list[dict[str, Any]]:
        """Return for each output its ``output``, ``name``, ``unit``, ``rows`` and leading ``importance``."""
        most = max(_FEWEST_OF_AN_OUTPUT, MOST_ENTRIES // len(self.outputs))
        return [
            {
                "output": int(output),
                "name": words.name(int(output)),
                "unit": words.unit(int(output)),
                "rows": int(self._of_outputs.counts[group]),
                "importance": self._entries(self._of_outputs, group, most),
            }
            for group, output in enumerate(self.outputs)
        ]

    def _entries(self, moments: Moments, group: int, most: int | None = None) -> list[dict[str, Any]]:
        means, halves = moments.means[group], moments.halves(group)
        order: Sequence[int] = np.argsort(-means, kind="stable")[:most].tolist()
        return [
            {
                "feature": self._feature_names[place],
                "value": float(means[place]),
                "low": None if halves is None else max(0.0, float(means[place] - halves[place])),
                "high": None if halves is None else float(means[place] + halves[place]),
            }
            for place in order
        ]
