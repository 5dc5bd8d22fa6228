"""The pickles of TorchScript, read opcode by opcode without calling anything, and written anew from what was read.

torch writes them with a pickler of its own, which knows some 25 opcodes and five globals beside the classes of the
archive. Each value is closed before it is remembered, so that nothing refers to itself.

Source: ``torch/csrc/jit/serialization/pickler.cpp`` and ``unpickler.cpp`` of PyTorch 2.13.
"""

from __future__ import annotations

import math
import pickle
import struct
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.torchscript.types import read_type_text
from workers.artifacts.torchscript.values import STORAGES, Items, Object, Pairs, Storage, Tagged, Tensor, Uniform

_MAX_OPCODES = 1_000_000
_MAX_TEXT_BYTES = 1024**2
_MAX_DIMENSIONS = 64
_REBUILD = ("torch._utils", "_rebuild_tensor_v2")
_TAG = ("torch.jit._pickle", "restore_type_tag")
_MAKERS = frozenset({"build_intlist", "build_tensorlist", "build_doublelist", "build_boollist"})
_HOOKS = ("collections", "OrderedDict")


class _Mark:
    """Where a tuple, a list or the state of an object begins."""


class _Open(list[Any]):
    """A list or dictionary that may still be filled; ``pairs`` says which."""

    pairs = False


class _OpenPairs(_Open):
    pairs = True


@dataclass(frozen=True, eq=False)
class _Global:
    module: str
    name: str


@dataclass(frozen=True, eq=False)
class _New:
    """An object before its attributes."""

    class_name: str


def read_pickle(content: bytes, classes: Collection[str], place: str) -> Any:
    """Return the one value of a pickle.

    Args:
        classes: the qualified names of the classes of the archive.

    Raises:
        RefusalError: ``ART-01.pickle`` with the byte for whatever torch's pickler does not write.
    """
    return _Machine(content, classes, place).run()


class _Machine:
    def __init__(self, content: bytes, classes: Collection[str], place: str) -> None:
        self._content = content
        self._classes = classes
        self._place = place
        self._position = 0
        self._start = 0
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._opcodes = 0
        self._types: dict[str, str] = {}

    def run(self) -> Any:
        if self._content[:2] != b"\x80\x02":
            raise self._refusal("The pickle does not begin as torch's do (protocol 2).")
        self._position = 2
        while True:
            self._start = self._position
            opcode = self._take(1)
            if opcode == pickle.STOP:
                break
            action = _ACTIONS.get(opcode)
            if action is None:
                raise self._refusal(f"The opcode {shown(opcode)} is none that torch's pickler writes.")
            action(self)
            self._opcodes += 1
            if self._opcodes > _MAX_OPCODES:
                raise refusal("ART-02.too_large", f"The pickle has more than {_MAX_OPCODES:,} opcodes.", self._place)
        if self._position != len(self._content) or len(self._stack) != 1:
            raise self._refusal("The pickle does not end with its one value.")
        return self._closed(self._stack[0])

    def proto(self) -> None:
        raise self._refusal("The pickle begins twice.")

    def number(self, width: int, format: str) -> int:
        value: int = struct.unpack(format, self._take(width))[0]
        return value

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def long(self) -> None:
        length = self.number(1, "<B")
        if not 1 <= length <= 8:
            raise self._refusal("A number has more than 64 bits.")
        self.push(int.from_bytes(self._take(length), "little", signed=True))

    def double(self) -> None:
        self.push(struct.unpack(">d", self._take(8))[0])

    def text(self) -> None:
        length = self.number(4, "<I")
        if length > _MAX_TEXT_BYTES:
            raise refusal("ART-02.too_large", f"A text has {length:,} bytes.", self._where())
        try:
            self.push(self._take(length).decode("utf-8"))
        except UnicodeDecodeError:
            raise self._refusal("A text is not UTF-8.") from None

    def global_name(self) -> None:
        module, name = self._line(), self._line()
        qualified = f"{module}.{name}"
        known = (module, name) in (_REBUILD, _TAG, _HOOKS) or (module == "torch" and name in STORAGES)
        is_maker = module == _TAG[0] and name in _MAKERS
        if not known and not is_maker and qualified not in self._classes:
            raise self._refusal(f"The pickle names {shown(qualified)}, which is no class of the archive's code.")
        self.push(_Global(module, name))

    def put(self, key: int) -> None:
        if not self._stack or isinstance(self._stack[-1], _Mark | _Open | _New) or key != len(self._memo):
            raise self._refusal("What is remembered is not a whole value, or is not numbered in order.")
        self._memo[key] = self._stack[-1]

    def get(self, key: int) -> None:
        if key not in self._memo:
            raise self._refusal(f"Nothing is remembered as {key}.")
        self.push(self._memo[key])

    def tuple_of(self, count: int) -> None:
        if len(self._stack) < count:
            raise self._refusal("A tuple has fewer values than it says.")
        values = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        self.push(tuple(map(self._closed, values)))

    def tuple_to_mark(self) -> None:
        self.push(tuple(map(self._closed, self._to_mark())))

    def append(self) -> None:
        value = self._pop()
        self._fill(False, [value])

    def appends(self) -> None:
        self._fill(False, self._to_mark())

    def set_items(self) -> None:
        self._fill(True, self._to_mark())

    def new_object(self) -> None:
        arguments, made = self._pop(), self._pop()
        if arguments != () or not isinstance(made, _Global) or f"{made.module}.{made.name}" not in self._classes:
            raise self._refusal("An object is made of a class of the archive, without arguments.")
        self.push(_New(f"{made.module}.{made.name}"))

    def build(self) -> None:
        state, made = self._pop(), self._pop()
        if not isinstance(made, _New) or not isinstance(state, _OpenPairs):
            raise self._refusal("The state of an object is the dictionary of its attributes.")
        attributes: dict[str, Any] = {}
        for name, value in self._pairs(state):
            if not isinstance(name, str) or name in attributes:
                raise self._refusal(f"The attribute {shown(name)} is no text or stands twice.")
            attributes[name] = value
        self.push(Object(made.class_name, attributes))

    def reduce(self) -> None:
        arguments, called = self._pop(), self._pop()
        if not isinstance(called, _Global) or not isinstance(arguments, tuple):
            raise self._refusal("What is called is none of torch's functions.")
        name = (called.module, called.name)
        if name == _HOOKS and arguments == ():
            self.push(_OpenPairs())
        elif name == _TAG:
            self.push(self._tagged(arguments))
        elif name == _REBUILD:
            self.push(self._tensor(arguments))
        elif called.name in _MAKERS and len(arguments) == 1 and isinstance(arguments[0], Items):
            self.push(Uniform(called.name, arguments[0]))
        else:
            raise self._refusal(f"{shown('.'.join(name))} is called with something else than torch gives it.")

    def persistent(self) -> None:
        match self._pop():
            case ("storage", _Global(module="torch", name=kind), str() as key, str(), int() as count) if (
                kind in STORAGES and key.isdecimal() and 0 <= count < 2**48
            ):
                self.push(Storage(kind, key, count))
            case _:
                raise self._refusal("A storage has a kind, the number of its entry, a device and a size.")

    def _tagged(self, arguments: tuple[Any, ...]) -> Tagged:
        match arguments:
            case (Items() | Pairs() as value, str() as kind):
                if kind not in self._types:
                    self._types[kind] = read_type_text(kind, self._classes, self._where())
                return Tagged(value, self._types[kind])
        raise self._refusal("A list or dictionary is given its type.")

    def _tensor(self, arguments: tuple[Any, ...]) -> Tensor:
        match arguments:
            case (
                Storage() as storage,
                int() as offset,
                tuple() as sizes,
                tuple() as strides,
                bool() as gradient,
                Pairs(),
            ):
                numbers = (offset, *sizes, *strides)
                if (
                    arguments[5].pairs
                    or len(sizes) != len(strides)
                    or len(sizes) > _MAX_DIMENSIONS
                    or not all(type(number) is int and 0 <= number < 2**48 for number in numbers)
                ):
                    raise self._refusal("Sizes, strides and offset of a tensor are whole numbers from 0.")
                last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True))
                if math.prod(sizes) and last >= storage.count:
                    detail = f"A tensor of shape {list(sizes)} reaches value {last:,} of {storage.count:,}."
                    raise refusal("ART-02.weights", detail, self._where())
                return Tensor(storage, offset, sizes, strides, gradient)
        raise self._refusal("A tensor is made of a storage, its place in it, and whether it has a gradient.")

    def _fill(self, pairs: bool, values: list[Any]) -> None:
        target = self._stack[-1] if self._stack else None
        if not isinstance(target, _Open) or target.pairs != pairs or (pairs and len(values) % 2):
            raise self._refusal("What is filled is no list or dictionary that is open.")
        target.extend(map(self._closed, values))

    def _closed(self, value: Any) -> Any:
        """Return a value that stands inside another: a list or dictionary is no longer open then."""
        if isinstance(value, _OpenPairs):
            return Pairs(tuple(self._pairs(value)))
        if isinstance(value, _Open):
            return Items(tuple(value))
        if isinstance(value, _Mark | _New):
            raise self._refusal("A value is used before it is whole.")
        return value

    @staticmethod
    def _pairs(flat: _OpenPairs) -> list[tuple[Any, Any]]:
        return list(zip(flat[0::2], flat[1::2], strict=True))

    def _to_mark(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if isinstance(self._stack[index], _Mark):
                values = self._stack[index + 1 :]
                del self._stack[index:]
                return values
        raise self._refusal("There is no mark.")

    def _pop(self) -> Any:
        if not self._stack or isinstance(self._stack[-1], _Mark):
            raise self._refusal("The opcode asks for more than there is.")
        return self._stack.pop()

    def _take(self, count: int) -> bytes:
        piece = self._content[self._position : self._position + count]
        if len(piece) != count:
            raise self._refusal("The pickle is cut off.")
        self._position += count
        return piece

    def _line(self) -> str:
        end = self._content.find(b"\n", self._position, self._position + 1024)
        if end < 0:
            raise self._refusal("A name does not end.")
        line = self._take(end + 1 - self._position)[:-1]
        if not line.isascii():
            raise self._refusal("A name is not ASCII.")
        return line.decode("ascii")

    def _where(self) -> str:
        return f"{self._place}, byte {self._start:,}"

    def _refusal(self, detail: str) -> RefusalError:
        return refusal("ART-01.pickle", detail, self._where())


_ACTIONS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.PROTO: _Machine.proto,
    pickle.GLOBAL: _Machine.global_name,
    pickle.BINPUT: lambda machine: machine.put(machine.number(1, "<B")),
    pickle.LONG_BINPUT: lambda machine: machine.put(machine.number(4, "<I")),
    pickle.BINGET: lambda machine: machine.get(machine.number(1, "<B")),
    pickle.LONG_BINGET: lambda machine: machine.get(machine.number(4, "<I")),
    pickle.EMPTY_TUPLE: lambda machine: machine.push(()),
    pickle.EMPTY_LIST: lambda machine: machine.push(_Open()),
    pickle.EMPTY_DICT: lambda machine: machine.push(_OpenPairs()),
    pickle.MARK: lambda machine: machine.push(_Mark()),
    pickle.BINUNICODE: _Machine.text,
    pickle.BININT: lambda machine: machine.push(machine.number(4, "<i")),
    pickle.BININT1: lambda machine: machine.push(machine.number(1, "<B")),
    pickle.BININT2: lambda machine: machine.push(machine.number(2, "<H")),
    pickle.LONG1: _Machine.long,
    pickle.BINFLOAT: _Machine.double,
    pickle.NEWTRUE: lambda machine: machine.push(True),
    pickle.NEWFALSE: lambda machine: machine.push(False),
    pickle.NONE: lambda machine: machine.push(None),
    pickle.TUPLE: _Machine.tuple_to_mark,
    pickle.TUPLE1: lambda machine: machine.tuple_of(1),
    pickle.TUPLE2: lambda machine: machine.tuple_of(2),
    pickle.TUPLE3: lambda machine: machine.tuple_of(3),
    pickle.APPEND: _Machine.append,
    pickle.APPENDS: _Machine.appends,
    pickle.SETITEMS: _Machine.set_items,
    pickle.NEWOBJ: _Machine.new_object,
    pickle.BUILD: _Machine.build,
    pickle.REDUCE: _Machine.reduce,
    pickle.BINPERSID: _Machine.persistent,
}
