"""The machine: reads a pickle opcode by opcode and returns the inert value that it says.

It takes what Python's own pickler writes for plain data (protocols 2 to 5), and of that only what has one reading. A
pickle begins with PROTO and says it once; opcodes stand in no protocol older than their own and in no frame that ends
inside them; memo entries are made in order and never again; keys stand once; at STOP one value is left, and no mark.
Opcodes that import, call or build something else, text opcodes, and DUP and POP, with which a pickle says one thing
and drops it, are not taken.

Time and memory are bounded: by the length of the pickle, by the number of opcodes, and by the number of values.

Source: ``Lib/pickle.py`` and ``Modules/_pickle.c`` of CPython 3.11.
"""

from __future__ import annotations

import gc
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.pickles.globals import Function, is_device, known_globals
from workers.artifacts.pickles.values import (
    ArgumentError,
    NumpyArray,
    NumpyDtype,
    PickledDict,
    PickledList,
    PickledSet,
    Storage,
    Word,
)
from workers.artifacts.weights.dtypes import STORAGES, size_of

#: Opcodes of one pickle: what a state dict of some 150,000 tensors needs.
MAX_OPCODES = 8_000_000
#: Values that one pickle makes, and that lie on its stack or its memo at once; each costs up to some 150 bytes.
MAX_VALUES = 2_000_000
_COST_OF_FILLING = 3
_LEAST_FRAME = 4
_MAX_GLOBAL_BYTES = 256
_MAX_STORAGE_BYTES = 2**63 - 1

_SHORT, _LONG, _SIGNED = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")
_WIDE, _FLOAT = struct.Struct("<Q"), struct.Struct(">d")


@dataclass(frozen=True)
class Pickle:
    """What a pickle says.

    Attributes:
        end: byte behind its STOP.
        storages: what it asks for outside of itself, by key.
    """

    value: Any
    end: int
    storages: Mapping[str, Storage]


def read_pickle(content: bytes, place: str, *, start: int = 0, plain: bool = False, base: int = 0) -> Pickle:
    """Read the pickle that begins at ``start``.

    Args:
        place: what positions are told in, as the name of an entry.
        plain: take no global and no storage at all: numbers, texts, lists, tuples, dicts.
        base: added to the positions that are told.

    Raises:
        RefusalError: ``ART-01.pickle`` for what could run code, ``ART-02.pickle`` for what is damaged or has more
            than one reading, ``ART-02.too_large`` for more than the limits; each with the byte.
    """
    # Millions of containers and no cycle among what is dropped: the collector would only look at them again and again.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        return _Machine(content, place, start, plain, base).run()
    finally:
        if was_enabled:
            gc.enable()


class _Machine:
    """The state of one reading; ``position`` is the byte behind what was read."""

    def __init__(self, content: bytes, place: str, start: int, plain: bool, base: int) -> None:
        self._content = content
        self._end = len(content)
        self._place = place
        self._plain = plain
        self._base = base
        self._opcode_position = start
        self.position = start
        self.protocol = 0
        self.frame_end = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: list[Any] = []
        self.memo_start = 0
        self.values_left = MAX_VALUES
        self.storages: dict[str, Storage] = {}
        self.globals: Mapping[tuple[str, str], Any] = {}

    def run(self) -> Pickle:
        self._read_protocol()
        content, stack = self._content, self.stack
        for _ in range(MAX_OPCODES):
            position = self._opcode_position = self.position
            if position >= self._end:
                raise self.damaged("the pickle has no STOP: it is cut off, or longer than the limit")
            if position == self.frame_end:  # what follows stands behind the frame, as bytes too large for one do
                self.frame_end = 0
            opcode = content[position]
            self.position = position + 1
            action = _ACTIONS.get(opcode)
            if action is None:
                if opcode == _STOP:
                    return self._stop()
                raise self._unknown(opcode)
            try:
                action(self)
            except ArgumentError as error:
                raise self.refused(f"In a plain checkpoint, {error}; here it is otherwise.") from None
            except (IndexError, struct.error):
                raise self.damaged("the opcode asks for more than there is") from None
            if self.frame_end and self.position > self.frame_end:
                raise self.damaged("the frame ends inside an opcode")
            if len(stack) > MAX_VALUES or self.values_left < 0:
                raise self._too_large(f"more than {MAX_VALUES:,} values")
        raise self._too_large(f"more than {MAX_OPCODES:,} opcodes")

    def refused(self, detail: str) -> RefusalError:
        """The pickle is more than plain data."""
        return refusal("ART-01.pickle", detail, self._where())

    def damaged(self, detail: str) -> RefusalError:
        """The pickle is cut off, or not what a pickler writes."""
        return refusal("ART-02.pickle", f"{detail[:1].upper()}{detail[1:]}.", self._where())

    def take(self, count: int) -> bytes:
        """Return the next bytes of the pickle."""
        start = self.position
        if count > self._end - start:
            raise self.damaged(f"{count:,} bytes are announced; {self._end - start:,} are left")
        self.position = start + count
        return self._content[start : self.position]

    def unpack(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack_from(self._content, self.position)
        self.position += layout.size
        return value

    def line(self) -> str:
        """Return the text up to the next line end, as GLOBAL has it."""
        end = self._content.find(b"\n", self.position, self.position + _MAX_GLOBAL_BYTES)
        if end < 0:
            raise self.damaged("the name of a global does not end")
        raw = self._content[self.position : end]
        self.position = end + 1
        return raw.decode("ascii", "backslashreplace")

    def push(self, value: Any) -> None:
        self.values_left -= 1
        self.stack.append(value)

    def pop(self) -> Any:
        """Return the topmost value."""
        (value,) = self.pop_tuple(1)
        return value

    def pop_tuple(self, count: int) -> tuple[Any, ...]:
        """Return the topmost values; what lies under an open mark is out of reach."""
        if len(self.stack) - (self.marks[-1] if self.marks else 0) < count:
            raise self.damaged(f"the opcode takes {count} values; fewer are within reach")
        items = tuple(self.stack[-count:])
        del self.stack[-count:]
        return items

    def pop_marked(self) -> list[Any]:
        """Return what was pushed since the last mark, and drop both."""
        if not self.marks:
            raise self.damaged("the opcode needs a mark, and there is none")
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def top(self) -> Any:
        """Return the topmost value, which stays."""
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("the opcode needs a value, and none is within reach")
        return self.stack[-1]

    def fill(self, kind: type[PickledList | PickledDict | PickledSet], items: list[Any]) -> None:
        """Add to the container on top; the first filling of a container costs as much memory as some values do."""
        container = self.top()
        if not isinstance(container, kind):
            raise self.refused(f"The opcode fills what is no {kind.__name__.removeprefix('Pickled').lower()}.")
        container.extend(items)
        self.values_left -= _COST_OF_FILLING

    def memoize(self, index: int | None) -> None:
        """Keep the topmost value: under the next number, which the old opcodes state."""
        value = self.top()
        if (index is None) != (self.protocol >= 4):
            raise self.damaged(f"the memo is written with an opcode that protocol {self.protocol} does not use")
        if index is not None:
            if not self.memo and index == 1:
                self.memo_start = 1  # as Python 2 counts
            if index != self.memo_start + len(self.memo):
                raise self.damaged("memo entries are not made in order, or one is made twice")
        if len(self.memo) >= MAX_VALUES:
            raise self._too_large(f"more than {MAX_VALUES:,} values")
        self.memo.append(value)

    def recall(self, index: int) -> None:
        if not 0 <= index - self.memo_start < len(self.memo):
            raise self.damaged("the memo has no such entry")
        self.stack.append(self.memo[index - self.memo_start])

    def find(self, module: Any, name: Any) -> None:
        """Push what a global means; one that is not known ends the reading."""
        known = self.globals.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if known is None:
            text = f"{module}.{name}" if isinstance(module, str) and isinstance(name, str) else "what is no text"
            detail = f"The pickle names {shown(text)}, which no plain checkpoint needs; loading it may run code."
            raise self.refused(detail)
        self.push(known)

    def add_storage(self, persistent: Any) -> None:
        """Push the storage that a persistent id names; one key is one storage."""
        match persistent:
            case ("storage", Word(kind="storage", name=kind), str() as key, str() as location, int() as count, *rest):
                dtype = STORAGES[kind]
                fits = is_device(location) and rest in ([], [None])
                if not fits or not 0 <= count * size_of(dtype) <= _MAX_STORAGE_BYTES:
                    raise self.refused("The pickle asks for a storage in a way in which torch does not.")
            case _:
                raise self.refused("The pickle asks for an object outside of itself that is no storage of a tensor.")
        storage = self.storages.get(key)
        if storage is None:
            storage = self.storages[key] = Storage(dtype, key, count, self._base + self._opcode_position)
        elif (storage.dtype, storage.count) != (dtype, count):
            raise self.damaged(f"the storage {shown(key)} has two types or sizes")
        self.push(storage)

    def begin_frame(self) -> None:
        if self.protocol < 4:
            raise self.damaged(f"protocol {self.protocol} has no frames")
        if self.frame_end:
            raise self.damaged("a frame begins inside another")
        length = self.unpack(_WIDE)
        if not _LEAST_FRAME <= length <= self._end - self.position:
            raise self.damaged(f"a frame of {length:,} bytes is announced; {self._end - self.position:,} are left")
        self.frame_end = self.position + length

    def _read_protocol(self) -> None:
        head = self._content[self.position : self.position + 2]
        if len(head) < 2 or head[0] != 0x80 or not 2 <= head[1] <= 5:
            raise self.damaged("a pickle begins with PROTO and a protocol from 2 to 5")
        self.position += 2
        self.protocol = head[1]
        self.globals = {} if self._plain else known_globals(self.protocol)

    def _stop(self) -> Pickle:
        if self.frame_end and self.position != self.frame_end:
            raise self.damaged("the frame goes on behind STOP")
        if self.marks or len(self.stack) != 1:
            raise self.damaged(f"at STOP {len(self.stack):,} values and {len(self.marks):,} marks are left")
        return Pickle(self.stack[0], self.position, self.storages)

    def _unknown(self, opcode: int) -> RefusalError:
        if opcode in _RUNNING:
            return self.refused(f"The opcode {_RUNNING[opcode]} makes an object by running code.")
        what = _DROPPED.get(opcode, "is none of a plain pickle")
        return self.damaged(f"the opcode {opcode:#04x} {what}")

    def _too_large(self, what: str) -> RefusalError:
        return refusal("ART-02.too_large", f"The pickle has {what}.", self._where())

    def _where(self) -> str:
        return f"{self._place}, byte {self._base + self._opcode_position:,}".lstrip(", ")


_Action = Callable[[_Machine], None]


def _text(length: struct.Struct | None) -> _Action:
    def act(machine: _Machine) -> None:
        count = machine.take(1)[0] if length is None else machine.unpack(length)
        try:
            machine.push(machine.take(count).decode("utf-8"))
        except UnicodeDecodeError:
            raise machine.damaged("a text is not UTF-8") from None

    return act


def _old_text(machine: _Machine) -> None:
    """A text of Python 2; with letters beyond ASCII it would be text to one reader and bytes to another."""
    raw = machine.take(machine.take(1)[0])
    if machine.protocol != 2 or not raw.isascii():
        raise machine.damaged("a text of Python 2 is plain ASCII")
    machine.push(raw.decode("ascii"))


def _bytes(length: struct.Struct | None) -> _Action:
    def act(machine: _Machine) -> None:
        count = machine.take(1)[0] if length is None else machine.unpack(length)
        machine.push(machine.take(count))

    return act


def _since(protocol: int, action: _Action) -> _Action:
    def act(machine: _Machine) -> None:
        if machine.protocol < protocol:
            raise machine.damaged(f"the opcode belongs to protocol {protocol}, the pickle to {machine.protocol}")
        action(machine)

    return act


def _number(layout: struct.Struct) -> _Action:
    return lambda machine: machine.push(machine.unpack(layout))


def _large_number(machine: _Machine) -> None:
    machine.push(int.from_bytes(machine.take(machine.take(1)[0]), "little", signed=True))


def _push(make: Callable[[], Any]) -> _Action:
    return lambda machine: machine.push(make())


def _tuple(count: int) -> _Action:
    return lambda machine: machine.push(machine.pop_tuple(count))


def _mark(machine: _Machine) -> None:
    machine.marks.append(len(machine.stack))
    if len(machine.marks) > MAX_VALUES:
        raise machine.damaged("the pickle opens too many marks")


def _marked_tuple(machine: _Machine) -> None:
    machine.push(tuple(machine.pop_marked()))


def _append(machine: _Machine) -> None:
    machine.fill(PickledList, [machine.pop()])


def _append_all(machine: _Machine) -> None:
    machine.fill(PickledList, machine.pop_marked())


def _set_item(machine: _Machine) -> None:
    machine.fill(PickledDict, list(machine.pop_tuple(2)))


def _set_items(machine: _Machine) -> None:
    machine.fill(PickledDict, machine.pop_marked())


def _add_items(machine: _Machine) -> None:
    machine.fill(PickledSet, machine.pop_marked())


def _frozen_set(machine: _Machine) -> None:
    made = PickledSet()
    made.extend(machine.pop_marked())
    made.settled = True
    machine.push(made)


def _global(machine: _Machine) -> None:
    module = machine.line()
    machine.find(module, machine.line())


def _stack_global(machine: _Machine) -> None:
    machine.find(*machine.pop_tuple(2))


def _reduce(machine: _Machine) -> None:
    function, arguments = machine.pop_tuple(2)
    if not isinstance(function, Function) or not isinstance(arguments, tuple):
        raise machine.refused("The pickle calls what is no function of a plain checkpoint.")
    machine.push(function.make(arguments))


def _new_object(machine: _Machine) -> None:
    function, arguments = machine.pop_tuple(2)
    if not isinstance(function, Function) or not function.creates or not isinstance(arguments, tuple):
        raise machine.refused("The pickle makes an object of a class that is none of plain data.")
    machine.push(function.make(arguments))


def _build(machine: _Machine) -> None:
    state = machine.pop()
    target = machine.top()
    if not isinstance(target, PickledDict | NumpyDtype | NumpyArray):
        raise machine.refused("The pickle gives a state to an object that has none in plain data.")
    target.build(state)


def _persistent(machine: _Machine) -> None:
    machine.add_storage(machine.pop())


_STOP = 0x2E
_ACTIONS: dict[int, _Action] = {
    ord("("): _mark,
    ord(")"): _push(tuple),
    ord("]"): _push(PickledList),
    ord("}"): _push(PickledDict),
    ord("N"): _push(lambda: None),
    0x88: _push(lambda: True),
    0x89: _push(lambda: False),
    ord("J"): _number(_SIGNED),
    ord("K"): lambda machine: machine.push(machine.take(1)[0]),
    ord("M"): _number(_SHORT),
    ord("G"): _number(_FLOAT),
    0x8A: _large_number,
    ord("X"): _text(_LONG),
    ord("U"): _old_text,
    0x8C: _since(4, _text(None)),
    ord("B"): _since(3, _bytes(_LONG)),
    ord("C"): _since(3, _bytes(None)),
    0x8E: _since(4, _bytes(_WIDE)),
    0x96: _since(5, _bytes(_WIDE)),
    ord("t"): _marked_tuple,
    0x85: _tuple(1),
    0x86: _tuple(2),
    0x87: _tuple(3),
    ord("a"): _append,
    ord("e"): _append_all,
    ord("s"): _set_item,
    ord("u"): _set_items,
    0x8F: _since(4, _push(PickledSet)),
    0x90: _since(4, _add_items),
    0x91: _since(4, _frozen_set),
    ord("c"): _global,
    0x93: _since(4, _stack_global),
    ord("R"): _reduce,
    0x81: _new_object,
    ord("b"): _build,
    ord("Q"): _persistent,
    ord("h"): lambda machine: machine.recall(machine.take(1)[0]),
    ord("j"): lambda machine: machine.recall(machine.unpack(_LONG)),
    ord("q"): lambda machine: machine.memoize(machine.take(1)[0]),
    ord("r"): lambda machine: machine.memoize(machine.unpack(_LONG)),
    0x94: lambda machine: machine.memoize(None),
    0x95: lambda machine: machine.begin_frame(),
}

_RUNNING = {
    ord("i"): "INST",
    ord("o"): "OBJ",
    0x92: "NEWOBJ_EX",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    ord("P"): "PERSID",
}
_DROPPED = {
    ord("0"): "(POP) drops what was said",
    ord("1"): "(POP_MARK) drops what was said",
    ord("2"): "(DUP) says something twice",
    0x80: "(PROTO) stands inside a pickle",
    0x8B: "(LONG4) is a number of more than 255 bytes",
    0x97: "(NEXT_BUFFER) takes bytes from outside the pickle",
}
