"""``.keras`` archives whose compile settings are Python code: it runs with the first step of training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.corpus.case import Case, Workshop
from tests.corpus.keras_files import changed, stored_value

_ADAM = {"module": "keras.optimizers", "class_name": "Adam", "registered_name": None}


def _settings(**settings: Any) -> dict[str, Any]:
    return {"optimizer": "adam", "loss": "mean_squared_error"} | settings


def _loss(shop: Workshop) -> dict[str, Any]:
    return _settings(loss=stored_value(shop))


def _metric(shop: Workshop) -> dict[str, Any]:
    key = shop.rng.choice(["metrics", "weighted_metrics"])
    return _settings(**{key: [stored_value(shop)]})


def _rate(shop: Workshop) -> dict[str, Any]:
    return _settings(optimizer=_ADAM | {"config": {"learning_rate": stored_value(shop)}})


def _case(name: str, says: str, settings: Callable[[Workshop], dict[str, Any]]) -> Case:
    def change(document: Any, shop: Workshop) -> None:
        document["compile_config"] = settings(shop)

    return Case(f"keras/{name}", says, changed("model.keras", change), ("ART-01.lambda",), "keras", "keras.fit")


CASES: tuple[Case, ...] = (
    _case("loss", "The loss is Python code.", _loss),
    _case("metric", "A metric is Python code.", _metric),
    _case("learning_rate", "The rate of learning is Python code.", _rate),
)
