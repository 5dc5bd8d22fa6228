"""An assembler of pickles: one meaning, many spellings.

``plain`` writes what Python's own pickler writes, so that only the meaning of a pickle can be what is wrong with it.
``assemble`` spells it in another way, which loaders take all the same and scanners may not expect: how a text is
written, how a global is named (``GLOBAL``, ``STACK_GLOBAL``, through the memo), how it is called (``REDUCE``, ``INST``,
``OBJ``).

Source: Python's ``pickletools``, whose opcodes these are.
"""

from __future__ import annotations

import io
import pickle
import random
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_HIGHEST = 5


@dataclass(frozen=True)
class Global:
    """What ``find_class(module, name)`` returns."""

    module: str
    name: str


@dataclass(frozen=True)
class Call:
    """The result of calling a global, or what another call returned."""

    function: Global | Call
    arguments: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Persistent:
    """What ``persistent_load`` returns: torch's storages."""

    identifier: Any


@dataclass(frozen=True)
class Raw:
    """Opcodes as they are, which leave one value on the stack."""

    opcodes: bytes


def call(path: str, *arguments: Any, **keywords: Any) -> Call:
    """Return a call of ``module:name``."""
    return Call(named(path), arguments, keywords)


def named(path: str) -> Global:
    module, _, name = path.partition(":")
    return Global(module, name)


@dataclass(frozen=True)
class Spelling:
    """How an assembler writes; what is empty is left to chance.

    Attributes:
        text: ``X`` (counted), ``V`` (with escapes) or ``S`` (quoted).
        names: ``global``, ``stack`` or ``memo``.
        calls: ``reduce``, ``inst`` or ``obj``.
    """

    text: str = ""
    names: str = ""
    calls: str = ""


def plain(value: Any, protocol: int = 2) -> bytes:
    """Return the pickle of a value as Python's own pickler writes it, with the protocol that torch uses."""
    buffer = io.BytesIO()
    _Pickler(buffer, 4 if _needs_attribute_paths(value) else protocol).dump(value)
    return buffer.getvalue()


def assemble(value: Any, rng: random.Random, *, protocol: int | None = None, spelling: Spelling | None = None) -> bytes:
    """Return an unusual pickle of a value; without a protocol, chance takes one that can say it."""
    lowest = 4 if _needs_attribute_paths(value) else 0
    chosen = rng.randint(lowest, _HIGHEST) if protocol is None else max(protocol, lowest)
    return _Assembler(rng, chosen, spelling or Spelling()).assemble(value)


def _needs_attribute_paths(value: Any) -> bool:
    """Tell whether a name has a dot: those are followed from protocol 4 on."""
    if isinstance(value, Global):
        return "." in value.name
    if isinstance(value, Call):
        parts = (value.function, *value.arguments, *value.keywords.values())
        return any(map(_needs_attribute_paths, parts))
    if isinstance(value, Persistent):
        return _needs_attribute_paths(value.identifier)
    if isinstance(value, dict):
        return any(map(_needs_attribute_paths, (*value, *value.values())))
    return isinstance(value, tuple | list) and any(map(_needs_attribute_paths, value))


class _Pickler(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Python's own pickler, which takes names, calls and persistent ids for what they stand for."""

    dispatch = pickle._Pickler.dispatch.copy()  # type: ignore[attr-defined]

    def save_global_name(self, value: Global) -> None:
        if self.proto >= 4:
            self.save(value.module)
            self.save(value.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
        self.memoize(value)

    def save_call(self, value: Call) -> None:
        if value.keywords:
            # functools.partial is made with keywords, and called without any.
            self.save(Global("functools", "partial"))
            self.save((value.function, *value.arguments))
            self.save(dict(value.keywords))
            self.write(pickle.NEWOBJ_EX + pickle.EMPTY_TUPLE + pickle.REDUCE)
        else:
            self.save(value.function)
            self.save(value.arguments)
            self.write(pickle.REDUCE)
        self.memoize(value)

    def save_persistent(self, value: Persistent) -> None:
        self.save(value.identifier)
        self.write(pickle.BINPERSID)

    def save_raw(self, value: Raw) -> None:
        self.write(value.opcodes)

    dispatch[Global] = save_global_name
    dispatch[Call] = save_call
    dispatch[Persistent] = save_persistent
    dispatch[Raw] = save_raw


class _Assembler:
    def __init__(self, rng: random.Random, protocol: int, spelling: Spelling) -> None:
        self._rng = rng
        self._spelling = spelling
        self._protocol = protocol
        self._memo = rng.randrange(200)

    def assemble(self, value: Any) -> bytes:
        header = b"\x80" + bytes([self._protocol]) if self._protocol >= 2 else b""
        return header + self._value(value) + b"."

    def _value(self, value: Any) -> bytes:
        match value:
            case None:
                return b"N"
            case bool():
                return b"\x88" if value else b"\x89"
            case int():
                return self._integer(value)
            case float():
                return b"G" + struct.pack(">d", value)
            case str():
                return self._text(value)
            case bytes():
                return b"B" + struct.pack("<I", len(value)) + value
            case tuple():
                return b"(" + b"".join(map(self._value, value)) + b"t"
            case list():
                return b"](" + b"".join(map(self._value, value)) + b"e"
            case dict():
                items = b"".join(self._value(key) + self._value(item) for key, item in value.items())
                return b"}(" + items + b"u"
            case Global():
                return self._global(value)
            case Call():
                return self._call(value)
            case Persistent():
                return self._value(value.identifier) + b"Q"
            case Raw():
                return value.opcodes
        raise TypeError(f"{type(value).__name__} has no opcodes here.")

    def _integer(self, value: int) -> bytes:
        if not -(2**31) <= value < 2**31:
            content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            return b"\x8a" + bytes([len(content)]) + content
        if 0 <= value < 256 and self._rng.random() < 0.5:
            return b"K" + bytes([value])
        return b"J" + struct.pack("<i", value)

    def _text(self, value: str) -> bytes:
        content = value.encode()
        forms = ["X", "V"]
        if self._protocol >= 4 and len(content) < 256:
            forms.append("\x8c")
        form = self._spelling.text or self._rng.choice(forms)
        if form == "S":
            return b"S" + repr(value).encode() + b"\n"
        if form == "V":
            # What the loader reads as a text, a search for the text does not find.
            return b"V" + "".join(f"\\u{ord(character):04x}" for character in value).encode() + b"\n"
        if form == "X":
            return b"X" + struct.pack("<I", len(content)) + content
        return b"\x8c" + bytes([len(content)]) + content

    def _global(self, value: Global) -> bytes:
        form = self._spelling.names or self._rng.choice(("global", "stack", "memo"))
        if form == "global":
            return b"c" + value.module.encode() + b"\n" + value.name.encode() + b"\n"
        if form == "stack":
            return self._text(value.module) + self._text(value.name) + b"\x93"
        # Both texts are put away, in the other order and with something between, and fetched again.
        first, second = self._put(), self._put()
        return (
            self._text(value.name)
            + b"r"
            + first
            + b"0"
            + self._text(value.module)
            + b"r"
            + second
            + b"0"
            + b"j"
            + second
            + b"j"
            + first
            + b"\x93"
        )

    def _put(self) -> bytes:
        self._memo += self._rng.randint(1, 300)
        return struct.pack("<I", self._memo)

    def _call(self, value: Call) -> bytes:
        arguments = b"".join(map(self._value, value.arguments))
        if value.keywords:
            # functools.partial is made with keywords, and called without any.
            partial = self._global(Global("functools", "partial"))
            inner = self._value(value.function) + arguments
            return partial + b"(" + inner + b"t" + self._value(dict(value.keywords)) + b"\x92" + b")R"
        function = value.function
        forms = ["reduce"]
        if isinstance(function, Global) and value.arguments and "." not in function.name:
            forms += ["inst", "obj"]
        form = self._spelling.calls if self._spelling.calls in forms else self._rng.choice(forms)
        if form == "inst":
            assert isinstance(function, Global)
            return b"(" + arguments + b"i" + function.module.encode() + b"\n" + function.name.encode() + b"\n"
        if form == "obj":
            return b"(" + self._value(function) + arguments + b"o"
        return self._value(function) + b"(" + arguments + b"tR"
