"""How much a model makes of a row, and so how many rows go through it at once: the model alone decides.

The setting of a job's memory does not, since a chunk of another size has other last digits. So the chunks are those
that the smallest setting has room for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from workers.frameworks.rows import CHUNK_VALUES, chunk_rows

if TYPE_CHECKING:
    from workers.frameworks.base import Model

#: How much wider than its input a model is taken to be that does not tell the shapes of its layers, and how many such
#: layers it is taken to have.
UNTOLD_WIDENING = 16
UNTOLD_LAYERS = 8
#: What one layer gives for all rows of a pass stays below this many values: 8 MiB of float32, of which two or three are
#: there at a time. An accelerator wants more work at a time.
PASS_VALUES = {"cpu": 2**21, "cuda": 2**26}
#: What all layers together give, where all of it is kept until the gradients are there.
KEPT_VALUES = {"cpu": 2**22, "cuda": 2**27}


@dataclass(frozen=True)
class Widths:
    """Values that the layers of a model give for one row: the widest one, its input too, and all together."""

    widest: int
    total: int


def widths_of(model: Model) -> Widths:
    """Return the widths of a model, as far as it tells the shapes of its layers."""
    width = sum(spec.width for spec in model.signature.inputs)
    # A dimension that is not known counts once.
    told = [
        math.prod(max(1, size) for size in layer["output_shape"][1:])
        for layer in model.layers()
        if layer["output_shape"]
    ]
    if not told:
        return Widths(UNTOLD_WIDENING * width, UNTOLD_WIDENING * UNTOLD_LAYERS * width)
    return Widths(max([width, *told]), width + sum(told))


def pass_rows(model: Model) -> int:
    """Return how many rows go through a model at once."""
    return _at_most(chunk_rows(model.signature), PASS_VALUES[_kind(model)], model.widths.widest)


def gradient_rows(model: Model, chunk_values: int = CHUNK_VALUES) -> int:
    """Return how many rows are differentiated at once; ``chunk_values`` limits what goes in."""
    wanted = min(pass_rows(model), chunk_rows(model.signature, chunk_values))
    return _at_most(wanted, KEPT_VALUES[_kind(model)], model.widths.total)


def _at_most(rows: int, values: int, width: int) -> int:
    return max(1, min(rows, values // max(1, width)))


def _kind(model: Model) -> str:
    return model.device.partition(":")[0]
