"""The job kind ``explanation``: attributions of rows, their quality, and the charts that show them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from audits.engine.explainers import explainer_named
from audits.engine.explainers.base import Attribution, Explainer, FloatArray, Scores, Task
from audits.engine.explainers.drawing import draw_charts
from audits.engine.explainers.outputs import OutputWords
from audits.engine.explainers.players import check_finite, players_of
from audits.engine.explainers.quality import Measure, Subject, measure
from audits.engine.explainers.request import Request
from workers.context import JobContext
from workers.datasets.arrays import model_inputs, read_table, select
from workers.datasets.canonical import content_digest, missing_rows, one_array
from workers.datasets.schema import Schema
from workers.frameworks.base import Inputs
from workers.frameworks.loading import load_model
from workers.protocol import JobError
from workers.signature import Signature

#: Rows that ``rows.json`` holds for the page; ``attributions.npz`` holds all.
PAGE_ROWS = 500


def run(context: JobContext) -> dict[str, Any]:
    """Explain rows of a data set and say whether a report may rest on it."""
    request = Request.from_json(context.parameters, seed=context.spec.seed)
    explainer = _explainer(request)
    part, part_numbers = select(read_table(context.input("dataset")), request.schema, request.split)
    table, row_numbers = _chosen_rows(part, part_numbers, request)
    background_part, background_numbers = select(
        read_table(context.input("background")), request.background_schema, request.background_split
    )
    background_table, background_numbers = _sampled(
        background_part, background_numbers, request.background_rows, np.random.default_rng([request.seed, 2])
    )
    rows = _inputs(table, row_numbers, request.schema, request.signature, what="data set")
    background = _inputs(
        background_table, background_numbers, request.background_schema, request.signature, what="background"
    )
    players = players_of(request.signature, request.schema, patch=request.patch)

    model = load_model(
        context.input("model"),
        framework=request.framework,
        signature=request.signature,
        device=context.device,
        seed=request.seed,
    )
    scores = Scores(model, request.scale).in_chunks(rows)
    words = OutputWords(request.signature, count=scores.shape[1], scale=request.scale)
    predicted = words.predicted(scores)
    outputs = _chosen_outputs(request, words, predicted, len(table))
    output_names = words.names_of(outputs, is_predicted=request.outputs == "predicted")
    task = Task(
        model=model,
        rows=rows,
        background=background,
        players=players,
        outputs=outputs,
        output_names=output_names,
        seed=request.seed,
        scale=request.scale,
        progress=lambda done, total, message: context.progress(done, total, "rows", message),
    )
    attribution = explainer.explain(task)
    row_count = len(table)
    measures = measure(
        Subject(task, explainer),
        attribution,
        request.bounds,
        progress=lambda message: context.progress(row_count, row_count, "rows", message),
    )
    shown = words.shown_columns(outputs, predicted)
    page_rows = _page_rows(request, table, row_numbers, attribution, scores, predicted, words, shown)
    _write_files(context, attribution, row_numbers, page_rows, players.grid, words)
    importance = importance_of(attribution, shown)
    charts = draw_charts(
        context,
        attribution=attribution,
        importance=importance,
        page_rows=page_rows,
        grid=players.grid,
        words=words,
        predicted=predicted,
        seed=request.seed,
    )
    reasons = [reason for reason in (entry.reason for entry in measures) if reason]
    return {
        "quality": {entry.name: entry.value for entry in measures},
        "admitted": not reasons,
        "reasons": reasons,
        "summary": {
            "measures": [entry.to_json() for entry in measures],
            "bounds": asdict(request.bounds),
            "sentence": _sentence(measures, reasons),
            "method": request.method,
            "scale": request.scale,
            "unit": words.unit_of_all(outputs),
            "output_names": list(output_names),
            "feature_names": list(players.names),
            "grid": list(players.grid) if players.are_pixels else None,
            "patch": players.patch,
            "importance": importance,
            "rows": len(table),
            "rows_asked": request.rows if isinstance(request.rows, int) else len(request.rows),
            "rows_available": len(part),
            "page_rows": len(page_rows),
            "background_rows": len(background_table),
            "background_available": len(background_part),
            "background_digest": content_digest(background_table),
            "split": request.split,
            "background_split": request.background_split,
            "tolerance": request.tolerance,
            "seed": request.seed,
            "evaluations": int(attribution.evaluations.sum()) + len(background_table),
        },
        "charts": charts,
    }


def importance_of(attribution: Attribution, shown: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Return the mean size of each feature's values for the shown output of each row, largest first.

    The 95 % interval is over rows and estimator error together. All rows share their permutations, so the estimator
    error does not shrink with the number of rows; with a single row there is no interval.
    """
    sizes = np.abs(np.take_along_axis(attribution.flat_values, shown[:, None, None], axis=2)[:, :, 0])
    errors = np.take_along_axis(attribution.flat_errors, shown[:, None, None], axis=2)[:, :, 0]
    means = sizes.mean(axis=0)
    entries = []
    for place in np.argsort(-means, kind="stable"):
        entry: dict[str, Any] = {"feature": attribution.feature_names[place], "value": float(means[place])}
        entry["low"] = entry["high"] = None
        if len(sizes) > 1:
            half = 1.96 * math.hypot(sizes[:, place].std(ddof=1) / math.sqrt(len(sizes)), errors[:, place].mean())
            entry["low"], entry["high"] = max(0.0, float(means[place] - half)), float(means[place] + half)
        entries.append(entry)
    return entries


def _explainer(request: Request) -> Explainer:
    explainer = explainer_named(request.method)
    takes_tolerance = "tolerance" in getattr(explainer.parameters, "__dataclass_fields__", {})
    return explainer.from_json({"tolerance": request.tolerance} if takes_tolerance else {})


def _chosen_rows(part: pa.Table, numbers: NDArray[np.int64], request: Request) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return the rows to explain: a random sample, or those named, in the order named."""
    if isinstance(request.rows, int):
        return _sampled(part, numbers, request.rows, np.random.default_rng([request.seed, 1]))
    place_of = {int(number): place for place, number in enumerate(numbers)}
    where = f"the split {request.split!r}" if request.split else "the data set"
    seen: set[int] = set()
    for number in request.rows:
        if number not in place_of:
            raise JobError(
                "row_not_there",
                f"Row {number} is not in {where}, which has {len(numbers):,} rows with numbers from "
                f"{int(numbers.min(initial=0))} to {int(numbers.max(initial=0))}.",
                place=f"row {number}",
            )
        if number in seen:
            raise JobError("row_named_twice", f"Row {number} is named twice.", place=f"row {number}")
        seen.add(number)
    places = np.asarray([place_of[number] for number in request.rows], dtype=np.int64)
    return part.take(pa.array(places)), numbers[places]


def _sampled(
    part: pa.Table, numbers: NDArray[np.int64], count: int, generator: np.random.Generator
) -> tuple[pa.Table, NDArray[np.int64]]:
    """Return a random sample without replacement in the table's order, or all rows where there are no more."""
    if count >= len(numbers):
        return part, numbers
    places = np.sort(generator.choice(len(numbers), count, replace=False))
    return part.take(pa.array(places)), numbers[places]


def _inputs(
    table: pa.Table, row_numbers: NDArray[np.int64], schema: Schema, signature: Signature, *, what: str
) -> Inputs:
    """Return the model's inputs; a row without all its values is named by its number in the whole data set."""
    for spec in signature.inputs:
        for name in spec.columns or (spec.name,):
            if name in table.column_names:
                missing = np.flatnonzero(missing_rows(one_array(table.column(name))))
                if len(missing):
                    number = int(row_numbers[missing[0]])
                    raise JobError(
                        "row_not_finite",
                        f"Row {number} of the {what} has no value in the column {name!r}, and {len(missing) - 1:,} "
                        "more rows have none; clean the data or leave them out.",
                        place=f"row {number}",
                    )
    inputs = model_inputs(table, schema, signature)
    check_finite(inputs, row_numbers, what=what)
    return inputs


def _chosen_outputs(
    request: Request, words: OutputWords, predicted: NDArray[np.intp], row_count: int
) -> NDArray[np.intp]:
    """Return the outputs to explain for each row, shape (rows, outputs)."""
    if request.outputs == "predicted":
        if not words.has_classes and words.count > 1:
            raise JobError(
                "no_predicted_output",
                f"The output {request.signature.output.name!r} has {words.count} values and no classes, so none of "
                "them is the predicted one; name the outputs by number.",
                place="outputs",
            )
        return words.column_of(predicted)[:, None]
    chosen = range(words.count) if request.outputs == "all" else request.outputs
    for number in chosen:
        if number >= words.count:
            raise JobError(
                "output_not_there",
                f"The model has no output {number}; its {words.count} outputs are numbered from 0.",
                place="outputs",
            )
    return np.tile(np.asarray(list(chosen), dtype=np.intp), (row_count, 1))


def _page_rows(
    request: Request,
    table: pa.Table,
    row_numbers: NDArray[np.int64],
    attribution: Attribution,
    scores: FloatArray,
    predicted: NDArray[np.intp],
    words: OutputWords,
    shown: NDArray[np.intp],
) -> list[dict[str, Any]]:
    """Return what a page shows of each row: who it is, what the model gives, and the values of one output."""
    count = min(PAGE_ROWS, len(table))
    identifier = next(iter(request.schema.with_role("id")), None)
    identifiers = _texts(table, identifier, count)
    targets = _texts(table, request.schema.target, count)
    data = attribution.data.reshape(attribution.row_count, -1)
    entries = []
    for place in range(count):
        column = int(shown[place])
        output = int(attribution.output_numbers[place, column])
        entries.append(
            {
                "row": int(row_numbers[place]),
                "id": identifiers[place],
                "target": targets[place],
                "logits": scores[place].tolist(),
                "predicted": int(predicted[place]) if words.has_classes else None,
                "predicted_label": words.label(int(predicted[place])) if words.has_classes else None,
                "output": output,
                "output_name": words.name(output),
                "unit": words.unit(output),
                "base": float(attribution.base_values[place, column]),
                "values": attribution.flat_values[place, :, column].tolist(),
                "errors": attribution.flat_errors[place, :, column].tolist(),
                "data": data[place].tolist(),
            }
        )
    return entries


def _texts(table: pa.Table, column: str | None, count: int) -> list[Any]:
    """Return a column's first values as JSON has them; other than numbers and truth become text."""
    if column is None:
        return [None] * count
    values = table.column(column).slice(0, count).to_pylist()
    return [
        value if isinstance(value, str | int | bool) or (isinstance(value, float) and math.isfinite(value)) else
        (None if value is None else str(value))
        for value in values
    ]  # fmt: skip


def _write_files(
    context: JobContext,
    attribution: Attribution,
    row_numbers: NDArray[np.int64],
    page_rows: list[dict[str, Any]],
    grid: tuple[int, ...],
    words: OutputWords,
) -> None:
    np.savez_compressed(
        context.output("attributions.npz"),
        values=attribution.values,
        base_values=attribution.base_values,
        errors=attribution.errors,
        data=attribution.data,
        row_numbers=row_numbers,
        output_numbers=attribution.output_numbers.astype(np.int64),
        feature_names=np.asarray(attribution.feature_names, dtype=np.str_),
        output_names=np.asarray(attribution.output_names, dtype=np.str_),
    )
    document = {
        "scale": attribution.scale,
        "feature_names": list(attribution.feature_names),
        "output_names": [words.name(number) for number in range(words.count)],
        "grid": list(grid) if len(grid) == 2 else None,
        "rows": page_rows,
    }
    context.output("rows.json").write_text(
        json.dumps(document, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )


def _sentence(measures: list[Measure], reasons: list[str]) -> str:
    bounded = sum(entry.is_met is not None for entry in measures)
    if not reasons:
        return f"All {bounded} bounded measures are within their bounds. A report may rest on these values."
    return (
        f"{len(reasons)} of {bounded} bounded measures {'is' if len(reasons) == 1 else 'are'} outside "
        f"{'its bound' if len(reasons) == 1 else 'their bounds'}. No report may rest on these values."
    )
