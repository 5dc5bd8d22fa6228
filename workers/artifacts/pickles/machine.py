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
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workers.artifacts.findings import RefusalError
from workers.artifacts.pickles.opcodes import ACTIONS, DROPPED, RUNNING
from workers.artifacts.pickles.state import MAX_VALUES, State
from workers.artifacts.pickles.values import ArgumentError, Storage

#: Opcodes of one pickle: what a state dict of some 100,000 tensors needs.
MAX_OPCODES = 6_000_000
_STOP = 0x2E


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


def read_pickle(content: bytes, place: str, *, start: int = 0, plain: bool = False) -> Pickle:
    """Read the pickle that begins at ``start``.

    Args:
        place: what positions are told in, as the name of an entry.
        plain: take no global and no storage at all: numbers, texts, lists, tuples, dicts.

    Raises:
        RefusalError: ``ART-01.pickle`` for what could run code, ``ART-02.pickle`` for what is damaged or has more
            than one reading, ``ART-02.too_large`` for more than the limits; each with the byte.
    """
    # Millions of containers and no cycle among what is dropped: the collector would only look at them again and again.
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        state = State(content, place, start=start, plain=plain)
        state.read_protocol()
        return _run(state)
    finally:
        if was_enabled:
            gc.enable()


def _run(state: State) -> Pickle:
    content, stack = state.content, state.stack
    for _ in range(MAX_OPCODES):
        position = state.opcode_position = state.position
        if position >= state.end:
            raise state.damaged("the pickle has no STOP: it is cut off, or longer than the limit")
        if position == state.frame_end:  # what follows stands behind the frame, as bytes too large for one do
            state.frame_end = 0
        opcode = content[position]
        state.position = position + 1
        action = ACTIONS.get(opcode)
        if action is None:
            if opcode == _STOP:
                return _stop(state)
            raise _unknown(state, opcode)
        try:
            action(state)
        except ArgumentError as error:
            raise state.refused(f"In a plain checkpoint, {error}; here it is otherwise.") from None
        except (IndexError, struct.error):
            raise state.damaged("the opcode asks for more than there is") from None
        if state.frame_end and state.position > state.frame_end:
            raise state.damaged("the frame ends inside an opcode")
        if len(stack) > MAX_VALUES or state.values_left < 0:
            raise state.too_large(f"more than {MAX_VALUES:,} values")
    raise state.too_large(f"more than {MAX_OPCODES:,} opcodes")


def _stop(state: State) -> Pickle:
    if state.frame_end and state.position != state.frame_end:
        raise state.damaged("the frame goes on behind STOP")
    if state.marks or len(state.stack) != 1:
        raise state.damaged(f"at STOP {len(state.stack):,} values and {len(state.marks):,} marks are left")
    return Pickle(state.stack[0], state.position, state.storages)


def _unknown(state: State, opcode: int) -> RefusalError:
    if opcode in RUNNING:
        return state.refused(f"The opcode {RUNNING[opcode]} makes an object by running code.")
    return state.damaged(f"the opcode {opcode:#04x} {DROPPED.get(opcode, 'is none of a plain pickle')}")
