"""Pick rows of images and texts for a page: some of all, and those that measure worst.

Which rows are shown depends on the content alone. Images go into one PNG a column, a grid of small pictures that are
only looked at: the numbers that a model gets are in the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from workers.datasets.images.measures import as_pictures
from workers.datasets.reading import read_batches, row_bytes, rows_of_batch
from workers.datasets.schema import Schema

SAMPLES, WORST = 12, 6
#: Side of one small picture, and how many stand in a line of the grid.
CELL, COLUMNS = 96, 6
_TEXT_CHARACTERS = 400
#: What is shown of the worst: group, word of the metadata, from which end.
_WORST_IMAGES = (("darkest", "brightness"), ("blurriest", "blur"))
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def show(
    path: Path, schema: Schema, *, output: Callable[[str], Path], notes: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """Return what a page shows of each image and text column that was measured; without metadata nothing is picked.

    An image column has ``file`` (the name of the output with the grid), ``cells`` (for each small picture, in lines of
    six, its ``row``, ``group`` and ``value``), ``problems`` (the first rows that have one) and ``problem_count``, and
    the ``note`` of the reader. A text column has ``texts`` (``row``, ``group``, ``value`` and the ``text``, cut).

    Args:
        path: the table, with the metadata of its columns.
        schema: of the table.
        output: gives the path of an output file.
        notes: what the reader did to a column, as a sentence.
    """
    shown: dict[str, dict[str, Any]] = {}
    for number, (name, column) in enumerate(schema.columns.items()):
        if column.type == "image" and f"{name}.problem" in schema.columns:
            grid = _images(path, name, f"images-{number}.png", output)
            shown[name] = {**grid, **_problems(path, schema, name), "note": (notes or {}).get(name, "")}
        elif column.type == "text" and f"{name}.length" in schema.columns:
            shown[name] = {"texts": _texts(path, name), **_problems(path, schema, name)}
    return shown


def _images(path: Path, name: str, filename: str, output: Callable[[str], Path]) -> dict[str, Any]:
    there = pc.is_null(_values(path, f"{name}.problem"))
    cells: list[dict[str, Any]] = [{"row": row, "group": "sample", "value": None} for row in _spread(_true_rows(there))]
    for group, word in _WORST_IMAGES:
        values = _values(path, f"{name}.{word}")
        cells += _extreme(pc.if_else(there, values, pa.scalar(None, values.type)), group)
    pictures = _pictures(_rows_of(path, name, [cell["row"] for cell in cells]))
    if not pictures:
        return {"file": None, "cells": []}
    _write_grid(pictures, output(filename))
    return {"file": filename, "cells": cells}


def _problems(path: Path, schema: Schema, name: str) -> dict[str, Any]:
    if f"{name}.problem" not in schema.columns:
        return {"problem_count": 0, "problems": []}
    problems = _values(path, f"{name}.problem")
    rows = _true_rows(pc.is_valid(problems))
    first = [{"row": int(row), "problem": str(problems[int(row)])} for row in rows[:WORST]]
    return {"problem_count": len(rows), "problems": first}


def _texts(path: Path, name: str) -> list[dict[str, Any]]:
    lengths = _values(path, f"{name}.length")
    cells = [
        *_extreme(lengths, "shortest", count=WORST // 2),
        *_extreme(lengths, "longest", count=WORST // 2, highest=True),
        *({"row": row, "group": "sample", "value": None} for row in _spread(_true_rows(pc.is_valid(lengths)))[:WORST]),
    ]
    texts = _rows_of(path, name, [cell["row"] for cell in cells])
    return [{**cell, "text": _cut(text)} for cell, text in zip(cells, texts, strict=True)]


def _values(path: Path, name: str) -> pa.Array:
    """Read a column of metadata."""
    return pa.concat_arrays([batch.column(0) for batch in read_batches(path, columns=[name])])


def _rows_of(path: Path, name: str, rows: Sequence[int]) -> list[Any]:
    """Return some values of a column, in the order that is asked for, of which the others are read and let go."""
    found: dict[int, Any] = {}
    first_row = 0
    rows_at_once = rows_of_batch(row_bytes(pa.schema([pq.read_schema(path).field(name)])))
    for batch in read_batches(path, columns=[name], batch_rows=rows_at_once) if rows else ():
        column = batch.column(0)
        found |= {row: _copied(column[row - first_row]) for row in rows if first_row <= row < first_row + len(column)}
        first_row += len(column)
    return [found[row] for row in rows]


def _copied(value: Any) -> Any:
    """Return a text, or an array of its own: a slice would keep all of its batch in memory."""
    return np.array(value.to_numpy()) if isinstance(value, pa.FixedShapeTensorScalar) else value.as_py()


def _true_rows(mask: pa.Array) -> NDArray[np.int64]:
    return np.flatnonzero(mask.to_numpy(zero_copy_only=False))


def _spread(rows: NDArray[np.int64]) -> list[int]:
    """Return some rows, evenly spread over all."""
    places = np.linspace(0, len(rows) - 1, min(SAMPLES, len(rows))).round().astype(int)
    return [int(row) for row in rows[places]]


def _extreme(array: pa.Array, group: str, *, count: int = WORST, highest: bool = False) -> list[dict[str, Any]]:
    """Return the rows with the lowest (or highest) values of a column; of equal ones the first."""
    rows = _true_rows(pc.is_valid(array))
    values = array.take(pa.array(rows)).to_numpy(zero_copy_only=False)
    order = np.argsort(-values if highest else values, kind="stable")[:count]
    return [{"row": int(rows[place]), "group": group, "value": values[place].item()} for place in order]


def _pictures(arrays: Sequence[NDArray[Any]]) -> list[Any]:
    """Return values of a column as small images; none where its arrays are no pictures."""
    from PIL import Image
    from PIL.Image import Resampling

    if not arrays:
        return []
    values = as_pictures(np.stack(arrays))
    if values is None:
        return []
    small = []
    for picture in scaled(values):
        channels = picture.shape[2] if picture.ndim == 3 else 1
        image = Image.frombytes(_MODES[channels], (picture.shape[1], picture.shape[0]), picture.tobytes())
        scale = CELL / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        small.append(image.convert("RGBA").resize(size, Resampling.NEAREST if scale > 1 else Resampling.BILINEAR))
    return small


def scaled(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Return numbers as bytes: bytes as they are, others from the lowest to the highest of all that are shown."""
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    finite = values[np.isfinite(values)].astype(np.float64)
    lowest, highest = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    width = highest - lowest if highest > lowest and np.isfinite(highest - lowest) else 1.0
    shares = np.nan_to_num((values.astype(np.float64) - lowest) / width, nan=0.0, posinf=1.0, neginf=0.0)
    return np.ascontiguousarray((np.clip(shares, 0, 1) * 255).astype(np.uint8))


def _write_grid(pictures: Sequence[Any], path: Path) -> None:
    from PIL import Image

    lines = -(-len(pictures) // COLUMNS)
    grid = Image.new("RGBA", (COLUMNS * CELL, lines * CELL))
    for number, picture in enumerate(pictures):
        left, top = number % COLUMNS * CELL, number // COLUMNS * CELL
        grid.paste(picture, (left + (CELL - picture.width) // 2, top + (CELL - picture.height) // 2))
    # It is looked at a few times and written with each version: the fastest compression takes a third of the time.
    grid.save(path, "PNG", compress_level=1)


def _cut(text: str) -> str:
    """Return the beginning of a text; what no page shows is replaced."""
    shown = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text[:_TEXT_CHARACTERS]
    )
    return shown + "…" * (len(text) > _TEXT_CHARACTERS)
