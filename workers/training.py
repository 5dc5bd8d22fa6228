"""The runner of the job kind ``training``: trains a version further by a recipe, and writes the new model file."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workers.artifacts.formats import FORMATS
from workers.artifacts.inspection import inspect
from workers.artifacts.limits import Limits
from workers.artifacts.rewrite import rewrite
from workers.charts import BLUE, OCHRE, save_chart
from workers.context import JobContext
from workers.datasets import arrays
from workers.datasets.schema import Schema
from workers.frameworks.base import EpochRecord, History, TrainingRows
from workers.frameworks.fitting import objective_of
from workers.frameworks.loading import load_model
from workers.frameworks.weights import digest_of_weights, parameter_count
from workers.protocol import JobError, Json
from workers.recipe import Recipe
from workers.signature import Signature

#: Mixed into the recipe's seed for the validation split, so that it is not the shuffle's first permutation.
SPLIT_STREAM = 1


def run(context: JobContext) -> dict[str, Json]:
    """Train, and return history, summary and a description of the new model file."""
    parameters = context.parameters
    signature = Signature.from_json(parameters["signature"])
    schema = Schema.from_json(parameters["schema"])
    recipe = Recipe.from_json(parameters["recipe"])
    # What can be told without a framework is told before one is paid for.
    objective_of(recipe, signature)
    rows = training_rows(context, schema, signature, recipe, parameters.get("split"))
    model = load_model(
        context.input("model"),
        framework=parameters["framework"],
        signature=signature,
        device=context.device,
        seed=recipe.seed,
    )
    context.progress(0, recipe.epochs, "epochs", f"{len(rows.targets):,} rows")
    started = time.perf_counter()

    def on_epoch(record: EpochRecord) -> None:
        context.progress(record.epoch, recipe.epochs, "epochs", _message(record))

    history = model.fit(rows, recipe, on_epoch=on_epoch)
    seconds = time.perf_counter() - started
    file_format = FORMATS[parameters["format"]]
    filename = file_format.input_name
    model.save(context.output(filename))
    inspection, rewritten = _inspected(context, filename)
    weights = model.weights()
    return {
        "history": [_entry(record) for record in history.epochs],
        "summary": {
            "rows": len(rows.targets),
            "validation_rows": 0 if rows.validation_targets is None else len(rows.validation_targets),
            "kept_epoch": history.kept_epoch,
            "ended_because": history.ended_because,
            "seconds": seconds,
        },
        "signature": signature.to_json(),
        "weights_digest": digest_of_weights(weights),
        "parameter_count": parameter_count(weights),
        "layers": model.layers(),
        "format": file_format.name,
        "file": filename,
        "rewritten": rewritten,
        "inspection": inspection,
        "charts": [_loss_chart(context, history)],
    }


def _inspected(context: JobContext, filename: str) -> tuple[dict[str, Json], str]:
    """Inspect the saved model as if it were an upload and write its canonical copy, the only one that is ever loaded.

    What the version that was trained has been accepted with is accepted here too.

    Raises:
        JobError: code ``produced_model_refused``, when the framework wrote what an upload would be refused for.
    """
    source = context.output(filename)
    limits = Limits.from_json(context.parameters.get("limits", {}))
    accepted = context.parameters.get("accepted", ())
    inspection = inspect(source, filename=filename, limits=limits, accepted=accepted)
    if inspection.verdict != "registered":
        raise JobError("produced_model_refused", inspection.reason, place=filename)
    name = FORMATS[inspection.format].rewritten_name
    rewrite(source, inspection, context.output(name), limits)
    findings = [entry.to_json() for entry in inspection.findings]
    return {"verdict": inspection.verdict, "reason": inspection.reason, "findings": findings}, name


def training_rows(
    context: JobContext, schema: Schema, signature: Signature, recipe: Recipe, split: str | None
) -> TrainingRows:
    """Read the rows to learn from and the rows to watch.

    Rows that the data set's split column calls ``validation`` are watched when its ``train`` rows are learned from.
    Otherwise the recipe's ``validation_split`` is taken off, the same rows for the same seed.
    """
    whole = arrays.read_table(context.input("dataset"))
    table, _ = arrays.select(whole, schema, split)
    inputs, targets = _arrays(table, schema, signature)
    if split == "train" and _has_part(whole, schema, "validation"):
        watched, _ = arrays.select(whole, schema, "validation")
        watched_inputs, watched_targets = _arrays(watched, schema, signature)
        return TrainingRows(inputs, targets, watched_inputs, watched_targets)
    if recipe.validation_split == 0:
        return TrainingRows(inputs, targets)
    learned, held = split_rows(len(targets), recipe)
    return TrainingRows(
        {name: array[learned] for name, array in inputs.items()},
        targets[learned],
        {name: array[held] for name, array in inputs.items()},
        targets[held],
    )


def split_rows(count: int, recipe: Recipe) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the rows to learn from and to watch, each in order, drawn by the recipe's seed.

    Raises:
        JobError: code ``too_few_rows``, when either part would be empty.
    """
    held = round(count * recipe.validation_split)
    if not 0 < held < count:
        raise JobError(
            "too_few_rows",
            f"A validation split of {recipe.validation_split:g} of {count:,} rows leaves one part empty.",
            place="validation_split",
        )
    order = np.random.default_rng([recipe.seed, SPLIT_STREAM]).permutation(count)
    return np.sort(order[held:]), np.sort(order[:held])


def _arrays(table: pa.Table, schema: Schema, signature: Signature) -> tuple[dict[str, NDArray[Any]], NDArray[Any]]:
    inputs = arrays.model_inputs(table, schema, signature)
    task: arrays.Task = "classification" if signature.output.class_count else "regression"
    return inputs, arrays.targets(table, schema, signature, task)


def _has_part(table: pa.Table, schema: Schema, part: str) -> bool:
    return schema.split is not None and part in table.column(schema.split).unique().to_pylist()


def _message(record: EpochRecord) -> str:
    text = f"loss {record.loss:.4g}"
    return text if record.validation_loss is None else f"{text}, validation loss {record.validation_loss:.4g}"


def _entry(record: EpochRecord) -> dict[str, Json]:
    return {
        "epoch": record.epoch,
        "loss": record.loss,
        "validation_loss": record.validation_loss,
        "metrics": dict(record.metrics),
        "seconds": record.seconds,
    }


def _loss_chart(context: JobContext, history: History) -> dict[str, Any]:
    epochs, kept = history.epochs, history.kept_epoch
    points = [{"epoch": record.epoch, "loss": record.loss, "rows": "training"} for record in epochs]
    points += [
        {"epoch": record.epoch, "loss": record.validation_loss, "rows": "validation"}
        for record in epochs
        if record.validation_loss is not None
    ]
    watched = any(record.validation_loss is not None for record in epochs)
    first, last = epochs[0], next(record for record in epochs if record.epoch == kept)
    names = ["training", "validation"] if watched else ["training"]
    caption = f"The loss went from {first.loss:.3g} to {last.loss:.3g} on training rows"
    if first.validation_loss is not None and last.validation_loss is not None:
        caption += f" and from {first.validation_loss:.3g} to {last.validation_loss:.3g} on validation rows"
    caption += f"; the weights of epoch {kept} of {len(epochs)} were kept."
    spec = {
        "width": 640,
        "height": 220,
        "data": {"values": points},
        "layer": [
            {
                "mark": {"type": "line", "point": len(epochs) == 1},
                "encoding": {
                    "x": {"field": "epoch", "type": "quantitative", "title": "epoch", "axis": {"tickMinStep": 1}},
                    "y": {"field": "loss", "type": "quantitative", "title": "loss"},
                    "color": {
                        "field": "rows",
                        "type": "nominal",
                        "title": None,
                        "scale": {"domain": names, "range": [BLUE, OCHRE][: len(names)]},
                    },
                },
            },
            {
                "data": {"values": [{"epoch": kept}]},
                "mark": {"type": "rule", "strokeDash": [4, 3]},
                "encoding": {"x": {"field": "epoch", "type": "quantitative"}},
            },
        ],
    }
    return save_chart(
        context,
        id="loss",
        spec=spec,
        caption=caption,
        label=f"Line chart of the loss over {len(epochs)} epochs. {caption}",
        table={
            "columns": ["epoch", "loss", "validation loss"],
            "rows": [[record.epoch, record.loss, record.validation_loss] for record in epochs],
        },
    )
