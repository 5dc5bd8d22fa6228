"""Keras model packages: a ``.keras`` whose own layers and losses come from a source of the package."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from workers.artifacts.package.archive import custom_names
from workers.artifacts.package.sources import read_source
from workers.entry_point import EntryPoint
from workers.frameworks.base import EpochRecord, Framework, History, TrainingRows
from workers.frameworks.fitting import OwnLoss
from workers.frameworks.keras import KerasModel, environment, load_in_safe_mode, prepare, read_signature
from workers.frameworks.package import OpenedPackage
from workers.frameworks.rows import demand_signature
from workers.recipe import Recipe
from workers.signature import Signature


class KerasPackageModel(KerasModel):
    """A Keras model of a package."""

    def __init__(self, package: OpenedPackage, model: Any, *, signature: Signature, device: str) -> None:
        super().__init__(model, signature=signature, device=device)
        self._package = package
        self._recipe: Recipe | None = None

    def fit(self, rows: TrainingRows, recipe: Recipe, *, on_epoch: Callable[[EpochRecord], None]) -> History:
        self._recipe = recipe
        return super().fit(rows, recipe, on_epoch=on_epoch)

    def save(self, path: Path) -> None:
        """Write a package of the same sources and the model as it is now."""
        with tempfile.TemporaryDirectory() as folder:
            inner = Path(folder, "model.keras")
            super().save(inner)
            recipe = None if self._recipe is None else self._recipe.to_json()
            self._package.write(path, inner, signature=self.signature, recipe=recipe)

    def _own_loss(self, name: EntryPoint) -> OwnLoss:
        return self._package.loss(name)


class KerasPackageFramework(Framework):
    """Keras 3 on TensorFlow, through a model package."""

    name: ClassVar[str] = "keras"
    formats: ClassVar[tuple[str, ...]] = ("package",)

    def load(self, path: Path, *, signature: Signature | None, device: str, seed: int) -> KerasPackageModel:
        prepare(device, seed)
        package = OpenedPackage.open(path)
        objects = _custom_objects(package)
        with package.running("The model cannot be built"):
            model = load_in_safe_mode(package.payload, device=device, custom_objects=objects)
        found = read_signature(model)
        stated = package.manifest.signature
        if stated is not None:
            demand_signature(found, stated, place=path.name)
            found = found.completed_by(stated)
        if signature is not None:
            demand_signature(found, signature, place=path.name)
        return KerasPackageModel(package, model, signature=signature or found, device=device)

    def environment(self) -> dict[str, Any]:
        return environment()


def _custom_objects(package: OpenedPackage) -> dict[str, Any]:
    """Return what the model may name beside Keras' own, as the inspection read it from the same source."""
    filename = package.manifest.custom_objects
    module = package.module(filename)
    names = custom_names(read_source(filename, package.source(filename), package.filenames))
    return {registered: getattr(module, name) for registered, name in names.items()}
