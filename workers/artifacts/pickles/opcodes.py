"""The opcodes of plain data, each with what it does to the state; and why the others are not taken."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from workers.artifacts.pickles.globals import Function
from workers.artifacts.pickles.state import MAX_VALUES, State
from workers.artifacts.pickles.values import NumpyArray, NumpyDtype, PickledDict, PickledList, PickledSet

_SHORT, _LONG, _SIGNED = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<i")
_WIDE, _FLOAT = struct.Struct("<Q"), struct.Struct(">d")

Action = Callable[[State], None]


def _text(length: struct.Struct | None) -> Action:
    def act(state: State) -> None:
        count = state.take(1)[0] if length is None else state.unpack(length)
        try:
            state.push(state.take(count).decode("utf-8"))
        except UnicodeDecodeError:
            raise state.damaged("a text is not UTF-8") from None

    return act


def _old_text(state: State) -> None:
    """A text of Python 2; with letters beyond ASCII it would be text to one reader and bytes to another."""
    raw = state.take(state.take(1)[0])
    if state.protocol != 2 or not raw.isascii():
        raise state.damaged("a text of Python 2 is plain ASCII")
    state.push(raw.decode("ascii"))


def _bytes(length: struct.Struct | None) -> Action:
    def act(state: State) -> None:
        count = state.take(1)[0] if length is None else state.unpack(length)
        state.push(state.take(count))

    return act


def _since(protocol: int, action: Action) -> Action:
    def act(state: State) -> None:
        if state.protocol < protocol:
            raise state.damaged(f"the opcode belongs to protocol {protocol}, the pickle to {state.protocol}")
        action(state)

    return act


def _number(layout: struct.Struct) -> Action:
    return lambda state: state.push(state.unpack(layout))


def _large_number(state: State) -> None:
    state.push(int.from_bytes(state.take(state.take(1)[0]), "little", signed=True))


def _push(make: Callable[[], Any]) -> Action:
    return lambda state: state.push(make())


def _tuple(count: int) -> Action:
    return lambda state: state.push(state.pop_tuple(count))


def _mark(state: State) -> None:
    state.marks.append(len(state.stack))
    if len(state.marks) > MAX_VALUES:
        raise state.damaged("the pickle opens too many marks")


def _marked_tuple(state: State) -> None:
    state.push(tuple(state.pop_marked()))


def _append(state: State) -> None:
    state.fill(PickledList, [state.pop()])


def _append_all(state: State) -> None:
    state.fill(PickledList, state.pop_marked())


def _set_item(state: State) -> None:
    state.fill(PickledDict, list(state.pop_tuple(2)))


def _set_items(state: State) -> None:
    state.fill(PickledDict, state.pop_marked())


def _add_items(state: State) -> None:
    state.fill(PickledSet, state.pop_marked())


def _frozen_set(state: State) -> None:
    made = PickledSet()
    made.extend(state.pop_marked())
    made.settled = True
    state.push(made)


def _global(state: State) -> None:
    module = state.line()
    state.find(module, state.line())


def _stack_global(state: State) -> None:
    state.find(*state.pop_tuple(2))


def _reduce(state: State) -> None:
    function, arguments = state.pop_tuple(2)
    if not isinstance(function, Function) or not isinstance(arguments, tuple):
        raise state.refused("The pickle calls what is no function of a plain checkpoint.")
    state.push(function.make(arguments))


def _new_object(state: State) -> None:
    function, arguments = state.pop_tuple(2)
    if not isinstance(function, Function) or not function.creates or not isinstance(arguments, tuple):
        raise state.refused("The pickle makes an object of a class that is none of plain data.")
    state.push(function.make(arguments))


def _build(state: State) -> None:
    attributes = state.pop()
    target = state.top()
    if not isinstance(target, PickledDict | NumpyDtype | NumpyArray):
        raise state.refused("The pickle gives a state to an object that has none in plain data.")
    target.build(attributes)


def _persistent(state: State) -> None:
    state.add_storage(state.pop())


ACTIONS: dict[int, Action] = {
    ord("("): _mark,
    ord(")"): _push(tuple),
    ord("]"): _push(PickledList),
    ord("}"): _push(PickledDict),
    ord("N"): _push(lambda: None),
    0x88: _push(lambda: True),
    0x89: _push(lambda: False),
    ord("J"): _number(_SIGNED),
    ord("K"): lambda state: state.push(state.take(1)[0]),
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
    ord("h"): lambda state: state.recall(state.take(1)[0]),
    ord("j"): lambda state: state.recall(state.unpack(_LONG)),
    ord("q"): lambda state: state.memoize(state.take(1)[0]),
    ord("r"): lambda state: state.memoize(state.unpack(_LONG)),
    0x94: lambda state: state.memoize(None),
    0x95: lambda state: state.begin_frame(),
}

RUNNING = {
    ord("i"): "INST",
    ord("o"): "OBJ",
    0x92: "NEWOBJ_EX",
    0x82: "EXT1",
    0x83: "EXT2",
    0x84: "EXT4",
    ord("P"): "PERSID",
}
DROPPED = {
    ord("0"): "(POP) drops what was said",
    ord("1"): "(POP_MARK) drops what was said",
    ord("2"): "(DUP) says something twice",
    0x80: "(PROTO) stands inside a pickle",
    0x8B: "(LONG4) is a number of more than 255 bytes",
    0x97: "(NEXT_BUFFER) takes bytes from outside the pickle",
}
