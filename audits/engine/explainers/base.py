"""What an explainer is, and what it gives: attributions with the error of every value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.players import Players
from workers.frameworks.base import Inputs, Model
from workers.frameworks.coalitions import Scale, refuse_unless_finite, scores_of
from workers.protocol import JobError

if TYPE_CHECKING:
    import shap

FloatArray = NDArray[np.float64]

#: Called with rows done (a fraction is of those that are being explained), rows in all, and a few words.
ProgressCallback = Callable[[float, float, str], None]

#: Rows of one forward pass: large enough to keep a framework busy, small enough for the processor's cache.
CHUNK_ROWS = 2048
#: Where something is computed of all values, block after block, what the values of one block take. It is fixed, so that
#: sums over blocks have the same last digits however much memory a job may use.
BLOCK_BYTES = 4 * 1024 * 1024


#: The arrays of an attribution whose first axis is the rows.
_BY_ROW = ("values", "base_values", "errors", "data", "output_numbers", "evaluations")


@dataclass(frozen=True)
class Attribution:
    """Shapley values of rows, each with its standard error.

    Attributes:
        values: shape (rows, *features, outputs). With the base they add up to the score.
        base_values: the mean score over the background rows, shape (rows, outputs).
        errors: the standard error of each value, shaped like ``values``; 0 where a value is exact.
        data: the value of each feature, shape (rows, *features).
        feature_names: one a feature, in C order of the feature axes.
        output_names: one an output of ``values``.
        output_numbers: which of the model's outputs each one is, shape (rows, outputs).
        evaluations: model rows computed for each explained row, shape (rows,).
        scale: ``logits`` or ``probabilities``.
        hierarchy: how features were grouped, where the method groups them: shape (features - 1, 4), a linkage matrix as
            of ``scipy.cluster.hierarchy``.
    """

    values: FloatArray
    base_values: FloatArray
    errors: FloatArray
    data: FloatArray
    feature_names: tuple[str, ...]
    output_names: tuple[str, ...]
    output_numbers: NDArray[np.intp]
    evaluations: NDArray[np.int64]
    scale: Scale = "logits"
    hierarchy: FloatArray | None = None

    @classmethod
    def joined(cls, parts: Sequence[Attribution]) -> Attribution:
        """Return the attributions of consecutive rows as one."""
        if len(parts) == 1:
            return parts[0]
        arrays: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in _BY_ROW}
        return replace(parts[0], **arrays)

    def of_rows(self, places: NDArray[np.intp]) -> Attribution:
        """Return the attributions of some of the rows."""
        return replace(self, **{name: getattr(self, name)[places] for name in _BY_ROW})

    @property
    def row_count(self) -> int:
        return len(self.values)

    @property
    def flat_values(self) -> FloatArray:
        """The values with one feature axis: (rows, features, outputs)."""
        values: FloatArray = self.values.reshape(self.row_count, len(self.feature_names), -1)
        return values

    @property
    def flat_errors(self) -> FloatArray:
        """The standard errors with one feature axis."""
        errors: FloatArray = self.errors.reshape(self.row_count, len(self.feature_names), -1)
        return errors

    def let_go(self) -> None:
        """Give back the memory of what was read from files; what is in memory stays there."""

    def blocks(self) -> Iterator[slice]:
        """Yield consecutive rows, so few that what is computed of them needs little memory."""
        bytes_of_row = max(1, len(self.feature_names) * len(self.output_names) * 8)
        step = max(1, BLOCK_BYTES // bytes_of_row)
        for start in range(0, self.row_count, step):
            yield slice(start, min(start + step, self.row_count))
            self.let_go()

    @property
    def scores(self) -> FloatArray:
        """What base and values add up to, shape (rows, outputs)."""
        scores: FloatArray = np.array(self.base_values)
        for rows in self.blocks():
            scores[rows] += self.flat_values[rows].sum(axis=1)
        return scores

    def mean_of(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> FloatArray:
        """Return the mean of the values of some rows, each for the output in one column, shape (features,)."""
        total = np.zeros(len(self.feature_names))
        step = max(1, BLOCK_BYTES // (8 * len(total) * len(self.output_names)))
        for start in range(0, len(rows), step):
            some = slice(start, start + step)
            total += self.flat_values[rows[some], :, columns[some]].sum(axis=0)
            self.let_go()
        return total / len(rows)

    def relative_errors(self) -> FloatArray:
        """Return two standard errors of the worst value over the largest value of its row, shape (rows,)."""
        relative: FloatArray = np.empty(self.row_count)
        for rows in self.blocks():
            widest = 2 * self.flat_errors[rows].max(axis=(1, 2))
            largest = np.abs(self.flat_values[rows]).max(axis=(1, 2))
            relative[rows] = np.divide(widest, largest, out=np.where(widest > 0, np.inf, 0.0), where=largest > 0)
        return relative

    def to_shap(self) -> shap.Explanation:
        """Return the same as ``shap.Explanation``, for shap's own plots; a single output has no axis there."""
        import shap

        one = len(self.output_names) == 1
        is_flat = self.values.ndim == 3
        return shap.Explanation(
            values=self.values[..., 0] if one else self.values,
            base_values=self.base_values[:, 0] if one else self.base_values,
            data=self.data,
            feature_names=list(self.feature_names) if is_flat else None,
            output_names=None if one else list(self.output_names),
            error_std=self.errors[..., 0] if one else self.errors,
        )


def quiet(done: float, total: float, message: str) -> None:
    """Tell nobody how far it is."""


@dataclass(frozen=True)
class Task:
    """What is to be explained: the scores of rows of a model, against background rows.

    Attributes:
        outputs: the numbers of the model's outputs to explain for each row, shape (rows, outputs).
        output_names: one a column of ``outputs``.
        seed: of all that is drawn at random; the same task has the same attributions, bit for bit.
    """

    model: Model
    rows: Inputs
    background: Inputs
    players: Players
    outputs: NDArray[np.intp]
    output_names: tuple[str, ...]
    seed: int
    scale: Scale = "logits"
    progress: ProgressCallback = quiet

    def __post_init__(self) -> None:
        """Refuse an explanation of nothing, or against nothing."""
        if not self.row_count:
            raise JobError("no_rows", "There is no row to explain; choose a split that has rows.", place="rows")
        if not self.background_count:
            raise JobError(
                "no_background_rows",
                "There is no background row; attributions compare with the background and need at least one.",
                place="background",
            )

    @property
    def row_count(self) -> int:
        return len(next(iter(self.rows.values())))

    @property
    def background_count(self) -> int:
        return len(next(iter(self.background.values())))


class Explainer(ABC):
    """A way to attribute a model's scores to its features. A plug-in of ``assay.explainers`` is one such class.

    ``parameters`` is a dataclass of the explainer's own settings; an instance of it is given to the constructor.
    ``estimand`` says in a few words what the values are estimates of; ``is_additive`` whether values and base add up to
    the score by construction, or only as well as the values are known.
    """

    name: ClassVar[str]
    parameters: ClassVar[type[Any]]
    estimand: ClassVar[str] = "interventional Shapley values"
    is_additive: ClassVar[bool] = True

    def __init__(self, settings: Any = None) -> None:
        self.settings = self.parameters() if settings is None else settings

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Make an explainer with settings by name.

        Raises:
            JobError: ``unknown_parameter``, or ``parameter_out_of_range`` when the dataclass refuses a value.
        """
        known = [entry.name for entry in fields(cls.parameters)]
        for name in document:
            if name not in known:
                raise JobError(
                    "unknown_parameter",
                    f"The explainer {cls.name!r} has no parameter {name!r}; it has {', '.join(known) or 'none'}.",
                    place=name,
                )
        try:
            return cls(cls.parameters(**document))
        except (TypeError, ValueError) as error:
            raise JobError("parameter_out_of_range", str(error), place=cls.name) from error

    def explain(self, task: Task) -> Attribution:
        """Attribute the scores of all rows, as one.

        Raises:
            JobError: a score that is not a number, too many features for the method, a model that it cannot explain.
        """
        return Attribution.joined(list(self.parts(task)))

    @abstractmethod
    def parts(self, task: Task, *, first: int = 0) -> Iterator[Attribution]:
        """Yield the attributions of consecutive rows, a bounded number at a time, beginning with row ``first``.

        ``first`` is 0 or where a part ended: who kept the parts before goes on from there and gets the same values, bit
        for bit, as from the beginning.
        """


class Scores:
    """The scores of a model on one scale, as float64 of shape (rows, outputs), refused when not numbers."""

    def __init__(self, model: Model, scale: Scale) -> None:
        self.model = model
        self.scale = scale

    def __call__(self, inputs: Inputs) -> FloatArray:
        scores = scores_of(self.model, inputs, self.scale)
        refuse_unless_finite(scores, self.model)
        return scores

    def in_chunks(self, inputs: Inputs, chunk_rows: int = CHUNK_ROWS) -> FloatArray:
        """Return the scores of many rows, chunk after chunk."""
        count = len(next(iter(inputs.values())))
        parts = [
            self({name: values[start : start + chunk_rows] for name, values in inputs.items()})
            for start in range(0, count, chunk_rows)
        ]
        return np.concatenate(parts)
