"""Exports whose weights lie about their place, shape and type."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.corpus.case import Case, Workshop
from tests.corpus.pt2_files import WEIGHTS, case, changed


def _weight(key: str, value: Any, axes: int | None = None) -> Callable[[Workshop], Path]:
    """Return a maker that changes what is said of one weight, of so many axes if that matters."""

    def change(document: Any, shop: Workshop) -> None:
        stated = [weight["tensor_meta"] for weight in document["config"].values()]
        shop.rng.choice([meta for meta in stated if axes in (None, len(meta["sizes"]))])[key] = value

    return changed(change, WEIGHTS)


def _path_of_weights(document: Any, shop: Workshop) -> None:
    first, second = shop.rng.sample(list(document["config"].values()), 2)
    first["path_name"] = shop.rng.choice([f"../../../../{shop.decoy.name}", str(shop.decoy)])
    second["path_name"] = shop.rng.choice(["../weights/weight_1", "model_weights_config.json"])


CASES: tuple[Case, ...] = (
    case(
        "weight_path",
        "A weight lies outside of the archive.",
        changed(_path_of_weights, WEIGHTS),
        ("ART-02.weights", "ART-02.schema", "ART-02.entry_name"),
        "weights.path",
    ),
    case(
        "weight_offset",
        "A weight is read beside its bytes.",
        _weight("storage_offset", {"as_int": 8}),
        ("ART-02.weights",),
        "weights.two",
    ),
    case(
        "weight_strides",
        "A weight's strides reach beside it.",
        _weight("strides", [{"as_int": 9}, {"as_int": 1}], 2),
        ("ART-02.weights", "ART-02.schema"),
        "weights.two",
    ),
    case(
        "weight_sizes",
        "A weight of 4 TiB.",
        _weight("sizes", [{"as_int": 2**20}, {"as_int": 2**20}]),
        ("ART-02.weights", "ART-02.schema"),
        "weights.room",
    ),
    case(
        "weight_dtype",
        "A weight is of another type than the graph says.",
        _weight("dtype", 8),
        ("ART-02.weights", "ART-02.schema"),
        "weights.two",
    ),
)
