"""One explained row at a time: read the stored rows of an explanation, choose one, draw it.

The rows come from a child, so their shape is checked before anything is drawn from them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from audits.engine.captions import waterfall_caption
from audits.engine.charts import heatmap_spec, waterfall_spec, waterfall_table
from governance.exceptions import IntegrityFailure
from governance.presentation.drawing import drawn
from governance.presentation.numbers import is_number
from governance.storage import store

MAX_BYTES = 64 * 1024 * 1024

#: A number for each row, the one to show has the largest; None leaves a row out.
Choice = Callable[[Mapping[str, Any]], float | None]


@dataclass(frozen=True)
class Rows:
    """The rows that a page may show, with the names of their features."""

    feature_names: tuple[str, ...]
    grid: tuple[int, ...]
    rows: tuple[Mapping[str, Any], ...]

    def numbered(self, number: int) -> Mapping[str, Any] | None:
        """Return the row with this number of the data set, or None when it was not explained."""
        return next((row for row in self.rows if row["row"] == number), None)

    def chosen(self, name: str) -> Mapping[str, Any] | None:
        """Return the row that a choice names, the first one where several are equal."""
        measured = [(value, row) for row in self.rows if (value := CHOICES[name][1](row)) is not None]
        return max(measured, key=lambda pair: pair[0])[1] if measured else None


def _worst_error(row: Mapping[str, Any]) -> float | None:
    size = max(abs(float(value)) for value in row["values"])
    return float(max(row["errors"])) / size if size else None


def _nearest_to_the_boundary(row: Mapping[str, Any]) -> float | None:
    logits: list[float] = sorted(row.get("logits") or [], reverse=True)
    if row.get("predicted") is None or not logits:
        return None
    return -abs(logits[0] - logits[1]) if len(logits) > 1 else -abs(logits[0])


def _wrong_and_sure(row: Mapping[str, Any]) -> float | None:
    target, label = row.get("target"), row.get("predicted_label")
    if target is None or label is None or str(target) in (str(label), str(row.get("predicted"))):
        return None
    gap = _nearest_to_the_boundary(row)
    return None if gap is None else -gap


CHOICES: Mapping[str, tuple[str, Choice]] = {
    "boundary": ("nearest to the decision boundary", _nearest_to_the_boundary),
    "wrong": ("most surely wrong", _wrong_and_sure),
    "error": ("worst error", _worst_error),
}


@lru_cache(maxsize=4)
def read_rows(digest: str) -> Rows:
    """Read and check the stored rows of an explanation.

    Raises:
        IntegrityFailure: the file is not what the explanation job writes.
    """
    with store().open(digest) as stream:
        content = stream.read(MAX_BYTES + 1)
    try:
        if len(content) > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
        document = json.loads(content)
        names = tuple(str(name) for name in document["feature_names"])
        grid = tuple(int(size) for size in document.get("grid") or ())
        if grid and (len(grid) != 2 or grid[0] * grid[1] != len(names)):
            raise ValueError("its grid does not hold its features")
        rows = tuple(_checked(row, len(names)) for row in document["rows"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise IntegrityFailure(f"The stored rows of this explanation cannot be read: {error}.") from error
    return Rows(feature_names=names, grid=grid, rows=rows)


def row_chart(rows: Rows, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return caption, drawing and table of one row: a waterfall, or for an image its heat map."""
    unit = str(row.get("unit") or "score")
    towards = str(row.get("output_name") or "")
    if rows.grid:
        panels = [
            {"title": "the image", "values": row["data"], "picture": True},
            {"title": f"for {towards}", "values": row["values"]},
        ]
        spec = heatmap_spec(panels, grid=rows.grid, unit=unit, columns=2, size=240)
        label = f"Row {row['row']} as an image, and beside it what each pixel adds to the {unit}."
    else:
        spec = waterfall_spec(row, feature_names=rows.feature_names, unit=unit, towards=towards)
        label = f"Waterfall of row {row['row']}, from the base value to the score, in {unit}."
    return {
        "caption": waterfall_caption(row, feature_names=rows.feature_names, unit=unit),
        "label": label,
        "drawing": drawn(spec, label=label),
        "table": waterfall_table(row, feature_names=rows.feature_names),
    }


def _checked(row: Any, width: int) -> Mapping[str, Any]:
    """Return a row when it is one: as many values, errors and data as there are features, all of them numbers."""
    if not isinstance(row["row"], int) or isinstance(row["row"], bool) or not is_number(row["base"]):
        raise ValueError("a row has no number or no base value")
    for key in ("values", "errors", "data"):
        entries = row[key]
        if len(entries) != width:
            raise ValueError(f"row {row['row']} has {len(entries)} {key} for {width} features")
        if key != "data" and not all(is_number(entry) for entry in entries):
            raise ValueError(f"row {row['row']} has {key} that are no numbers")
    logits = row.get("logits") or []
    if not all(is_number(entry) for entry in logits):
        raise ValueError(f"row {row['row']} has logits that are no numbers")
    checked: Mapping[str, Any] = row
    return checked
