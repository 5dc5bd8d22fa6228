"""What the pickles of a TorchScript archive say: objects of its classes, tensors, and plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

#: torch's storages and how many bytes a value of each takes.
STORAGES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
}


@dataclass(frozen=True, eq=False)
class Storage:
    """Bytes outside the pickle: the entry ``key`` with ``count`` values."""

    kind: str
    key: str
    count: int


@dataclass(frozen=True, eq=False)
class Tensor:
    """A view of a storage: offset, sizes and strides in values."""

    storage: Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    requires_gradient: bool


@dataclass(frozen=True, eq=False)
class Object:
    """An object of a class of the archive: its attributes by name."""

    class_name: str
    state: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Tagged:
    """A list or dictionary (a list of pairs) with its type, which torch states beside it."""

    value: Items | Pairs
    type: str


@dataclass(frozen=True, eq=False)
class Items:
    """The items of a list."""

    items: tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Pairs:
    """The entries of a dictionary."""

    pairs: tuple[tuple[Any, Any], ...]


@dataclass(frozen=True, eq=False)
class Uniform:
    """A list of values of one kind, which torch names by the function that makes it, as ``build_intlist``."""

    maker: str
    value: Items
