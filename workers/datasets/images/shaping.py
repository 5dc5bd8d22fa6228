"""Bring pictures to the one shape that a column has: height, width and channels, 8 bits each.

A schema that states a shape asks for it: pictures of other sizes are resized (bilinear, with antialiasing), and modes
are changed where nothing is guessed. Without one, the most common shape of the upload is the shape, and a picture of
another one is a problem of its row.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.datasets.images.decoding import ImageProblem, Picture

Shape = tuple[int, int, int]

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def stated(shape: tuple[int, ...]) -> Shape | None:
    """Return height, width and channels of a shape that a schema states; None for one that no picture has."""
    if len(shape) == 2:
        return shape[0], shape[1], 1
    return (shape[0], shape[1], shape[2]) if len(shape) == 3 and shape[2] in _MODES else None


def most_common(shapes: Iterable[Shape]) -> tuple[Shape, int, int] | None:
    """Return the most common shape, how many have it, and of how many; of equally common ones the smallest."""
    counts = Counter(shapes)
    if not counts:
        return None
    shape, count = min(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return shape, count, counts.total()


def fitted(picture: Picture, shape: Shape, *, resize: bool) -> NDArray[np.uint8]:
    """Return the pixels of a picture in a shape, as an array of (height, width, channels).

    Raises:
        ImageProblem: it has another shape and ``resize`` was not asked for, or transparency that the shape has not.
    """
    if picture.shape != shape and not resize:
        raise ImageProblem(
            f"It is {words(picture.shape)}, while most are {words(shape)}; state a `shape` in the schema to resize all."
        )
    height, width, channels = shape
    image = _in_mode(picture, _MODES[channels])
    if image.size != (width, height):
        from PIL.Image import Resampling

        image = image.resize((width, height), Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).reshape(shape)


def words(shape: Shape) -> str:
    """Write a shape for a reader: ``28 x 28 grey``."""
    height, width, channels = shape
    mode = {1: "grey", 3: "RGB", 4: "RGBA"}[channels]
    return f"{width:,} x {height:,} {mode}"


def _in_mode(picture: Picture, mode: str) -> Any:
    if picture.mode == mode:
        return picture.image
    if picture.mode == "RGBA" and picture.image.getextrema()[3][0] < 255:
        raise ImageProblem(
            "It is transparent in places; the colour behind is not known. Save it without transparency, or state a "
            "shape with 4 channels."
        )
    return picture.image.convert(mode)
