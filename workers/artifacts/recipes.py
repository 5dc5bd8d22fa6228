"""The recipe that a file carries (compile settings, ``assay.toml``), and how it goes together with a stated one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from workers.artifacts.findings import Finding, finding
from workers.artifacts.keras.archive import KerasFile
from workers.artifacts.package.archive import Package
from workers.artifacts.source import Content
from workers.recipe import LOSSES, METRICS, OPTIMIZERS, Recipe, RecipeError, canonical_name

_PLACE = "config.json: compile_config"


def own_recipe(content: Content | None) -> tuple[dict[str, Any] | None, tuple[Finding, ...]]:
    """Return what a file itself says of its recipe, and what stands against taking it.

    A package speaks through ``assay.toml``; where it does not, through the compile settings of its ``.keras``.
    """
    if isinstance(content, Package):
        if content.manifest.recipe is not None:
            return dict(content.manifest.recipe), ()
        return own_recipe(content.payload)
    return recipe_of(content.compile_config if isinstance(content, KerasFile) else None)


def recipe_of(compile_config: Mapping[str, Any] | None) -> tuple[dict[str, Any] | None, tuple[Finding, ...]]:
    """Return the parts of a recipe that compile settings state, and why they do not make one where they do not.

    The parts are ``loss``, ``optimizer`` and ``metrics``, by the names that a recipe has.
    """
    if not compile_config:  # a model that was never compiled has none, or an empty one
        return None, ()
    try:
        return {
            "loss": canonical_name("loss", _name_of(compile_config.get("loss")), LOSSES),
            "optimizer": _optimizer(compile_config.get("optimizer")),
            "metrics": _metrics(compile_config.get("metrics")),
        }, ()
    except RecipeError as error:
        detail = f"The compile settings cannot be written as a recipe: {error} State a recipe to retrain the model."
        return None, (finding("SIG-02.recipe", detail, _PLACE),)


def merge_recipes(
    artefact: Mapping[str, Any] | None, stated: Mapping[str, Any] | None
) -> tuple[dict[str, Any] | None, tuple[Finding, ...]]:
    """Return the recipe of the version as whole JSON, and a finding for each part where the two differ.

    Raises:
        RecipeError: the stated recipe is not well formed.
    """
    if stated is None:
        return (None, ()) if artefact is None else (Recipe.from_json(artefact).to_json(), ())
    if artefact is None or not isinstance(stated, Mapping):
        return Recipe.from_json(stated).to_json(), ()
    whole = {**artefact, **stated}
    optimizer = {"name": whole["optimizer"]} if isinstance(whole["optimizer"], str) else whole["optimizer"]
    if isinstance(optimizer, Mapping) and optimizer.get("name") == artefact["optimizer"]["name"]:
        # What a person leaves out is what the model was compiled with, not the default of a recipe.
        whole["optimizer"] = {**artefact["optimizer"], **optimizer}
    read = Recipe.from_json(whole).to_json()
    findings = [
        finding("SIG-01.recipe", f"The artefact was compiled with {ours}; the stated recipe says {theirs}.", _PLACE)
        for ours, theirs in _differences(artefact, read)
    ]
    return read, tuple(findings)


def _differences(artefact: Mapping[str, Any], read: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what both state and where they differ, as two texts a difference."""
    ours, theirs = artefact["optimizer"], read["optimizer"]
    differences = []
    if read["loss"] != artefact["loss"]:
        differences.append((f"the loss {artefact['loss']}", read["loss"]))
    if ours["name"] != theirs["name"]:
        differences.append((f"the optimizer {ours['name']}", theirs["name"]))
    else:
        differences.extend(
            (f"the {ours['name']} parameter {name} = {ours[name]}", str(theirs[name]))
            for name in sorted(set(ours) & set(theirs) - {"name"})
            if not math.isclose(float(ours[name]), float(theirs[name]), rel_tol=1e-5)
        )
    return differences


def _name_of(value: Any) -> Any:
    """Return the name of a loss or metric: a text, an object of a class, or a function."""
    if isinstance(value, Mapping) and "class_name" in value:
        return value.get("config") if value["class_name"] == "function" else value["class_name"]
    if isinstance(value, Mapping | list) and len(value) == 1:
        (only,) = value.values() if isinstance(value, Mapping) else value
        return _name_of(only)
    if value is None or isinstance(value, Mapping | list):
        raise RecipeError("the model has no loss, or one for each of several outputs.")
    return value


def _optimizer(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return {"name": _optimizer_name(value)}
    config = value.get("config") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(config, Mapping):
        raise RecipeError("the model has no optimizer.")
    name = _optimizer_name(value.get("class_name"))
    optimizer: dict[str, Any] = {"name": name}
    for key in OPTIMIZERS[name]:
        setting = config.get(key)
        if isinstance(setting, Mapping):
            raise RecipeError(f"the {key} of the optimizer is a schedule.")
        if isinstance(setting, bool):
            optimizer[key] = setting
        elif isinstance(setting, int | float):
            # Keras keeps the learning rate as float32; the shortest text for it is what the person wrote.
            optimizer[key] = float(str(np.float32(setting)))
    return optimizer


def _optimizer_name(value: Any) -> str:
    name = str(value).replace("_", "").lower()
    if name not in OPTIMIZERS:
        raise RecipeError(f"`optimizer`: {value!r} is not known; known are {', '.join(OPTIMIZERS)}.")
    return name


def _metrics(value: Any) -> list[str]:
    """Return the metrics that a recipe knows; others are only shown while training, so they are left out."""
    names = []
    for item in value if isinstance(value, list) else []:
        try:
            name = canonical_name("metrics", _name_of(item), METRICS)
        except RecipeError:
            continue
        if name not in names:
            names.append(name)
    return names
