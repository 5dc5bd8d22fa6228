"""The job kind ``explanation``: attributions of rows, their quality, and the charts that show them.

Nothing of the size of rows x features x outputs is held in memory: inputs, scores and attributions lie in files of the
job folder, the attributions in its checkpoint, from which a later attempt goes on.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from audits.engine.explainers import explainer_named
from audits.engine.explainers.background import Background, choose_background
from audits.engine.explainers.base import Explainer, Task
from audits.engine.explainers.drawing import HEATMAP_ROWS, draw_charts
from audits.engine.explainers.players import Players, check_finite, players_of
from audits.engine.explainers.quality import ErrorSummary, Measure, Subject, measure, measured_rows
from audits.engine.explainers.request import Request
from audits.engine.explainers.rows import chosen_numbers
from audits.engine.explanation import columns, files, media, neighbours
from audits.engine.explanation.keeping import STREAMS, Keeper, KeptAttribution, explain
from audits.engine.explanation.reading import (
    Rows,
    check_complete,
    numbers_of,
    read_rows,
    table_of,
)
from audits.engine.explanation.scoring import chosen_outputs, score
from audits.engine.explanation.stages import Stages
from audits.engine.explanation.summary import Importance
from workers import environment
from workers.context import JobContext
from workers.datasets.arrays import model_inputs
from workers.datasets.canonical import content_digest
from workers.frameworks.base import Inputs
from workers.frameworks.loading import load_model

#: Where the job keeps what is larger than the memory and of no use to a later attempt.
WORK_FOLDER = "work"

#: An estimator holds several arrays of the size of its scores; so those may take one part in this many of the memory.
EXPLAINER_SHARE = 8


def run(context: JobContext) -> dict[str, Any]:
    """Explain rows of a data set and say whether a report may rest on it."""
    request = Request.from_json(context.parameters, seed=context.spec.seed)
    explainer = _explainer(request)
    work = context.folder / WORK_FOLDER
    # A job that is run again by hand finds the files of the run before.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    available = numbers_of(context.input("dataset"), request.schema, request.split)
    rows = read_rows(
        context.input("dataset"),
        chosen_numbers(context.input("dataset"), available, request),
        request.schema,
        request.signature,
        what="data set",
        folder=work,
    )
    background_available = numbers_of(context.input("background"), request.background_schema, request.background_split)
    chosen, background_table, background = _background(context, request, background_available)
    players = players_of(request.signature, request.schema, patch=request.patch, groups=request.groups)
    model = load_model(
        context.input("model"),
        framework=request.framework,
        signature=request.signature,
        device=context.device,
        seed=request.seed,
    )
    stages = Stages(context, len(rows.numbers))
    scored = score(model, rows, request, folder=work)
    words = scored.words
    outputs = chosen_outputs(request, scored)
    task = Task(
        model=model,
        rows=rows.inputs,
        background=background,
        players=players,
        outputs=outputs,
        output_names=words.names_of(outputs, is_predicted=request.outputs == "predicted"),
        seed=request.seed,
        scale=request.scale,
        progress=stages.explaining,
    )
    attribution = _attribution(context, task, explainer, rows, stages)
    sample_rows = measured_rows(task)
    stages.following("additivity of all rows")
    measures = measure(
        Subject(task, explainer),
        attribution.of_rows(sample_rows),
        sample_rows,
        ErrorSummary.of_all(task, attribution),
        request.bounds,
        progress=stages.following,
    )
    stages.following("importance over all rows")
    shown = scored.shown_columns(outputs)
    importance = Importance(attribution, shown, outputs_vary=request.outputs == "predicted")
    stages.following("writing the attributions")
    files.write_attributions(context.output("attributions.npz"), rows, attribution, scored)
    stages.following("what is shown beside them")
    beside = _write_beside(context, request, rows, attribution, players, background_available)
    stages.following("drawing")
    importance_of_shown = importance.of_shown()
    charts = draw_charts(
        context,
        attribution=attribution,
        importance=importance_of_shown,
        page_rows=files.first_rows(rows, attribution, scored, shown, count=HEATMAP_ROWS),
        grid=players.grid,
        words=words,
        predicted=scored.predicted,
        seed=request.seed,
    )
    stages.end()
    reasons = [reason for reason in (entry.reason for entry in measures) if reason]
    return {
        "quality": {entry.name: entry.value for entry in measures},
        "admitted": not reasons,
        "reasons": reasons,
        "summary": {
            "measures": [entry.to_json() for entry in measures],
            "bounds": request.bounds.to_json(),
            "sentence": _sentence(measures, reasons),
            "method": request.method,
            "scale": request.scale,
            "unit": words.unit_of_all(outputs),
            "output_names": list(task.output_names),
            "feature_names": list(players.names),
            "grid": list(players.grid) if players.are_pixels else None,
            "patch": players.patch,
            "importance": importance_of_shown,
            "importance_by_output": importance.by_output(words),
            "rows": len(rows.numbers),
            "rows_asked": request.rows if isinstance(request.rows, int) else len(request.rows),
            "rows_available": len(available),
            **beside,
            "background_rows": len(background_table),
            "background_available": len(background_available),
            "background_digest": content_digest(background_table),
            "background_method": request.background_method,
            "background_row_numbers": chosen.numbers.tolist(),
            "split": request.split,
            "slice": None if request.slice is None else str(request.slice),
            "background_split": request.background_split,
            "tolerance": request.tolerance,
            "seed": request.seed,
            "evaluations": int(attribution.evaluations.sum()) + len(background_table),
        },
        "charts": charts,
    }


def _explainer(request: Request) -> Explainer:
    """Return the explainer that is asked for, with those of the settings that it has."""
    explainer = explainer_named(request.method)
    settings = {"tolerance": request.tolerance, "memory_bytes": request.memory_bytes // EXPLAINER_SHARE}
    known = getattr(explainer.parameters, "__dataclass_fields__", {})
    usual = {name: value for name, value in settings.items() if name in known}
    return explainer.from_json({**usual, **request.budgets})


def _background(
    context: JobContext, request: Request, available: NDArray[np.int64]
) -> tuple[Background, pa.Table, Inputs]:
    """Return the rows that attributions compare with: which they are, as a table, and as the model takes them."""
    path = context.input("background")
    chosen = choose_background(
        path,
        available,
        rows=request.background_rows,
        method=request.background_method,
        schema=request.background_schema,
        signature=request.signature,
        seed=request.seed,
    )
    table = table_of(path, chosen.numbers)
    check_complete(table, chosen.numbers, request.signature, what="background")
    inputs = model_inputs(table, request.background_schema, request.signature)
    check_finite(inputs, chosen.numbers, what="background")
    return chosen, table, inputs


def _attribution(context: JobContext, task: Task, explainer: Explainer, rows: Rows, stages: Stages) -> KeptAttribution:
    """Explain what no earlier attempt of this job has explained, and return everything."""
    depends_on = environment.describe(spec=context.spec, sandbox={})
    with context.checkpoint(STREAMS, depends_on=depends_on) as checkpoint:
        keeper = Keeper(checkpoint, task, explainer)
        stages.go_on(keeper.row_count)
        files.refuse_too_large(task, context.spec.limits)
        explain(task, explainer, keeper, let_go=rows.let_go)
        return keeper.attribution()


def _write_beside(
    context: JobContext,
    request: Request,
    rows: Rows,
    attribution: KeptAttribution,
    players: Players,
    background_available: NDArray[np.int64],
) -> dict[str, Any]:
    """Write what a page shows beside the attributions: near rows, pictures, words, other columns."""
    dataset, data = context.input("dataset"), attribution.data.reshape(attribution.row_count, -1)
    near = None
    if request.schema.modality in ("tabular", "interactions"):
        same_table = context.spec.inputs["dataset"].digest == context.spec.inputs["background"].digest
        near = neighbours.write_neighbours(
            context.output("neighbours.npz"),
            context.input("background"),
            background_available,
            data,
            rows.numbers if same_table else None,
            players=players,
            schema=request.background_schema,
            signature=request.signature,
            seed=request.seed,
            folder=context.folder / WORK_FOLDER,
        )
    return {
        "neighbours": None if near is None else asdict(near),
        "pictures": media.write_pictures(
            context.output("pictures.npz"), dataset, rows.numbers, request.schema, request.signature
        ),
        "texts": media.write_tokens(
            context.output("tokens.json"), dataset, rows.numbers, data, request.schema, request.signature, players
        ),
        "columns": columns.write_columns(
            context.output("columns.npz"), dataset, rows.numbers, request.schema, request.signature
        ),
    }


def _sentence(measures: list[Measure], reasons: list[str]) -> str:
    bounded = sum(entry.is_met is not None for entry in measures)
    if not reasons:
        return f"All {bounded} bounded measures are within their bounds. A report may rest on these values."
    return (
        f"{len(reasons)} of {bounded} bounded measures {'is' if len(reasons) == 1 else 'are'} outside "
        f"{'its bound' if len(reasons) == 1 else 'their bounds'}. No report may rest on these values."
    )
