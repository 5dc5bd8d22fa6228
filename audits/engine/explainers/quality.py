"""Whether attributions may be relied on: measured, held against bounds, each with a reason.

The measures follow Adebayo et al., "Sanity Checks for Saliency Maps" (2018), for weight randomisation, and
Alvarez-Melis, Jaakkola, "On the Robustness of Interpretability Methods" (2018), for stability under small noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from audits.engine.captions import rank_correlation
from audits.engine.explainers.base import Attribution, Explainer, FloatArray, Scores, Task, quiet
from audits.engine.explainers.exact import MAXIMUM_FEATURES, ExactExplainer
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
from workers.frameworks.base import Inputs, Model
from workers.protocol import JobError

#: Explained rows on which the costly measures are taken.
MEASURED_ROWS = 8
#: Background rows of measures that compare two explanations against the same background.
MEASURED_BACKGROUND = 32
#: Random networks that the model is compared with.
RANDOMISATIONS = 3
#: Noise on a float input, in standard deviations of that input over the background.
NOISE = 0.01
#: With fewer features ranks say too little to compare with a random network.
FEWEST_FEATURES_TO_RANK = 5
#: Exact values are the second opinion where they cost at most so many model evaluations.
EXACT_EVALUATIONS = 500_000


@dataclass(frozen=True)
class Bounds:
    """The largest value of each measure with which an explanation is admitted; None leaves one without a bound."""

    additivity_residual: float | None = 1e-4
    error_estimate: float | None = 0.05
    error_estimate_worst: float | None = 0.15
    stability: float | None = 0.2
    randomisation: float | None = 0.5
    agreement: float | None = 0.15

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read overrides by name.

        Raises:
            JobError: ``unknown_bound``, or ``bound_out_of_range`` for what is neither null nor a number from 0 upwards.
        """
        known = [entry.name for entry in fields(cls)]
        if not isinstance(document, Mapping):
            raise JobError("bound_out_of_range", "`bounds` is an object of measures and numbers.", place="bounds")
        for name, value in document.items():
            if name not in known:
                raise JobError(
                    "unknown_bound", f"There is no measure {name!r} to bound; there are {', '.join(known)}.", place=name
                )
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (is_number and 0 <= value < math.inf):
                raise JobError(
                    "bound_out_of_range", f"The bound {name!r} is null or a number from 0, not {value!r}.", place=name
                )
        return cls(**document)


@dataclass(frozen=True)
class Measure:
    """One measure: its value, its bound, what it was taken on, and where it has no value, why."""

    name: str
    title: str
    note: str
    value: float | None
    bound: float | None
    n: int
    unit: str
    is_applicable: bool = True

    @property
    def is_met(self) -> bool | None:
        """Whether the value is within the bound; None where there is no bound or nothing to measure."""
        if self.bound is None or not self.is_applicable:
            return None
        return self.value is not None and self.value <= self.bound

    @property
    def reason(self) -> str:
        """Why the measure speaks against admission; empty when it does not."""
        if self.is_met is not False:
            return ""
        if self.value is None:
            return f"{self.title}: could not be measured. {self.note}"
        return f"{self.title}: {self.value:.2g}, above the bound of {self.bound:g}."

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "value": self.value,
            "relation": "<=",
            "bound": self.bound,
            "n": self.n,
            "unit": self.unit,
            "met": self.is_met,
            "applicable": self.is_applicable,
        }


@dataclass(frozen=True)
class Subject:
    """What was explained and by what, as the measures need it to explain parts of it again."""

    task: Task
    explainer: Explainer

    def explain(
        self, chosen: NDArray[np.intp], *, explainer: Explainer, rows: Inputs, background: Inputs, seed: int
    ) -> Attribution:
        outputs = self.task.outputs[chosen]
        return explainer.explain(
            replace(
                self.task,
                rows={name: values[chosen] for name, values in rows.items()},
                background=background,
                outputs=outputs,
                seed=seed,
                progress=quiet,
            )
        )


def measure(
    subject: Subject, attribution: Attribution, bounds: Bounds, *, progress: Callable[[str], None] | None = None
) -> list[Measure]:
    """Take all measures of an explanation. The model's weights are the same before and after."""
    tell = progress or (lambda _: None)
    generator = np.random.default_rng([subject.task.seed, 17])
    count = min(MEASURED_ROWS, attribution.row_count)
    chosen = np.sort(generator.choice(attribution.row_count, count, replace=False))
    background_count = subject.task.background_count
    few = np.sort(generator.choice(background_count, min(MEASURED_BACKGROUND, background_count), replace=False))
    small = {name: np.asarray(values)[few] for name, values in subject.task.background.items()}
    brief = PermutationExplainer(PermutationParameters(tolerance=1e9))
    before = subject.explain(chosen, explainer=brief, rows=subject.task.rows, background=small, seed=subject.task.seed)

    measures = [_additivity(subject, attribution, bounds), *_errors(attribution, bounds)]
    tell("stability under small noise")
    measures.append(_stability(subject, before, chosen, brief, small, bounds, generator))
    tell("weight randomisation")
    measures.append(_randomisation(subject, before, chosen, brief, small, bounds, generator))
    tell("agreement with a second estimate")
    measures.append(_agreement(subject, attribution, chosen, bounds))
    return measures


def _additivity(subject: Subject, attribution: Attribution, bounds: Bounds) -> Measure:
    """Base and values against the scores of the rows, computed anew and in batches of another size."""
    scores = Scores(subject.task.model, subject.task.scale).in_chunks(subject.task.rows, 17)
    background = Scores(subject.task.model, subject.task.scale).in_chunks(subject.task.background, 17)
    expected = np.take_along_axis(scores, attribution.output_numbers, axis=1)
    everything = np.concatenate([scores, background])
    spread = float(everything.max() - everything.min()) or 1.0
    return Measure(
        name="additivity_residual",
        title="Additivity residual, largest",
        note="values plus base give back the model's output, relative to the range of the outputs",
        value=float(np.abs(attribution.scores - expected).max()) / spread,
        bound=bounds.additivity_residual,
        n=attribution.row_count,
        unit="rows",
    )


def _errors(attribution: Attribution, bounds: Bounds) -> list[Measure]:
    relative = attribution.relative_errors()
    note = "two standard errors of a row's worst value over its largest value"
    return [
        Measure(
            name="error_estimate",
            title="Estimation error, median of the rows",
            note=note,
            value=_finite(float(np.median(relative))),
            bound=bounds.error_estimate,
            n=attribution.row_count,
            unit="rows",
        ),
        Measure(
            name="error_estimate_worst",
            title="Estimation error, worst row",
            note=note,
            value=_finite(float(relative.max())),
            bound=bounds.error_estimate_worst,
            n=attribution.row_count,
            unit="rows",
        ),
    ]


def _stability(
    subject: Subject,
    before: Attribution,
    chosen: NDArray[np.intp],
    brief: Explainer,
    background: Inputs,
    bounds: Bounds,
    generator: np.random.Generator,
) -> Measure:
    """Explain the same rows with a little noise on their float inputs, with the same permutations."""
    noisy = {}
    is_applicable = False
    for name, values in subject.task.rows.items():
        array = np.asarray(values)
        if np.issubdtype(array.dtype, np.floating):
            is_applicable = True
            spread = np.asarray(subject.task.background[name], dtype=np.float64).std(axis=0)
            array = (array + NOISE * spread * generator.standard_normal(array.shape)).astype(array.dtype)
        noisy[name] = array
    value = None
    if is_applicable:
        after = subject.explain(chosen, explainer=brief, rows=noisy, background=background, seed=subject.task.seed)
        value = _finite(float(np.median(_relative_change(before.flat_values, after.flat_values))))
    return Measure(
        name="stability",
        title="Change under small input noise, median of the rows",
        note=(
            f"largest change of a value over the row's largest value; noise of {NOISE:.0%} of each input's spread"
            if is_applicable
            else "the model takes no input that noise could be added to"
        ),
        value=value,
        bound=bounds.stability,
        n=len(chosen),
        unit="rows",
        is_applicable=is_applicable,
    )


def _randomisation(
    subject: Subject,
    before: Attribution,
    chosen: NDArray[np.intp],
    brief: Explainer,
    background: Inputs,
    bounds: Bounds,
    generator: np.random.Generator,
) -> Measure:
    """Rank correlation of the values with those of the same network with random kernels: it has to be low."""
    is_applicable = subject.task.players.count >= FEWEST_FEATURES_TO_RANK
    correlations: list[float] = []
    note = "rank correlation with the values of the same network with random weights; near 0 when they tell them apart"
    if is_applicable:
        for _ in range(RANDOMISATIONS):
            after = _with_random_weights(
                subject.task.model,
                generator,
                lambda: subject.explain(
                    chosen, explainer=brief, rows=subject.task.rows, background=background, seed=subject.task.seed
                ),
            )
            correlation = rank_correlation(before.values.reshape(-1).tolist(), after.values.reshape(-1).tolist())
            if correlation is not None:
                correlations.append(correlation)
        if not correlations:
            note = "The values do not vary, so they cannot be ranked."
    else:
        note = f"fewer than {FEWEST_FEATURES_TO_RANK} features: ranks say too little"
    return Measure(
        name="randomisation",
        title="Likeness to a random network",
        note=note,
        value=sum(correlations) / len(correlations) if correlations else None,
        bound=bounds.randomisation,
        n=len(chosen) * RANDOMISATIONS,
        unit=f"rows, {RANDOMISATIONS} random networks",
        is_applicable=is_applicable,
    )


def _with_random_weights(model: Model, generator: np.random.Generator, work: Callable[[], Attribution]) -> Attribution:
    """Shuffle each kernel's numbers and give them random signs, do the work, and put the weights back.

    Vectors (biases, scales, running statistics) stay as they are where there are kernels, so that the network keeps
    its scale.
    """
    original = model.weights()
    is_float = {name: np.issubdtype(array.dtype, np.floating) for name, array in original.items()}
    kernels = [name for name, array in original.items() if is_float[name] and array.ndim >= 2]
    changed = dict(original)
    for name in kernels or [name for name in original if is_float[name]]:
        array = original[name]
        numbers = generator.permutation(array.reshape(-1)) * generator.choice([-1.0, 1.0], array.size)
        changed[name] = numbers.reshape(array.shape).astype(array.dtype)
    try:
        model.set_weights(changed)
        return work()
    finally:
        model.set_weights(original)


def _agreement(subject: Subject, attribution: Attribution, chosen: NDArray[np.intp], bounds: Bounds) -> Measure:
    """Explain some rows a second time: exactly where that is cheap, else with other permutations."""
    background_count = subject.task.background_count
    cost = (
        2**subject.task.players.count * background_count * len(chosen)
        if subject.task.players.count <= MAXIMUM_FEATURES
        else None
    )
    is_exact = not isinstance(subject.explainer, ExactExplainer) and cost is not None and cost <= EXACT_EVALUATIONS
    if is_exact:
        other: Explainer = ExactExplainer()
    elif isinstance(subject.explainer, PermutationExplainer):
        other = subject.explainer
    else:
        other = PermutationExplainer()
    second = subject.explain(
        chosen, explainer=other, rows=subject.task.rows, background=subject.task.background, seed=subject.task.seed + 1
    )
    change = _relative_change(attribution.flat_values[chosen], second.flat_values)
    return Measure(
        name="agreement",
        title="Difference of two estimates, median of the rows",
        note="largest difference of a value over the row's largest value, to "
        + ("the exact values" if is_exact else "a second estimate with other permutations"),
        value=_finite(float(np.median(change))),
        bound=bounds.agreement,
        n=len(chosen),
        unit="rows",
    )


def _relative_change(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the largest change of each row over its largest value; 0 where nothing changed."""
    largest = np.abs(first).max(axis=(1, 2))
    change = np.abs(second - first).max(axis=(1, 2))
    relative: FloatArray = np.divide(change, largest, out=np.where(change > 0, np.inf, 0.0), where=largest > 0)
    return relative


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
