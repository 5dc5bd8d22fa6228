"""Which charts an explanation gets: bars and a beeswarm for columns, heat maps for images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine import captions, charts
from audits.engine.explainers.base import Attribution
from audits.engine.explainers.outputs import OutputWords
from workers.charts import save_chart
from workers.context import JobContext

SWARM_ROWS = 150
SWARM_FEATURES = 9
HEATMAP_CLASSES = 10
HEATMAP_ROWS = 5


def draw_charts(
    context: JobContext,
    *,
    attribution: Attribution,
    importance: list[dict[str, Any]],
    page_rows: Sequence[dict[str, Any]],
    grid: tuple[int, ...],
    words: OutputWords,
    predicted: NDArray[np.intp],
    seed: int,
) -> list[dict[str, Any]]:
    """Draw, save and return the charts of an explanation."""
    if len(grid) == 2:
        return [
            _class_heatmaps(context, attribution, grid, words, predicted),
            _row_heatmaps(context, page_rows, grid, words),
        ]
    unit = words.unit_of_all(attribution.output_numbers)
    drawn = [_importance(context, attribution, importance, unit)]
    if attribution.row_count > 1:
        drawn.append(_beeswarm(context, attribution, importance, words, predicted, seed))
    return drawn


def _importance(
    context: JobContext, attribution: Attribution, importance: list[dict[str, Any]], unit: str
) -> dict[str, Any]:
    leading = ", ".join(f"{entry['feature']} {entry['value']:.3g}" for entry in importance[:3])
    return save_chart(
        context,
        id="importance",
        spec=charts.importance_spec(importance, unit=unit),
        caption=captions.importance_caption(importance, row_count=attribution.row_count),
        label=f"Global importance of {len(importance)} features; {leading} lead, in {unit}.",
        table={
            "columns": ["feature", f"mean |attribution|, {unit}", "95 % from", "95 % to"],
            "rows": [[entry["feature"], entry["value"], entry["low"], entry["high"]] for entry in importance],
        },
    )


def _beeswarm(
    context: JobContext,
    attribution: Attribution,
    importance: list[dict[str, Any]],
    words: OutputWords,
    predicted: NDArray[np.intp],
    seed: int,
) -> dict[str, Any]:
    """Draw one output's values over a sample of rows, so that every point of the chart means the same."""
    output = _told_output(attribution, words, predicted)
    rows, columns = np.nonzero(attribution.output_numbers == output)
    if len(rows) > SWARM_ROWS:
        kept = np.sort(np.random.default_rng([seed, 3]).choice(len(rows), SWARM_ROWS, replace=False))
        rows, columns = rows[kept], columns[kept]
    values = attribution.flat_values[rows, :, columns]
    data = attribution.data.reshape(attribution.row_count, -1)[rows]
    place_of = {name: place for place, name in enumerate(attribution.feature_names)}
    features = [
        {
            "feature": entry["feature"],
            "values": values[:, place_of[entry["feature"]]].tolist(),
            "data": data[:, place_of[entry["feature"]]].tolist(),
        }
        for entry in importance[:SWARM_FEATURES]
    ]
    caption = captions.beeswarm_caption(
        features, towards=words.name(output), row_count=len(rows), feature_count=len(importance)
    )
    return save_chart(
        context,
        id="beeswarm",
        spec=charts.beeswarm_spec(features, unit=words.unit(output)),
        caption=caption,
        label=f"Beeswarm of the attributions of {len(features)} features, coloured by their value. {caption}",
        table={
            "columns": ["feature", "lowest", "median", "highest", "rank correlation with the feature's value"],
            "rows": [
                [
                    entry["feature"],
                    float(np.min(entry["values"])),
                    float(np.median(entry["values"])),
                    float(np.max(entry["values"])),
                    captions.rank_correlation(entry["data"], entry["values"]),
                ]
                for entry in features
            ],
        },
    )


def _told_output(attribution: Attribution, words: OutputWords, predicted: NDArray[np.intp]) -> int:
    """Return the output to draw alone: of two the second, of more the one that most rows are given."""
    explained: set[int] = set(np.unique(attribution.output_numbers).tolist())
    if words.count == 2 and 1 in explained:
        return 1
    counts = np.bincount(words.column_of(predicted), minlength=words.count)
    return min(explained, key=lambda output: (-int(counts[output]), int(output)))


def _class_heatmaps(
    context: JobContext,
    attribution: Attribution,
    grid: tuple[int, ...],
    words: OutputWords,
    predicted: NDArray[np.intp],
) -> dict[str, Any]:
    """Draw for each output the mean of its values over the rows that are given its class (all rows without classes)."""
    panels: list[dict[str, Any]] = []
    table: list[list[Any]] = []
    for output in np.unique(attribution.output_numbers).tolist():
        holds = attribution.output_numbers == output
        if words.has_classes and words.count > 1:
            holds = holds & (predicted == output)[:, None]
        rows, columns = np.nonzero(holds)
        if not len(rows):
            continue
        mean = attribution.mean_of(rows, columns)
        panels.append({"title": f"{words.name(output)} (n = {len(rows):,})", "values": mean.tolist()})
        place = int(np.argmax(np.abs(mean)))
        table.append([words.name(output), len(rows), attribution.feature_names[place], float(mean[place])])
    largest_first = sorted(range(len(panels)), key=lambda place: -table[place][1])[:HEATMAP_CLASSES]
    kept = [panels[place] for place in sorted(largest_first)]
    caption = captions.spread_caption(
        np.abs(np.asarray([panel["values"] for panel in panels])).mean(axis=0).tolist(),
        are_pixels=attribution.feature_names[0].startswith("pixel"),
        row_count=attribution.row_count,
        class_count=len(panels),
        shown=len(kept),
    )
    return save_chart(
        context,
        id="heatmap-classes",
        spec=charts.heatmap_spec(kept, grid=grid, unit=_image_unit(words), size=112),
        caption=caption,
        label=f"Mean heat maps of {len(kept)} outputs. {caption}",
        table={"columns": ["output", "rows", "largest at", "mean attribution there"], "rows": table},
    )


def _row_heatmaps(
    context: JobContext, page_rows: Sequence[dict[str, Any]], grid: tuple[int, ...], words: OutputWords
) -> dict[str, Any]:
    """Draw a few rows, each as the image and beneath it what speaks for the output it is shown by."""
    chosen = page_rows[:HEATMAP_ROWS]
    panels: list[dict[str, Any]] = []
    for entry in chosen:
        title = [f"row {entry['row']}"]
        if entry["predicted_label"] is not None:
            title.append(f"given {entry['predicted_label']}")
        if entry["target"] is not None:
            title.append(f"is {entry['target']}")
        panels.append({"title": title, "values": entry["data"], "picture": True})
    panels += [{"title": f"for {entry['output_name']}", "values": entry["values"]} for entry in chosen]
    shares = []
    for entry in chosen:
        size = math.fsum(abs(value) for value in entry["values"])
        if size:
            shares.append(math.fsum(value for value in entry["values"] if value > 0) / size)
    share = f"{100 * sum(shares) / len(shares):.0f} %" if shares else "None"
    which = "The first explained row" if len(chosen) == 1 else f"The first {len(chosen)} explained rows"
    caption = (
        f"{share} of the attribution speaks for the output shown, the rest against it. "
        f"{which}; the image above, its attributions below."
    )
    return save_chart(
        context,
        id="heatmap-rows",
        spec=charts.heatmap_spec(panels, grid=grid, unit=_image_unit(words), columns=len(chosen), size=130),
        caption=caption,
        label=f"Images and heat maps of {len(chosen)} rows. {caption}",
        table={
            "columns": ["row", "output", "base", "sum of positive values", "sum of negative values"],
            "rows": [
                [
                    entry["row"],
                    entry["output_name"],
                    entry["base"],
                    math.fsum(value for value in entry["values"] if value > 0),
                    math.fsum(value for value in entry["values"] if value < 0),
                ]
                for entry in chosen
            ],
        },
    )


def _image_unit(words: OutputWords) -> str:
    if not words.has_classes:
        return words.unit(0)
    return "probability" if words.scale == "probabilities" else "log-odds" if words.is_single_score else "logit"
