"""Recipes: what people write is read whole, filled up, and refused with its key."""

from __future__ import annotations

from typing import Any

import pytest

from workers.recipe import Recipe, RecipeError

WHOLE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    "epochs": 3,
    "batch_size": 8,
    "metrics": ["accuracy"],
    "seed": 7,
    "precision": "bfloat16",
    "early_stopping": {"patience": 2, "min_delta": 0.1, "monitor": "loss", "restore_best": False},
    "validation_split": 0.25,
}


def test_what_is_written_is_read_back_as_itself() -> None:
    assert Recipe.from_json(WHOLE).to_json() == WHOLE


def test_only_the_loss_has_to_be_said() -> None:
    recipe = Recipe.from_json({"loss": "mse"})
    assert (recipe.loss, recipe.optimizer, recipe.epochs) == ("mean_squared_error", "adam", 10)
    assert recipe.optimizer_parameters == {"learning_rate": 0.001}
    assert recipe.early_stopping is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("loss", "hinge"),
        ("loss", None),
        ("optimizer", "lion"),
        ("optimizer", {"learning_rate": 0.1}),
        ("optimizer.momentum", {"name": "adam", "momentum": 0.9}),
        ("optimizer.learning_rate", {"name": "adam", "learning_rate": -1}),
        ("optimizer.learning_rate", {"name": "adam", "learning_rate": 1e30}),
        ("optimizer.learning_rate", {"name": "adam", "learning_rate": float("nan")}),
        ("optimizer.learning_rate", {"name": "adam", "learning_rate": True}),
        ("optimizer.nesterov", {"name": "sgd", "nesterov": 1}),
        ("epochs", 0),
        ("epochs", 2.5),
        ("batch_size", True),
        ("metrics", "accuracy"),
        ("metrics", ["luck"]),
        ("seed", -1),
        ("seed", 2**31),
        ("precision", "float16"),
        ("validation_split", 1),
        ("validation_split", "a tenth"),
        ("early_stopping", {"min_delta": 0.1}),
        ("early_stopping", {"patience": 2, "hope": 1}),
        ("patience", {"patience": 0}),
        ("early_stopping.min_delta", {"patience": 2, "min_delta": -1}),
        ("early_stopping.min_delta", {"patience": 2, "min_delta": float("nan")}),
        ("early_stopping.min_delta", {"patience": 2, "min_delta": 10**400}),
        ("optimizer.learning_rate", {"name": "adam", "learning_rate": 10**400}),
        ("early_stopping", {"patience": 2, "monitor": "mood"}),
        ("early_stopping", {"patience": 2, "restore_best": "yes"}),
    ],
)
def test_what_is_no_recipe_is_told_with_its_key(key: str, value: Any) -> None:
    with pytest.raises(RecipeError) as told:
        Recipe.from_json({**WHOLE, "early_stopping" if key == "patience" else key.partition(".")[0]: value})
    assert f"`{key}" in str(told.value)
    assert str(told.value).endswith(".")


@pytest.mark.parametrize("document", [None, [], "mse", {**WHOLE, "speed": 1}])
def test_what_is_no_recipe_at_all_is_told(document: Any) -> None:
    with pytest.raises(RecipeError, match=r"A recipe is an object|Unknown key 'speed'"):
        Recipe.from_json(document)
