"""The metadata of an image column: ordinary columns named ``NAME.word``, so that suites and cleaning take them as any.

::

    decodes                              whether there is an image that could be decoded
    problem                              a sentence, where something is wrong with the row; else missing
    width, height, mode                  of the image as it came, upright; the mode is L, RGB or RGBA
    brightness, contrast, blur, entropy  of the image as it came (``workers.datasets.images.measures``)
    hash                                 its dHash: of near duplicates few bits differ
    minimum, maximum, mean, missing      of the numbers of the column; ``missing`` counts NaN, all in a missing row

Luma is defined for bytes, and for rows of floats that all lie within 0..1; other rows have no brightness, contrast,
blur, entropy and hash. An array column that holds no images has the last four words alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets.canonical import tensor_values
from workers.datasets.images import decoding, shaping
from workers.datasets.images.measures import BLOCK_PIXELS, as_pictures, hash_texts, luma_of, measure
from workers.datasets.images.shaping import Shape

#: Word -> type, in the order of the columns.
NUMBERS = {"minimum": "float", "maximum": "float", "mean": "float", "missing": "integer"}
WORDS = {
    "decodes": "boolean",
    "problem": "string",
    "width": "integer",
    "height": "integer",
    "mode": "category",
    "brightness": "float",
    "contrast": "float",
    "blur": "float",
    "entropy": "float",
    "hash": "string",
    **NUMBERS,
}
#: Images of at most so many pixels are measured together; of larger ones an array of all leaves the processor's cache.
_SMALL_PIXELS = 128 * 128
_OF_LUMA = ("brightness", "contrast", "blur", "entropy")
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}
_ABSENT = "The row has no image."


@dataclass(frozen=True)
class Measured:
    """What came of one file: its shape, what was measured of it, its pixels in the shape of the column, its problem."""

    was: Shape | None = None
    measures: Mapping[str, Any] = field(default_factory=dict)
    pixels: NDArray[np.uint8] | None = None
    problem: str = ""


def measured(contents: Iterable[bytes], shape: Shape, *, resize: bool) -> list[Measured]:
    """Decode files, measure each as it came, and bring it to the shape of the column.

    Small images of one size are measured together, which is several times as fast; of large ones the luma is let go
    before the next file is decoded. A file that does not decode has only a problem.
    """
    found: list[Measured] = []
    waiting: dict[tuple[int, ...], list[tuple[int, NDArray[np.uint8]]]] = defaultdict(list)
    for content in contents:
        try:
            picture = decoding.decode(content)
        except decoding.ImageProblem as problem:
            found.append(Measured(problem=str(problem)))
            continue
        luma = np.asarray(picture.image.convert("L"), dtype=np.uint8)
        if luma.size <= _SMALL_PIXELS:
            waiting[luma.shape].append((len(found), luma))
            measures = {}
        else:
            measures = _each(measure(luma[None]))[0]
        found.append(_fitted(picture, shape, measures, resize=resize))
    for group in waiting.values():
        together = _each(measure(np.stack([luma for _, luma in group])))
        for (place, _), measures in zip(group, together, strict=True):
            found[place] = replace(found[place], measures=measures)
    return found


def _fitted(picture: decoding.Picture, shape: Shape, measures: Mapping[str, Any], *, resize: bool) -> Measured:
    try:
        return Measured(picture.shape, measures, shaping.fitted(picture, shape, resize=resize))
    except decoding.ImageProblem as problem:
        return Measured(picture.shape, measures, problem=str(problem))


def _each(measures: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """Return the measures of images, which come as an array for each word, by image."""
    rows = zip(*(values.tolist() for values in measures.values()), strict=True)
    return [dict(zip(measures, row, strict=True)) for row in rows]


def of_measured(rows: Sequence[Measured], problems: Mapping[int, str], pixels: pa.Array) -> dict[str, pa.Array]:
    """Return the metadata of files that were decoded one by one; ``problems`` are those that a row has besides."""
    shapes = [row.was for row in rows]
    hashes = np.array([row.measures.get("hash", 0) for row in rows], dtype=np.uint64)
    decoded = np.array([shape is not None for shape in shapes], dtype=bool)
    return {
        "decodes": pa.array(decoded),
        "problem": pa.array([row.problem or problems.get(number) for number, row in enumerate(rows)], pa.string()),
        "width": pa.array([None if shape is None else shape[1] for shape in shapes], pa.int64()),
        "height": pa.array([None if shape is None else shape[0] for shape in shapes], pa.int64()),
        "mode": pa.array([None if shape is None else _MODES[shape[2]] for shape in shapes], pa.string()),
        **{word: _floats(np.array([row.measures.get(word, np.nan) for row in rows], float)) for word in _OF_LUMA},
        "hash": hash_texts(hashes, decoded),
        **of_numbers(pixels),
    }


def of_images(array: pa.Array) -> dict[str, pa.Array]:
    """Return the metadata of a column that came as arrays, of shape (height, width[, channels]) or channels first."""
    there = _valid(array)
    sample = as_pictures(tensor_values(array.slice(0, 1)))
    size = (None, None) if sample is None else sample.shape[1:3]
    channels = None if sample is None else _MODES[sample.shape[3] if sample.ndim == 4 else 1]
    luma = np.full((len(array), len(_OF_LUMA)), np.nan)
    hashes, known = np.zeros(len(array), np.uint64), np.zeros(len(array), bool)
    for start, block in _blocks(array):
        pictures = as_pictures(tensor_values(block))
        scaled = None if pictures is None else _bytes_of(pictures)
        if scaled is None:
            continue
        pixels, has_luma = scaled
        has_luma &= there[start : start + len(block)]
        rows = start + np.flatnonzero(has_luma)
        found = measure(luma_of(pixels[has_luma]))
        hashes[rows], known[rows] = found["hash"], True
        luma[rows] = np.stack([found[word] for word in _OF_LUMA], axis=1)
    height, width = (pa.array([side if row else None for row in there], pa.int64()) for side in size)
    return {
        "decodes": pa.array(there),
        "problem": pa.array([None if row else _ABSENT for row in there], pa.string()),
        "width": width,
        "height": height,
        "mode": pa.array([channels if row else None for row in there], pa.string()),
        **{word: _floats(luma[:, number]) for number, word in enumerate(_OF_LUMA)},
        "hash": hash_texts(hashes, known),
        **of_numbers(array),
    }


def of_numbers(array: pa.Array) -> dict[str, pa.Array]:
    """Return lowest, highest and mean of the numbers of each row that are not NaN, and how many are."""
    count = len(array)
    lowest, highest, mean = (np.full(count, np.nan) for _ in range(3))
    missing = np.zeros(count, dtype=np.int64)
    for start, block in _blocks(array):
        rows = slice(start, start + len(block))
        lowest[rows], highest[rows], mean[rows], missing[rows] = _numbers_of_block(block)
    return {
        "minimum": _floats(lowest),
        "maximum": _floats(highest),
        "mean": _floats(mean),
        "missing": pa.array(missing),
    }


def _numbers_of_block(block: pa.Array) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.int64]]:
    values = tensor_values(block).reshape(len(block), -1)
    absent = ~_valid(block)
    if values.dtype.kind != "f":
        found = [values.min(axis=1), values.max(axis=1), values.mean(axis=1, dtype=np.float64)]
        lowest, highest, mean = (np.where(absent, np.nan, column) for column in found)
        return lowest, highest, mean, np.where(absent, values.shape[1], 0)
    is_nan = np.isnan(values)
    is_nan[absent] = True
    known = (~is_nan).sum(axis=1)
    empty = known == 0
    lowest = np.where(is_nan, np.inf, values).min(axis=1)
    highest = np.where(is_nan, -np.inf, values).max(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = np.where(is_nan, 0, values).sum(axis=1, dtype=np.float64) / np.maximum(known, 1)
    lowest, highest, mean = (np.where(empty, np.nan, column) for column in (lowest, highest, mean))
    return lowest, highest, mean, is_nan.sum(axis=1)


def _bytes_of(pictures: NDArray[Any]) -> tuple[NDArray[np.uint8], NDArray[np.bool_]] | None:
    """Return pictures as bytes, and which of them have a luma; None for a type of which it is not defined."""
    if pictures.dtype == np.uint8:
        return pictures, np.ones(len(pictures), dtype=bool)
    if pictures.dtype.kind != "f":
        return None
    flat = pictures.reshape(len(pictures), -1)
    has_luma: NDArray[np.bool_] = np.asarray(((flat >= 0) & (flat <= 1)).all(axis=1))
    scaled = np.where(has_luma.reshape(-1, *[1] * (pictures.ndim - 1)), pictures, 0)
    return np.floor(scaled * 255 + 0.5).astype(np.uint8), has_luma


def _blocks(array: pa.Array) -> Iterator[tuple[int, pa.Array]]:
    """Yield pieces of a column that are small enough to be worked on at once, with the number of their first row."""
    rows = max(1, BLOCK_PIXELS // array.type.storage_type.list_size)
    for start in range(0, len(array), rows):
        yield start, array.slice(start, rows)


def _valid(array: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=bool)


def _floats(values: NDArray[np.float64]) -> pa.Array:
    return pa.array(values.astype(np.float64), mask=np.isnan(values))
