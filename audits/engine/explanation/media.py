"""What a page shows behind the attributions of images and texts: the pictures, and the word at each position."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.players import Players
from audits.engine.explanation.archive import ArrayArchive
from audits.engine.explanation.reading import batches_of, columns_of
from workers.datasets.canonical import one_array, tensor_values
from workers.datasets.images.measures import as_pictures
from workers.datasets.reading import shape_of
from workers.datasets.schema import Schema
from workers.datasets.showing import scaled
from workers.datasets.texts.words import id_of, normalised, words_of
from workers.signature import Signature

#: Rows of pictures and of texts that are kept for the page, and how much they may take altogether.
PICTURE_ROWS = 200
PICTURE_BYTES = 32 * 1024 * 1024
TOKEN_ROWS = 1000
TOKENS = 500_000


def write_pictures(path: Path, dataset: Path, numbers: NDArray[np.int64], schema: Schema, signature: Signature) -> int:
    """Write the pictures of the first rows; return how many, 0 (and no file) where the model takes no image.

    ``pictures`` has the shape (rows, height, width, channels), 1 channel or 3, as bytes: bytes as they are, other
    numbers from the lowest to the highest of all that are written. ``row_numbers`` has their rows.
    """
    name = next((name for name in columns_of(signature) if schema.columns[name].type == "image"), None)
    if name is None:
        return 0
    value_type = shape_of(dataset)[0].field(name).type
    item_bytes = max(1, math.prod(value_type.shape) * value_type.value_type.bit_width // 8)
    kept = numbers[: max(1, min(PICTURE_ROWS, PICTURE_BYTES // item_bytes))]
    values: NDArray[Any] | None = None
    for places, table in batches_of(dataset, kept, [name]):
        found = tensor_values(one_array(table.column(name)))
        if values is None:
            values = np.empty((len(kept), *found.shape[1:]), found.dtype)
        values[places] = found
    pictures = None if values is None else as_pictures(values)
    if pictures is None:
        return 0
    pictures = scaled(pictures)
    if pictures.ndim == 3:
        pictures = pictures[..., None]
    with ArrayArchive(path) as archive:
        archive.add("pictures", pictures[..., :3])
        archive.add("row_numbers", kept)
    return len(kept)


def write_tokens(
    path: Path,
    dataset: Path,
    numbers: NDArray[np.int64],
    data: NDArray[np.float64],
    schema: Schema,
    signature: Signature,
    players: Players,
) -> int:
    """Write the word of each feature of the first rows; return how many, 0 (and no file) where there are no tokens.

    A token of a column that was made of a text is the word whose id it has at that place of the text; one that is no
    known word is its id, and padding is empty. A feature that is no token is its value.

    Args:
        data: the value of each feature, shape (rows, features).
    """
    places = {
        name: [place for place, feature in enumerate(players.names) if feature.startswith(f"{name}[")]
        for name in columns_of(signature)
        if schema.columns[name].type == "tokens"
    }
    if not any(places.values()):
        return 0
    kept = numbers[: max(1, min(TOKEN_ROWS, TOKENS // players.count))]
    words = {name: _words_of(dataset, kept, name.removesuffix(".tokens"), schema) for name in places}
    rows = []
    for row, number in enumerate(kept.tolist()):
        tokens = [f"{value:g}" for value in data[row].tolist()]
        for name, of_name in places.items():
            ids = [int(data[row, place]) for place in of_name]
            for place, word in zip(of_name, _tokens(ids, words[name], row), strict=True):
                tokens[place] = word
        rows.append({"row": number, "tokens": tokens})
    path.write_text(json.dumps({"rows": rows}, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(rows)


def _words_of(
    dataset: Path, numbers: NDArray[np.int64], name: str, schema: Schema
) -> list[tuple[list[str], int]] | None:
    """Return the words of each row's text and the number of ids; None where the tokens come from no text."""
    column = schema.columns.get(name)
    if column is None or column.tokens is None or name not in shape_of(dataset)[0].names:
        return None
    found: list[tuple[list[str], int]] = [([], column.tokens.size)] * len(numbers)
    for places, table in batches_of(dataset, numbers, [name]):
        for place, text in zip(places.tolist(), table.column(name).to_pylist(), strict=True):
            found[place] = (words_of(normalised(text or ""))[: column.tokens.length], column.tokens.size)
    return found


def _tokens(ids: list[int], words: list[tuple[list[str], int]] | None, row: int) -> list[str]:
    known, size = words[row] if words is not None else ([], 0)
    tokens = []
    for place, number in enumerate(ids):
        is_known = place < len(known) and id_of(known[place], size) == number
        tokens.append(known[place] if is_known else str(number) if number else "")
    return tokens
