"""What is measured of an image: how bright, how sharp, how rich, and a hash by which near duplicates are found.

All of it is about *luma*, the brightness of each pixel as an integer of 0 to 255 (ITU-R BT.601, in the integers that
Pillow's ``convert("L")`` uses)::

    brightness  mean luma, 0..1
    contrast    standard deviation of luma, 0..0.5
    blur        variance of the Laplacian (4 neighbours) over the inner pixels, luma as 0..255; low means blurred
    entropy     bits of the histogram of luma, 0..8
    hash        dHash: luma averaged over 8 rows of 9 areas, a bit where an area is darker than the next; 16 hex digits

Everything is summed in integers or rounded to six digits, so that every machine measures the same.

Sources: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy" (2000), for the variance of the Laplacian;
N. Krawetz, "Kind of Like That" (2013), for dHash.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

#: Pixels that are worked on at once; more are taken in strips of rows, or in blocks of images.
BLOCK_PIXELS = 1_000_000

_HASH_ROWS, _HASH_COLUMNS = 8, 9
_DIGITS = 6
_RED, _GREEN, _BLUE, _HALF = 19_595, 38_470, 7_471, 0x8000
_CHANNELS = (1, 3, 4)
_LEVELS = np.arange(256, dtype=np.int64)


def measure(luma: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
    """Measure images of one size.

    Args:
        luma: shape (images, height, width).

    Returns:
        ``brightness``, ``contrast``, ``blur`` (NaN where no side has three pixels), ``entropy`` (float64) and ``hash``
        (uint64), each of shape (images,).
    """
    count, height, width = luma.shape
    histogram = np.zeros((count, 256), dtype=np.int64)
    sums, squares = np.zeros(count), np.zeros(count)
    areas = np.zeros((count, _HASH_ROWS, _HASH_COLUMNS))
    down, across = _overlaps(height, _HASH_ROWS), _overlaps(width, _HASH_COLUMNS)
    strip = max(1, BLOCK_PIXELS // max(1, count * width))
    for top in range(0, height, strip):
        rows = luma[:, top : top + strip]
        histogram += _histogram(rows)
        areas += down[:, top : top + strip] @ rows.astype(np.float64) @ across.T
        # Whole numbers far below 2^53: their sums are exact, whatever the order in which they are added.
        inner = _laplacian(luma[:, max(0, top - 1) : top + strip + 1]).reshape(count, -1).astype(np.float64)
        sums += inner.sum(axis=1)
        squares += np.vecdot(inner, inner)
    inner_pixels = max(0, height - 2) * max(0, width - 2)
    return {
        **_of_histogram(histogram, height * width),
        "blur": _variance(sums, squares, inner_pixels) if inner_pixels else np.full(count, np.nan),
        "hash": _bits(areas[:, :, :-1] < areas[:, :, 1:]),
    }


def luma_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the luma of images of shape (images, height, width[, 1, 3 or 4]); transparency is not looked at."""
    if pixels.ndim == 3:
        return pixels
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    return ((red * _RED + green * _GREEN + blue * _BLUE + _HALF) >> 16).astype(np.uint8)


def as_pictures(values: NDArray[Any]) -> NDArray[Any] | None:
    """Return arrays of shape (rows, ...) as (rows, height, width[, channels]); None where they are no pictures.

    An axis of 1, 3 or 4 at the end, or else at the beginning, is the channels.
    """
    if values.ndim == 3 or (values.ndim == 4 and values.shape[-1] in _CHANNELS):
        return values
    if values.ndim == 4 and values.shape[1] in _CHANNELS:
        return np.moveaxis(values, 1, -1)
    return None


def hash_texts(hashes: NDArray[np.uint64], valid: NDArray[np.bool_]) -> pa.Array:
    """Write hashes as 16 hex digits; those that are not valid are missing."""
    texts = [f"{value:016x}" if known else None for value, known in zip(hashes.tolist(), valid, strict=True)]
    return pa.array(texts, pa.string())


def _overlaps(size: int, parts: int) -> NDArray[np.float64]:
    """Return, for each of some equal parts of a side, how much of each pixel it covers, in ``parts``-ths of a pixel.

    Whole numbers: the sums over an area are exact, whatever the order in which they are added.
    """
    starts = np.arange(parts)[:, None] * size
    pixels = np.arange(size)[None, :] * parts
    covered = np.minimum(starts + size, pixels + parts) - np.maximum(starts, pixels)
    return np.asarray(np.maximum(covered, 0), dtype=np.float64)


def _histogram(luma: NDArray[np.uint8]) -> NDArray[np.int64]:
    count = len(luma)
    if count == 1:
        # Pillow counts one picture four times as fast, and lets other threads work meanwhile.
        from PIL import Image

        return np.array([Image.fromarray(luma[0]).histogram()], dtype=np.int64)
    bins = luma.reshape(count, -1) + (np.arange(count, dtype=np.int64) * 256)[:, None]
    return np.bincount(bins.ravel(), minlength=count * 256).reshape(count, 256)


def _laplacian(luma: NDArray[np.uint8]) -> NDArray[np.int16]:
    wide = luma.astype(np.int16)
    return (
        4 * wide[:, 1:-1, 1:-1] - wide[:, :-2, 1:-1] - wide[:, 2:, 1:-1] - wide[:, 1:-1, :-2] - wide[:, 1:-1, 2:]
    )  # fmt: skip


def _of_histogram(histogram: NDArray[np.int64], pixels: int) -> dict[str, NDArray[np.float64]]:
    sums = histogram @ _LEVELS
    share = histogram / pixels
    logarithms = np.log2(share, out=np.zeros_like(share), where=share > 0)
    return {
        "brightness": np.round(sums / pixels / 255, _DIGITS),
        "contrast": np.round(np.sqrt(_variance(sums, histogram @ _LEVELS**2, pixels)) / 255, _DIGITS),
        "entropy": np.round(-(share * logarithms).sum(axis=1), _DIGITS) + 0.0,
    }


def _variance(sums: NDArray[Any], squares: NDArray[Any], count: int) -> NDArray[np.float64]:
    variance = squares / count - np.square(sums / count)
    return np.asarray(np.round(np.maximum(variance, 0), _DIGITS), dtype=np.float64)


def _bits(darker: NDArray[np.bool_]) -> NDArray[np.uint64]:
    packed = np.packbits(darker.reshape(len(darker), -1), axis=1)
    return packed.view(">u8").reshape(-1).astype(np.uint64)
