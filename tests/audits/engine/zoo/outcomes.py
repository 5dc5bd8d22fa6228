"""What every method makes of every network of the zoo, and the page that says so.

``python -m tests.audits.engine.zoo.outcomes`` writes ``docs/reference/explainers/zoo.md``; the tests hold each cell of
it against the truth.
"""

from __future__ import annotations

from pathlib import Path

from audits.engine.explainers import BUILT_IN
from tests.audits.engine.zoo.programs import ZOO

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "explainers" / "zoo.md"

#: Method and network -> the layer or operation that is refused, by framework. Every other cell is right.
REFUSED: dict[tuple[str, str], dict[str, str]] = {
    ("deeplift", "gate (product)"): {"keras": "Multiply", "pytorch": "mul"},
    ("deeplift", "LayerNorm"): {"keras": "LayerNormalization", "pytorch": "layer_norm"},
    ("deeplift", "LSTM"): {"keras": "LSTM", "pytorch": "lstm"},
    ("deeplift", "GRU"): {"keras": "GRU", "pytorch": "gru"},
    ("deeplift", "attention"): {"keras": "MultiHeadAttention", "pytorch": "scaled_dot_product_attention"},
    ("deeplift", "transformer block"): {"keras": "MultiHeadAttention", "pytorch": "scaled_dot_product_attention"},
    ("deeplift", "CNN, overlapping max-pool"): {"keras": "MaxPooling2D", "pytorch": "max_pool2d"},
}

#: Method -> how far beyond four standard errors a value may be, as a share of the row's largest value. The replicates
#: of expected gradients are few where the background has few rows: a kink that none of them meets is in no error.
BEYOND_ERROR = {"expected_gradients": 0.002}

TITLE = """# The zoo: which method explains which network

Written by `python -m tests.audits.engine.zoo.outcomes`; `tests/audits/engine/zoo` holds every cell to it in Keras and
in PyTorch, with the same weights in both.

- *right*: every value is within four standard errors and 0.01 % of the range of the scores of the truth. The truth is
  computed in another way: by Shapley's formula over all coalitions, by all orders that respect the hierarchy, by the
  integral along the paths, or by contributions that are carried forward through the network in NumPy.
- *right to 0.2 %*: it may be further from the truth by 0.2 % of the row's largest value.
- *refused*: the explanation ends with an error that names the layer or operation (Keras / PyTorch).

With 6 background rows, as here, the replicates of `expected_gradients` may all lie on one side of a kink (ReLU, PReLU,
max-pooling). Its error is then taken from what was seen along each path, and a kink that no position meets is in none.
"""


def cell(method: str, network: str) -> str:
    """Return what the page says of a method and a network."""
    refused = REFUSED.get((method, network))
    if refused:
        return f"refused: `{refused['keras']}` / `{refused['pytorch']}`"
    return f"right to {BEYOND_ERROR[method]:.1%}".replace("%", " %") if method in BEYOND_ERROR else "right"


def page() -> str:
    """Return the page."""
    head = [f"| network | {' | '.join(f'`{method}`' for method in BUILT_IN)} |", "|---" * (len(BUILT_IN) + 1) + "|"]
    rows = [f"| {network} | {' | '.join(cell(method, network) for method in BUILT_IN)} |" for network in ZOO]
    return "\n".join([TITLE, *head, *rows, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
