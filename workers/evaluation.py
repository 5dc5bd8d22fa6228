"""The runner of the job kind ``evaluation``: how well a model does its task, overall and by slice, alone or compared.

Every number has an interval and the rows it was measured on. Two models are compared on the same rows, paired.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workers import metrics
from workers.context import JobContext
from workers.datasets import arrays
from workers.datasets.schema import Schema
from workers.frameworks.base import Inputs, Model
from workers.frameworks.loading import load_model
from workers.frameworks.rows import target_values
from workers.protocol import JobError, Json
from workers.signature import Signature
from workers.slices import Slice, slices_of
from workers.statistics import Interval, WeightedStatistic, resample, wilson

PREDICTIONS = "predictions.parquet"

#: Slices of fewer rows than this are shown, and said to be too small to lean on.
SMALL_SLICE = 30
SMALL_SLICE_NOTE = f"fewer than {SMALL_SLICE} rows: too few to lean on"

#: The metric that a comparison is told by, for each task.
LEADING = {"classification": "accuracy", "regression": "rmse"}

#: Rows between two messages of progress.
PROGRESS_ROWS = 8192


@dataclass(frozen=True)
class Answers:
    """What one model said about the rows: probabilities (rows, classes), or values (rows, outputs), and the truth."""

    scores: NDArray[np.float64]
    targets: NDArray[Any]
    predicted: NDArray[Any]

    def statistics(self, task: str, mask: NDArray[np.bool_]) -> dict[str, WeightedStatistic]:
        build = metrics.classification if task == "classification" else metrics.regression
        return build(self.targets[mask], self.scores[mask])


def run(context: JobContext) -> dict[str, Json]:
    """Measure a model on a data set; see the module."""
    parameters = context.parameters
    task = parameters["task"]
    if task not in LEADING:
        raise JobError("task_unknown", f"The task {task!r} is not one of {', '.join(LEADING)}.", place="task")
    schema = Schema.from_json(parameters["schema"])
    table, numbers = arrays.select(arrays.read_table(context.input("dataset")), schema, parameters.get("split"))
    if not len(numbers):
        raise JobError("no_rows", "The data set has no rows to evaluate on.", place="dataset")
    parts = [Slice("", np.ones(len(numbers), bool)), *slices_of(table, list(parameters.get("slices") or []))]
    model = _load(context, "model", parameters)
    answers = _answers(context, model, table, schema, task, numbers)
    others = None
    if parameters.get("other") is not None:
        other = _load(context, "other", parameters["other"])
        others = _answers(context, other, table, schema, task, numbers)
        _demand_same_targets(answers, others, model.signature, other.signature)
    generator = np.random.default_rng(context.spec.seed)
    measured, differences = [], []
    for done, part in enumerate(parts):
        context.progress(done, len(parts), "slices", f"intervals of {part.name or 'all rows'}")
        own, compared = _measure(part, answers, others, task, generator)
        measured += own
        differences += compared
    _write_predictions(context, numbers, answers, others, model.signature)
    comparison = None
    if others is not None:
        comparison = {"metrics": differences, "sentence": _sentence(measured, differences, task)}
    return {"metrics": measured, "comparison": comparison, "row_count": len(numbers)}


def _load(context: JobContext, name: str, described: Mapping[str, Any]) -> Model:
    return load_model(
        context.input(name),
        framework=described["framework"],
        signature=Signature.from_json(described["signature"]),
        device=context.device,
        seed=context.spec.seed,
    )


def _answers(
    context: JobContext, model: Model, table: pa.Table, schema: Schema, task: str, numbers: NDArray[np.int64]
) -> Answers:
    output = model.signature.output
    if (task == "classification") != bool(output.class_count):
        raise JobError(
            "task_does_not_fit",
            f"The task is a {task}, and the output {output.name!r} of the model is of kind {output.kind}.",
            place=output.name,
        )
    targets = arrays.targets(table, schema, model.signature, "classification" if output.class_count else "regression")
    answer = _forward(context, model, arrays.model_inputs(table, schema, model.signature), len(numbers))
    if output.class_count:
        scores = metrics.probabilities_of(answer, output)
        return Answers(scores=scores, targets=targets, predicted=scores.argmax(1))
    scores = answer.astype(np.float64)
    metrics.check_finite(scores, output)
    truth = target_values(targets, model.signature).astype(np.float64)
    return Answers(scores=scores, targets=truth, predicted=scores)


def _forward(context: JobContext, model: Model, inputs: Inputs, count: int) -> NDArray[Any]:
    parts = []
    for start in range(0, count, PROGRESS_ROWS):
        context.progress(start, count, "rows", "predictions")
        rows = slice(start, min(start + PROGRESS_ROWS, count))
        parts.append(model.forward({name: array[rows] for name, array in inputs.items()}))
    return np.concatenate(parts)


def _demand_same_targets(answers: Answers, others: Answers, ours: Signature, theirs: Signature) -> None:
    if ours.output.class_count != theirs.output.class_count or not np.array_equal(answers.targets, others.targets):
        raise JobError(
            "models_not_comparable",
            f"The two models do not tell the same classes apart: {_told(ours)} against {_told(theirs)}, in this order.",
            place="other",
        )


def _told(signature: Signature) -> str:
    output = signature.output
    return ", ".join(output.classes[:12]) or f"{output.class_count} classes without labels"


def _measure(
    part: Slice, answers: Answers, others: Answers | None, task: str, generator: np.random.Generator
) -> tuple[list[Json], list[Json]]:
    """Return the metrics of one slice and, where there is another model, the differences."""
    n = int(part.mask.sum())
    own = answers.statistics(task, part.mask)
    theirs = {} if others is None else others.statistics(task, part.mask)
    drawn = resample({**own, **{f"other {name}": each for name, each in theirs.items()}}, n, generator=generator)
    measured = []
    for name in own:
        interval = drawn.interval(name)
        if name == "accuracy":
            interval = wilson(int((answers.predicted == answers.targets)[part.mask].sum()), n)
        measured.append({"name": name, "slice": part.name or None, **interval.to_json(), **_note(n)})
    compared = [_difference(name, part, drawn.difference(name, f"other {name}")) for name in theirs]
    return measured, compared


def _difference(name: str, part: Slice, interval: Interval) -> dict[str, Json]:
    low, high = interval.low, interval.high
    return {
        "name": name,
        "slice": part.name or None,
        "difference": interval.value,
        "low": low,
        "high": high,
        "n": interval.n,
        "method": interval.method,
        "significant": None if low is None or high is None else low > 0 or high < 0,
        **_note(interval.n),
    }


def _note(n: int) -> dict[str, Json]:
    return {"note": SMALL_SLICE_NOTE} if n < SMALL_SLICE else {}


def _sentence(measured: list[Json], differences: list[Json], task: str) -> str:
    """Tell the comparison by its leading metric: what differs, by how much, and whether the rows show it."""
    name = LEADING[task]
    own = next(entry for entry in measured if entry["name"] == name and entry["slice"] is None)
    difference = next(entry for entry in differences if entry["name"] == name and entry["slice"] is None)
    title, n = {"accuracy": "Accuracy", "rmse": "RMSE"}[name], own["n"]
    other = own["value"] - difference["difference"]
    told = f"{title} is {own['value']:.3f}, that of the other version {other:.3f}, on the same {n:,} rows"
    if difference["significant"] is None:
        return f"{told}; no interval can be given, so they are not shown to differ."
    interval = (
        f"a difference of {_signed(difference['difference'])} "
        f"({_signed(difference['low'])} to {_signed(difference['high'])}, paired, 95 %)"
    )
    if not difference["significant"]:
        return f"{told}: {interval}. They are not shown to differ."
    better = (difference["difference"] > 0) == (name in metrics.RISING)
    return f"{told}: {interval}. This version does {'better' if better else 'worse'}."


def _signed(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _write_predictions(
    context: JobContext,
    numbers: NDArray[np.int64],
    answers: Answers,
    others: Answers | None,
    signature: Signature,
) -> None:
    """Write one line a row: its number in the data set, the target, what was predicted, and the scores."""
    labels = signature.output.classes
    columns: dict[str, Any] = {"row": pa.array(numbers), "target": _labelled(answers.targets, labels)}
    for prefix, each in (("", answers), ("other_", others)):
        if each is not None:
            columns[f"{prefix}prediction"] = _labelled(each.predicted, labels)
            scores = np.ascontiguousarray(each.scores)
            columns[f"{prefix}scores"] = pa.FixedSizeListArray.from_arrays(pa.array(scores.ravel()), scores.shape[1])
    table = pa.table(columns).replace_schema_metadata({"classes": "\n".join(labels)})
    pq.write_table(table, context.output(PREDICTIONS), compression="zstd")


def _labelled(values: NDArray[Any], labels: tuple[str, ...]) -> pa.Array:
    if labels:
        return pa.array(np.asarray(labels, dtype=object)[values], pa.string())
    if values.ndim == 1:
        return pa.array(values)
    if values.shape[1] == 1:
        return pa.array(values[:, 0])
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(values).ravel()), values.shape[1])
