"""Attributions of images over their pictures: which rows, for which class, and both as PNG."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.attributions import Pictures
from audits.explained.one_row import OneRow, row_at
from audits.explained.overall import evenly
from audits.explained.shown import Shown
from audits.explained.words import Words
from governance.exceptions import NotFound

#: Pictures of the grid beside the one that is shown large.
GRID_PICTURES = 12
#: Against and for the output, readable over grey and colour pictures on both papers, and for who sees no red or green.
AGAINST, FOR = (0x1F, 0x6F, 0xD6), (0xE0, 0x8A, 0x00)
_COLOUR_TYPES = {1: 0, 3: 2, 4: 6}


@dataclass(frozen=True)
class Overlay:
    """One picture with what its parts add; ``largest`` is the value of the strongest colour."""

    row: OneRow
    at: int
    width: int
    height: int
    largest: float
    label: str


def overlays(shown: Shown, words: Words, pictures: Pictures, first: OneRow) -> list[Overlay]:
    """Return the chosen row, then an even part of the other rows that have a picture."""
    place_of = {int(number): place for place, number in enumerate(pictures.row_numbers)}
    numbers = shown.attributions.row_numbers[shown.places].tolist()
    with_picture = [at for at, number in enumerate(numbers) if number in place_of]
    chosen = [with_picture[at] for at in evenly(len(with_picture), GRID_PICTURES)]
    rows = [row_at(shown, words, at) for at in chosen if at != first.at]
    if first.number in place_of:
        rows.insert(0, first)
    return [_overlay(row, place_of[row.number], pictures) for row in rows]


def overlay_of(shown: Shown, words: Words, pictures: Pictures | None, number: int) -> Overlay:
    """Return the picture of a row by its number.

    Raises:
        NotFound: the row has none.
    """
    at = np.flatnonzero(shown.attributions.row_numbers[shown.places] == number)
    place = np.flatnonzero(pictures.row_numbers == number) if pictures is not None else np.empty(0, np.intp)
    if pictures is None or not len(at) or not len(place):
        raise NotFound(f"Row {number} has no picture.")
    return _overlay(row_at(shown, words, int(at[0])), int(place[0]), pictures)


def overlay_png(row: OneRow, grid: Sequence[int], size: tuple[int, int], patch: int) -> bytes:
    """Return the values of a row as a transparent picture of (height, width): colour is the sign, opacity the size.

    ``patch`` is how many pixels a side one value stands for; the last patch of a line may be smaller.
    """
    values = np.asarray(row.values).reshape(tuple(grid))
    largest = np.abs(values).max()
    strength = np.abs(values) / largest if largest else np.zeros_like(values)
    cells = np.zeros((*values.shape, 4), dtype=np.uint8)
    cells[..., :3] = np.where((values >= 0)[..., None], FOR, AGAINST)
    cells[..., 3] = np.round(255 * strength)
    rows, columns = (_parts(side, count, patch) for side, count in zip(size, grid, strict=True))
    return png(cells[np.ix_(rows, columns)])


def _parts(side: int, count: int, patch: int) -> NDArray[np.intp]:
    """Return which of ``count`` parts each pixel of a side belongs to; a copy of another size is divided evenly."""
    pixels = np.arange(side)
    return pixels // patch if -(-side // patch) == count else pixels * count // side


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Write pixels of shape (height, width, 1, 3 or 4) as PNG: grey, colour, or colour with opacity."""
    height, width, channels = pixels.shape
    # Each line of a PNG begins with the number of its filter; 0 is none.
    lines = np.zeros((height, 1 + width * channels), dtype=np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in parts
    )


def _overlay(row: OneRow, at: int, pictures: Pictures) -> Overlay:
    _, height, width, _ = pictures.pictures.shape
    values = np.asarray(row.values)
    towards, against = values[values > 0].sum(), values[values < 0].sum()
    said = f", given {row.predicted}" if row.predicted else ""
    return Overlay(
        row=row,
        at=at,
        width=width,
        height=height,
        largest=max(map(abs, row.values), default=0.0),
        label=(
            f"Picture of row {row.number}{said}, and over it what its parts add to the {row.unit}: "
            f"{towards:+.3g} in all that speaks for it, {against:+.3g} against it."
        ),
    )
