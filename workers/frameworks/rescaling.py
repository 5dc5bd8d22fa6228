"""What DeepLIFT's rescale rule has in common on both frameworks."""

from __future__ import annotations

from workers.protocol import JobError
from workers.signature import Signature

#: Below this difference of a nonlinearity's inputs its slope is its derivative: the quotient would be rounding noise.
SMALLEST_DIFFERENCE = 1e-6


def refused_layer(name: str, kind: str, reason: str) -> JobError:
    """Return the refusal of a model with a layer that has no rule."""
    return JobError(
        "layer_not_supported",
        f"DeepLIFT's rescale rule does not explain the layer {name!r} ({kind}): {reason}. Use 'permutation'.",
        place=name,
    )


def scores_not_found(signature: Signature) -> JobError:
    """Return the refusal of a model whose softmax or sigmoid cannot be taken off."""
    return JobError(
        "layer_not_supported",
        f"DeepLIFT explains what goes into the last softmax or sigmoid of {signature.output.name!r}, and that cannot "
        "be found; through it, its values would add up and be wrong. Use 'permutation'.",
        place=signature.output.name,
    )
