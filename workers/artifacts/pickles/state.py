"""The state of one reading of a pickle: bytes, stack, marks and memo, and what every opcode does with them."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.pickles.globals import is_device, known_globals
from workers.artifacts.pickles.values import PickledDict, PickledList, PickledSet, Storage, Word
from workers.artifacts.weights.dtypes import STORAGES, size_of

#: Values that one pickle makes, and that lie on its stack or its memo at once; each costs up to some 150 bytes.
MAX_VALUES = 1_500_000
_COST_OF_FILLING = 3
_LEAST_FRAME = 4
_MAX_GLOBAL_BYTES = 256
_MAX_STORAGE_BYTES = 2**63 - 1
_FRAME_LENGTH = struct.Struct("<Q")


class State:
    """The state of one reading; ``position`` is the byte behind what was read."""

    def __init__(self, content: bytes, place: str, *, start: int, plain: bool) -> None:
        self.content = content
        self.end = len(content)
        self._place = place
        self._plain = plain
        self.opcode_position = start
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

    def refused(self, detail: str) -> RefusalError:
        """The pickle is more than plain data."""
        return refusal("ART-01.pickle", detail, self._where())

    def damaged(self, detail: str) -> RefusalError:
        """The pickle is cut off, or not what a pickler writes."""
        return refusal("ART-02.pickle", f"{detail[:1].upper()}{detail[1:]}.", self._where())

    def take(self, count: int) -> bytes:
        """Return the next bytes of the pickle."""
        start = self.position
        if count > self.end - start:
            raise self.damaged(f"{count:,} bytes are announced; {self.end - start:,} are left")
        self.position = start + count
        return self.content[start : self.position]

    def unpack(self, layout: struct.Struct) -> Any:
        (value,) = layout.unpack_from(self.content, self.position)
        self.position += layout.size
        return value

    def line(self) -> str:
        """Return the text up to the next line end, as GLOBAL has it."""
        end = self.content.find(b"\n", self.position, self.position + _MAX_GLOBAL_BYTES)
        if end < 0:
            raise self.damaged("the name of a global does not end")
        raw = self.content[self.position : end]
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
            raise self.too_large(f"more than {MAX_VALUES:,} values")
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
            storage = self.storages[key] = Storage(dtype, key, count, self.opcode_position)
        elif (storage.dtype, storage.count) != (dtype, count):
            raise self.damaged(f"the storage {shown(key)} has two types or sizes")
        self.push(storage)

    def begin_frame(self) -> None:
        if self.protocol < 4:
            raise self.damaged(f"protocol {self.protocol} has no frames")
        if self.frame_end:
            raise self.damaged("a frame begins inside another")
        length = self.unpack(_FRAME_LENGTH)
        if not _LEAST_FRAME <= length <= self.end - self.position:
            raise self.damaged(f"a frame of {length:,} bytes is announced; {self.end - self.position:,} are left")
        self.frame_end = self.position + length

    def read_protocol(self) -> None:
        head = self.content[self.position : self.position + 2]
        if len(head) < 2 or head[0] != 0x80 or not 2 <= head[1] <= 5:
            raise self.damaged("a pickle begins with PROTO and a protocol from 2 to 5")
        self.position += 2
        self.protocol = head[1]
        self.globals = {} if self._plain else known_globals(self.protocol)

    def too_large(self, what: str) -> RefusalError:
        return refusal("ART-02.too_large", f"The pickle has {what}.", self._where())

    def _where(self) -> str:
        return f"{self._place}, byte {self.opcode_position:,}".lstrip(", ")
