"""``assay.toml``: what a package is made of, how its model is built, its signature and its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from workers.artifacts import strict_toml
from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.formats import FORMATS
from workers.entry_point import EntryPoint
from workers.recipe import Recipe, RecipeError
from workers.signature import Signature, SignatureError

NAME = "assay.toml"

#: Keys of ``[package]`` by framework: those that have to stand there, and those that may.
_KEYS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    "pytorch": (frozenset({"framework", "entry_point", "weights"}), frozenset({"arguments"})),
    "keras": (frozenset({"framework", "custom_objects", "model"}), frozenset()),
}


#: Keys that name an entry, with the endings that it may have.
_ENTRIES = {
    "custom_objects": (".py",),
    "weights": (*FORMATS["safetensors"].suffixes, *FORMATS["state_dict"].suffixes),
    "model": FORMATS["keras"].suffixes,
}


@dataclass(frozen=True)
class Manifest:
    """What ``assay.toml`` says.

    Attributes:
        entry_point: the factory of a PyTorch package; None for Keras.
        arguments: what the factory is called with, by name.
        custom_objects: the source with the custom layers and losses of a Keras package; empty for PyTorch.
        weights: the entry with the weights of a PyTorch package; empty for Keras.
        model: the entry with the ``.keras`` of a Keras package; empty for PyTorch.
        signature: always there for PyTorch, whose modules state none.
        recipe: the whole recipe as JSON, None where none is stated.
    """

    framework: str
    entry_point: EntryPoint | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict)
    custom_objects: str = ""
    weights: str = ""
    model: str = ""
    signature: Signature | None = None
    recipe: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Read ``assay.toml``.

        Raises:
            RefusalError: ``ART-02.toml`` or ``ART-02.package``, with the key.
        """
        document = strict_toml.parse(content, NAME)
        _demand_keys(document, frozenset({"package"}), frozenset({"signature", "recipe"}), NAME)
        package = document["package"]
        framework = package.get("framework") if isinstance(package, dict) else None
        if not isinstance(framework, str) or framework not in _KEYS:
            raise _refused(f"`framework` is {shown(framework)}; it is one of {', '.join(_KEYS)}.", "package")
        _demand_keys(package, *_KEYS[framework], f"{NAME}: package")
        for key in package:
            if key != "arguments" and not isinstance(package[key], str):
                raise _refused(f"`{key}` is a text.", f"package.{key}")
        for key, endings in _ENTRIES.items():
            if key in package and not package[key].endswith(endings):
                detail = f"`{key}` is {shown(package[key])}; it names a file that ends in {' or '.join(endings)}."
                raise _refused(detail, f"package.{key}")
        signature = _signature(document.get("signature"))
        if signature is None and framework == "pytorch":
            raise _refused("A PyTorch module states no inputs and outputs, so the package has to.", "signature")
        return cls(
            framework=framework,
            entry_point=_entry_point(package["entry_point"]) if "entry_point" in package else None,
            arguments=_arguments(package.get("arguments", {})),
            custom_objects=package.get("custom_objects", ""),
            weights=package.get("weights", ""),
            model=package.get("model", ""),
            signature=signature,
            recipe=_recipe(document.get("recipe")),
        )

    @property
    def code(self) -> str:
        """The source that is imported first."""
        return self.custom_objects or (self.entry_point.filename if self.entry_point else "")

    @property
    def payload(self) -> str:
        """The entry with the numbers: weights, or a ``.keras``."""
        return self.weights or self.model

    def canonical(self) -> Self:
        """Return the manifest of the canonical copy: whatever the weights came in, it has them as safetensors."""
        return replace(self, weights=self.weights and "weights.safetensors", model=self.model and "model.keras")

    @property
    def own_loss(self) -> EntryPoint | None:
        """The loss that the recipe names in a source of the package."""
        return None if self.recipe is None else EntryPoint.read(self.recipe["loss"])

    def to_toml(self) -> bytes:
        """Return the one text that stands for what was read."""
        package = {
            "framework": self.framework,
            "entry_point": None if self.entry_point is None else str(self.entry_point),
            "custom_objects": self.custom_objects or None,
            "weights": self.weights or None,
            "model": self.model or None,
            "arguments": dict(self.arguments) or None,
        }
        document: dict[str, Any] = {"package": package}
        if self.signature is not None:
            document["signature"] = self.signature.to_json()
        if self.recipe is not None:
            document["recipe"] = dict(self.recipe)
        return strict_toml.write(document).encode()


def _demand_keys(table: Any, needed: frozenset[str], optional: frozenset[str], place: str) -> None:
    if not isinstance(table, dict):
        raise refusal("ART-02.package", "This is no table.", place)
    unknown, missing = set(table) - needed - optional, needed - set(table)
    if unknown:
        known = ", ".join(sorted(needed | optional))
        raise refusal("ART-02.package", f"There is no key {shown(min(unknown))}; the keys are {known}.", place)
    if missing:
        raise refusal("ART-02.package", f"The key `{min(missing)}` is missing.", place)


def _entry_point(text: str) -> EntryPoint:
    found = EntryPoint.read(text)
    if found is None:
        detail = f'`entry_point` is {shown(text)}; it names a factory of a source, such as "model:build".'
        raise _refused(detail, "package.entry_point")
    return found


def _arguments(table: Any) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise _refused("`arguments` is a table of plain values.", "package.arguments")
    for name, value in table.items():
        if not (name.isascii() and name.isidentifier()):
            raise _refused(f"{shown(name)} is no name of an argument.", "package.arguments")
        plain = all(not isinstance(item, list | dict) for item in (value if isinstance(value, list) else [value]))
        if not plain:
            raise _refused(
                "An argument is a text, a number, a truth value, or a list of these.", f"package.arguments.{name}"
            )
    return table


def _signature(document: Any) -> Signature | None:
    try:
        return None if document is None else Signature.from_json(document)
    except SignatureError as error:
        raise _refused(str(error), "signature") from None


def _recipe(document: Any) -> dict[str, Any] | None:
    try:
        return None if document is None else Recipe.from_json(document).to_json()
    except RecipeError as error:
        raise _refused(str(error), "recipe") from None


def _refused(detail: str, key: str) -> RefusalError:
    return refusal("ART-02.package", detail, f"{NAME}: {key}")
