"""The schema of a data set: its modality and, for each column, a role and a type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

MODALITIES = ("tabular", "image", "text", "interactions")
ROLES = ("feature", "target", "protected", "id", "timestamp", "split", "metadata", "ignore")
TYPES = (
    "float", "integer", "decimal", "boolean", "category", "string", "date", "datetime", "image", "text", "tokens"
)  # fmt: skip
NUMERIC_TYPES = ("float", "integer", "decimal", "boolean", "image", "tokens")
#: What the identifiers of a user and an item are.
_IDENTIFIER_TYPES = ("integer", "string", "category")

#: Parts of a data set that a split column may name.
SPLITS = ("train", "validation", "test")


class SchemaError(ValueError):
    """A schema that is not well formed; the message names the column."""


#: Ids of one row, and of how many, that a schema may ask for.
MAX_TOKENS, MAX_TOKEN_IDS = 16_384, 2**24


@dataclass(frozen=True)
class Tokens:
    """How a text becomes token ids: how many a row has, and of how many they are with that of padding, which is 0."""

    length: int
    size: int


@dataclass(frozen=True)
class Column:
    """One column: what it is for, what it holds, and the shape of one of its values (empty for a scalar).

    A text column may state ``tokens``; its ids are then the column ``NAME.tokens``.
    """

    role: str
    type: str
    shape: tuple[int, ...] = ()
    tokens: Tokens | None = None

    @property
    def width(self) -> int:
        """Numbers in one value."""
        return math.prod(self.shape)

    @property
    def is_numeric(self) -> bool:
        return self.type in NUMERIC_TYPES


@dataclass(frozen=True)
class Schema:
    """Modality and columns, in the order of the file."""

    modality: str
    columns: Mapping[str, Column]

    @classmethod
    def from_json(cls, document: Any) -> Self:
        """Read ``{"modality": ..., "columns": {NAME: {"role": ..., "type": ...}}}``.

        Raises:
            SchemaError: with the name of the column, when the document is not a schema.
        """
        if not isinstance(document, Mapping) or set(document) != {"modality", "columns"}:
            raise SchemaError("A schema is an object with `modality` and `columns`, and nothing else.")
        modality, entries = document["modality"], document["columns"]
        if modality not in MODALITIES:
            raise SchemaError(f"The modality {modality!r} is not one of {', '.join(MODALITIES)}.")
        if not isinstance(entries, Mapping) or not entries:
            raise SchemaError("`columns` is an object with at least one column.")
        columns = {str(name): _column(str(name), entry) for name, entry in entries.items()}
        for role in ("target", "split"):
            names = [name for name, column in columns.items() if column.role == role]
            if len(names) > 1:
                raise SchemaError(f"The columns {', '.join(map(repr, names))} all have the role {role}; one may.")
        schema = cls(modality=modality, columns=columns)
        if modality == "interactions":
            schema.check_interactions()
        return schema

    def check_interactions(self) -> None:
        """Demand what interactions consist of: who, what, and at most one moment; a rating is the target.

        Raises:
            SchemaError: with what is missing or too much.
        """
        if len(self.identifiers) < 2:
            raise SchemaError(
                "Interactions have at least two columns of the role feature and a type of "
                f"{', '.join(_IDENTIFIER_TYPES)}: the user and the item, in the order of the file. This schema has "
                f"{', '.join(map(repr, self.identifiers)) or 'none'}."
            )
        moments = self.with_role("timestamp")
        if len(moments) > 1:
            raise SchemaError(
                f"The columns {', '.join(map(repr, moments))} all have the role timestamp; one of interactions may."
            )
        if self.target is not None and not self.columns[self.target].is_numeric:
            raise SchemaError(
                f"The rating {self.target!r} of interactions is of the type {self.columns[self.target].type}; a rating "
                "is a number."
            )

    @property
    def identifiers(self) -> list[str]:
        """The feature columns that may name users and items."""
        return [name for name in self.with_role("feature") if self.columns[name].type in _IDENTIFIER_TYPES]

    def to_json(self) -> dict[str, Any]:
        columns = {}
        for name, column in self.columns.items():
            entry: dict[str, Any] = {"role": column.role, "type": column.type}
            if column.shape:
                entry["shape"] = list(column.shape)
            if column.tokens is not None:
                entry["tokens"] = {"length": column.tokens.length, "size": column.tokens.size}
            columns[name] = entry
        return {"modality": self.modality, "columns": columns}

    def with_role(self, role: str) -> list[str]:
        """Return the names of the columns of one role, in order."""
        return [name for name, column in self.columns.items() if column.role == role]

    @property
    def target(self) -> str | None:
        return next(iter(self.with_role("target")), None)

    @property
    def split(self) -> str | None:
        return next(iter(self.with_role("split")), None)


def _column(name: str, entry: Any) -> Column:
    if not isinstance(entry, Mapping) or not {"role", "type"} <= set(entry) <= {"role", "type", "shape", "tokens"}:
        raise SchemaError(
            f"The column {name!r} is described by `role`, `type` and, for arrays, `shape` or, for texts, `tokens`."
        )
    if entry["role"] not in ROLES:
        raise SchemaError(f"The column {name!r} has the role {entry['role']!r}; roles are {', '.join(ROLES)}.")
    if entry["type"] not in TYPES:
        raise SchemaError(f"The column {name!r} has the type {entry['type']!r}; types are {', '.join(TYPES)}.")
    shape = entry.get("shape", [])
    if not isinstance(shape, list) or not all(
        isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in shape
    ):
        raise SchemaError(f"The column {name!r} has the shape {shape!r}; a shape is a list of sizes above 0.")
    tokens = _tokens(name, entry["tokens"]) if "tokens" in entry else None
    if tokens is not None and entry["type"] != "text":
        raise SchemaError(f"The column {name!r} states `tokens` and is of the type {entry['type']}; a text column may.")
    return Column(role=entry["role"], type=entry["type"], shape=tuple(shape), tokens=tokens)


def _tokens(name: str, entry: Any) -> Tokens:
    limits = {"length": (1, MAX_TOKENS), "size": (2, MAX_TOKEN_IDS)}
    if not isinstance(entry, Mapping) or set(entry) != set(limits):
        raise SchemaError(f"`tokens` of the column {name!r} is an object with `length` and `size`.")
    for key, (lowest, highest) in limits.items():
        value = entry[key]
        if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
            raise SchemaError(
                f"`tokens.{key}` of the column {name!r} is {value!r}; it is a whole number, {lowest:,} to {highest:,}."
            )
    return Tokens(entry["length"], entry["size"])
