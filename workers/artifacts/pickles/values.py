"""What a pickle says, as inert values: plain numbers and texts, containers, and tensors that only name their bytes.

Texts, bytes, numbers, booleans, None and tuples stand as Python's own. Every container of a pickle can be changed as
long as the pickle runs; ``settled`` says that something was made of it, after which a change would make two readings
of one file: what it was when it was used, and what it is at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class ArgumentError(ValueError):
    """A known global is used in a way in which no checkpoint uses it; the message says how they use it."""


@dataclass(slots=True, eq=False)
class PickledList:
    """A list."""

    items: list[Any] = field(default_factory=list)
    settled: bool = False

    def extend(self, items: list[Any]) -> None:
        _demand_open(self.settled)
        self.items.extend(items)


@dataclass(slots=True, eq=False)
class PickledSet:
    """A set; a frozen one when it is settled from its beginning."""

    items: list[Any] = field(default_factory=list)
    settled: bool = False

    def extend(self, items: list[Any]) -> None:
        _demand_open(self.settled)
        for item in items:
            identity_of(item)  # only what can be hashed
        self.items.extend(items)


@dataclass(slots=True, eq=False)
class PickledDict:
    """A dict, an OrderedDict (``is_ordered``) or a Counter: values in their order, by the identity of their keys."""

    is_ordered: bool = False
    entries: dict[str | bytes, Any] = field(default_factory=dict)
    settled: bool = False
    has_state: bool = False

    def extend(self, items: list[Any]) -> None:
        """Add keys and values that alternate; every key stands once."""
        _demand_open(self.settled)
        if len(items) % 2:
            raise ArgumentError("a key has a value")
        for index in range(0, len(items), 2):
            identity = identity_of(items[index])
            if identity in self.entries:
                raise ArgumentError("a key of a dict stands once")
            self.entries[identity] = items[index + 1]

    def build(self, state: Any) -> None:
        """Take the one attribute that torch gives the OrderedDict of a module: its version marks, which are dropped."""
        _demand_open(self.settled)
        if not self.is_ordered or self.has_state or not isinstance(state, PickledDict):
            raise ArgumentError("only an OrderedDict has attributes, and once")
        if list(state.entries) != ["_metadata"]:
            raise ArgumentError("an OrderedDict has no other attribute than `_metadata`")
        state.settled = self.has_state = True


@dataclass(frozen=True, slots=True, eq=False)
class Word:
    """A name that stands for itself: a dtype, a storage class, a layout, a quantisation scheme, a tensor class."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Size:
    """``torch.Size``."""

    sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Device:
    """``torch.device``."""

    name: str


@dataclass(frozen=True, slots=True, eq=False)
class Storage:
    """Bytes that lie outside the pickle.

    Attributes:
        dtype: a name of ``weights.dtypes.DTYPES``, ``quint8`` and the like, or empty for bytes without a type.
        count: values, or bytes where there is no type.
        position: byte of the pickle at which it is asked for.
    """

    dtype: str
    key: str
    count: int
    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """A view of a storage: ``offset``, ``size`` and ``stride`` in values."""

    dtype: str
    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    is_conjugate: bool = False
    is_negative: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class CompositeTensor:
    """A sparse or quantised tensor: its parts by name, as tensors or plain numbers."""

    kind: str
    parts: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class MetaTensor:
    """A tensor of the device ``meta``: a shape without values."""

    dtype: str
    size: tuple[int, ...]


@dataclass(slots=True, eq=False)
class NumpyDtype:
    """A dtype of NumPy; its byte order comes with BUILD.

    Attributes:
        code: kind and bytes, as ``f4``; texts have ``U`` (4 bytes a character) or ``S``.
        order: ``<``, ``>`` or ``|``; empty until it was built.
    """

    code: str
    order: str = ""

    def build(self, state: Any) -> None:
        if self.order:
            raise ArgumentError("a dtype is built once")
        match state:
            case (3, "<" | ">" | "|" as order, None, None, None, int() as width, int() as alignment, 0 | 8 as flags):
                pass
            case _:
                raise ArgumentError("the state of a dtype is that of plain numbers or texts")
        expected = (self.size_bytes, 4, 8) if self.code[0] == "U" else (self.size_bytes, 1, 0)
        if (width, alignment, flags) not in ((-1, -1, 0), expected):
            raise ArgumentError("the state of a dtype is that of plain numbers or texts")
        self.order = order

    @property
    def size_bytes(self) -> int:
        return int(self.code[1:]) * (4 if self.code[0] == "U" else 1)


@dataclass(slots=True, eq=False)
class NumpyArray:
    """An array (or a scalar, which has no shape) whose bytes stand in the pickle; None until it was built."""

    dtype: NumpyDtype | None = None
    shape: tuple[int, ...] = ()
    is_fortran: bool = False
    content: bytes | None = None

    def build(self, state: Any) -> None:
        if self.content is not None:
            raise ArgumentError("an array is built once")
        match state:
            case (1, tuple() as shape, NumpyDtype() as dtype, bool() as is_fortran, bytes() as content):
                self.fill(dtype, shape, is_fortran, content)
            case _:
                raise ArgumentError("the state of an array is (1, shape, dtype, order, bytes)")

    def fill(self, dtype: NumpyDtype, shape: tuple[Any, ...], is_fortran: bool, content: bytes) -> None:
        """Take shape and bytes, which have to go together."""
        count = 1
        for size in whole_numbers(shape):
            count *= size
        if not dtype.order:
            raise ArgumentError("the dtype of an array has a byte order")
        if count * dtype.size_bytes != len(content):
            raise ArgumentError(f"an array of {count:,} values does not have {len(content):,} bytes")
        self.dtype, self.shape, self.is_fortran, self.content = dtype, shape, is_fortran, content


#: More dimensions than any model has.
_MAX_DIMENSIONS = 32
_MAX_SIZE = 2**63 - 1
#: A key that is a tuple is spelled out each time that it is used, so it has to be short.
_MAX_KEY_DEPTH, _MAX_KEY_ITEMS, _MAX_KEY_TEXT = 2, 8, 256


def whole_numbers(values: Any) -> tuple[int, ...]:
    """Return a tuple of sizes, strides or the like: whole numbers from 0 that fit into 64 bits.

    Raises:
        ArgumentError: it is something else.
    """
    if isinstance(values, Size):
        return values.sizes
    if not isinstance(values, tuple) or len(values) > _MAX_DIMENSIONS:
        raise ArgumentError("sizes and strides are a tuple of whole numbers")
    for value in values:
        if type(value) is not int or not 0 <= value <= _MAX_SIZE:
            raise ArgumentError("sizes and strides are whole numbers from 0")
    return values


def identity_of(key: Any) -> str | bytes:
    """Return what is equal for equal keys and has a hash that nobody can choose: a text itself, all else as bytes.

    Python takes 1, 1.0 and True for one key, and numbers can be chosen so that their hashes collide.
    """
    if isinstance(key, str):
        return key
    return _numbers_in(key, 0).encode()


def _numbers_in(key: Any, depth: int) -> str:
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if isinstance(key, bool):
        key = int(key)
    if isinstance(key, int) and not -_MAX_SIZE <= key <= _MAX_SIZE:
        raise ArgumentError("a number that is a key fits into 64 bits")
    if key is None or isinstance(key, int | float) or (isinstance(key, str) and len(key) <= _MAX_KEY_TEXT):
        return repr(key)
    if isinstance(key, tuple) and depth < _MAX_KEY_DEPTH and len(key) <= _MAX_KEY_ITEMS:
        return f"({','.join(_numbers_in(item, depth + 1) for item in key)})"
    if isinstance(key, Word):
        return f"<{key.kind} {key.name}>"
    raise ArgumentError("a key of a dict is a text, a number, or a few of them")


def _demand_open(settled: bool) -> None:
    if settled:
        raise ArgumentError("a container does not change after something was made of it")
