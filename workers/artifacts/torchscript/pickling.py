"""Writes the pickles of a TorchScript archive from values that were read: each opcode is one of torch's own pickler."""

from __future__ import annotations

import pickle
import struct
from typing import Any

from workers.artifacts.findings import refusal
from workers.artifacts.torchscript.values import Items, Object, Pairs, Storage, Tagged, Tensor, Uniform

_MAX_DEPTH = 200


def write_pickle(value: Any, place: str) -> bytes:
    """Return the pickle of a value; what stands in it twice is written once and referred to.

    Raises:
        RefusalError: it is nested deeper than any module.
    """
    writer = _Writer(place)
    writer.value(value, 0)
    return b"".join((pickle.PROTO, b"\x02", *writer.parts, pickle.STOP))


class _Writer:
    def __init__(self, place: str) -> None:
        self.parts: list[bytes] = []
        self._place = place
        #: By identity, as what is equal need not be the same; the values live as long as what they were read into.
        self._memo: dict[int, int] = {}

    def value(self, value: Any, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise refusal("ART-02.too_large", f"Values are nested deeper than {_MAX_DEPTH}.", self._place)
        match value:
            case None:
                self._add(pickle.NONE)
            case bool():
                self._add(pickle.NEWTRUE if value else pickle.NEWFALSE)
            case int():
                self._number(value)
            case float():
                self._add(pickle.BINFLOAT, struct.pack(">d", value))
            case str():
                self._text(value)
            case _:
                self._once(value, depth)

    def _once(self, value: Any, depth: int) -> None:
        """Write a value that may stand in others, or refer to it."""
        if id(value) in self._memo:
            self._add(pickle.LONG_BINGET, struct.pack("<I", self._memo[id(value)]))
            return
        match value:
            case tuple():
                self._tuple(value, depth)
            case Items(items=items):
                self._add(pickle.EMPTY_LIST, pickle.MARK)
                for item in items:
                    self.value(item, depth + 1)
                self._add(pickle.APPENDS)
                return
            case Pairs(pairs=pairs):
                self._pairs(pairs, depth)
                return
            case Tagged(value=inner, type=kind):
                self._global("torch.jit._pickle", "restore_type_tag")
                self.value(inner, depth + 1)
                self._text(kind)
                self._add(pickle.TUPLE2, pickle.REDUCE)
            case Uniform(maker=maker, value=inner):
                self._global("torch.jit._pickle", maker)
                self.value(inner, depth + 1)
                self._add(pickle.TUPLE1, pickle.REDUCE)
            case Object(class_name=name, state=state):
                self._global(*name.rsplit(".", 1))
                self._add(pickle.EMPTY_TUPLE, pickle.NEWOBJ)
                self._pairs(tuple(state.items()), depth)
                self._add(pickle.BUILD)
            case Tensor():
                self._tensor(value)
            case _:
                raise TypeError(f"{type(value).__name__} is no value of a pickle.")
        self._remember(value)

    def _tuple(self, values: tuple[Any, ...], depth: int) -> None:
        if not values:
            self._add(pickle.EMPTY_TUPLE)
            return
        self._add(pickle.MARK)
        for value in values:
            self.value(value, depth + 1)
        self._add(pickle.TUPLE)

    def _pairs(self, pairs: tuple[tuple[Any, Any], ...], depth: int) -> None:
        self._add(pickle.EMPTY_DICT, pickle.MARK)
        for key, value in pairs:
            self.value(key, depth + 1)
            self.value(value, depth + 1)
        self._add(pickle.SETITEMS)

    def _tensor(self, tensor: Tensor) -> None:
        self._global("torch._utils", "_rebuild_tensor_v2")
        self._add(pickle.MARK)
        self._storage(tensor.storage)
        self._number(tensor.offset)
        for numbers in (tensor.sizes, tensor.strides):
            self._tuple(numbers, 0)
        self._add(pickle.NEWTRUE if tensor.requires_gradient else pickle.NEWFALSE)
        self._global("collections", "OrderedDict")
        self._add(pickle.EMPTY_TUPLE, pickle.REDUCE, pickle.TUPLE, pickle.REDUCE)

    def _storage(self, storage: Storage) -> None:
        self._add(pickle.MARK)
        self._text("storage")
        self._global("torch", storage.kind)
        self._text(storage.key)
        self._text("cpu")
        self._number(storage.count)
        self._add(pickle.TUPLE, pickle.BINPERSID)

    def _global(self, module: str, name: str) -> None:
        self._add(pickle.GLOBAL, f"{module}\n{name}\n".encode("ascii"))

    def _text(self, text: str) -> None:
        content = text.encode()
        self._add(pickle.BINUNICODE, struct.pack("<I", len(content)), content)

    def _number(self, number: int) -> None:
        if 0 <= number < 256:
            self._add(pickle.BININT1, struct.pack("<B", number))
        elif -(2**31) <= number < 2**31:
            self._add(pickle.BININT, struct.pack("<i", number))
        else:
            self._add(pickle.LONG1, b"\x08", number.to_bytes(8, "little", signed=True))

    def _remember(self, value: Any) -> None:
        self._memo[id(value)] = len(self._memo)
        self._add(pickle.LONG_BINPUT, struct.pack("<I", self._memo[id(value)]))

    def _add(self, *parts: bytes) -> None:
        self.parts += parts
