"""Readers of the parts of a ``.pt2``'s JSON: exact keys, exact types, and a new value made of what was read.

Each reader takes a JSON value and the place it stands at and returns the value as the rewritten file has it. A key
that the schema of torch 2.13 (8.x) does not have, or a type it does not have there, is refused.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from workers.artifacts import strict_json
from workers.artifacts.findings import refusal, shown
from workers.artifacts.pt2 import expressions, guards

Reader = Callable[[Any, str], Any]

#: torch's numbers for dtypes (ScalarType) -> name and bytes of one value. Quantised and float8 types are not taken.
DTYPES: dict[int, tuple[str, int]] = {
    1: ("uint8", 1),
    2: ("int8", 1),
    3: ("int16", 2),
    4: ("int32", 4),
    5: ("int64", 8),
    6: ("float16", 2),
    7: ("float32", 4),
    8: ("float64", 8),
    10: ("complex64", 8),
    12: ("bool", 1),
    13: ("bfloat16", 2),
}
STRIDED = 7
_SCHEMA_MAJOR = 8
_VERIFIERS = ("TRAINING", "ATEN")
_MAX_INTEGER = 2**63 - 1
_MAX_DIMENSIONS = 16
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_PARAMETER = re.compile(r"[A-Za-z0-9_]+(?:\.[A-Za-z0-9_]+)*")
_STACK = re.compile(r"[A-Za-z0-9_.@$]*,[A-Za-z0-9_.@$]*,[A-Za-z0-9_.@$]*")
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_ ,.>()\-]{0,200}")


def record(
    value: Any, place: str, fields: Mapping[str, Reader], defaults: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Read an object with exactly these keys; those with a default may be missing."""
    if not isinstance(value, dict):
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; an object is expected.", place)
    unknown = [key for key in value if key not in fields]
    if unknown:
        raise refusal("ART-02.schema", f"The key {shown(unknown[0])} is not of this format.", place)
    defaults = defaults or {}
    result = {}
    for key, reader in fields.items():
        if key in value:
            result[key] = reader(value[key], f"{place}.{key}")
        elif key in defaults:
            result[key] = defaults[key]
        else:
            raise refusal("ART-02.schema", f"The key {key!r} is missing.", place)
    return result


def choice(value: Any, place: str, readers: Mapping[str, Reader]) -> dict[str, Any]:
    """Read an object with exactly one key, which says what the value is."""
    if not isinstance(value, dict) or len(value) != 1:
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; an object with one key is expected.", place)
    ((key, inner),) = value.items()
    if key not in readers:
        raise refusal("ART-02.schema", f"{shown(key)} is not taken here; {', '.join(readers)} are.", place)
    return {key: readers[key](inner, place)}


def sequence(reader: Reader, most: int = 1_000_000) -> Reader:
    """Make a reader of a list."""

    def read(value: Any, place: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > most:
            raise refusal(
                "ART-02.schema", f"Here stands {shown(value)}; a list of at most {most:,} is expected.", place
            )
        return [reader(item, f"{place}[{index}]") for index, item in enumerate(value)]

    return read


def nullable(reader: Reader) -> Reader:
    """Make a reader that also takes null."""
    return lambda value, place: None if value is None else reader(value, place)


def anything(value: Any, _place: str) -> Any:
    """Leave a value unread: a later reader takes it, or it is not written."""
    return value


def integer(value: Any, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_INTEGER:
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; a 64-bit integer is expected.", place)
    return value


def number(value: Any, place: str) -> float | str:
    """Read a float; torch writes the ones that JSON lacks as texts."""
    if value in ("Infinity", "-Infinity", "NaN") and isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; a number is expected.", place)
    return float(value)


def boolean(value: Any, place: str) -> bool:
    if not isinstance(value, bool):
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; true or false is expected.", place)
    return value


def true(value: Any, place: str) -> bool:
    """Read the ``true`` with which torch writes None."""
    if value is not True:
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; true is expected.", place)
    return True


def plain_text(value: Any, place: str) -> str:
    """Read a short text argument: a padding mode, an equation, an approximation."""
    if not isinstance(value, str) or not _PLAIN_TEXT.fullmatch(value):
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; a short plain text is expected.", place)
    return value


def identifier(value: Any, place: str) -> str:
    """Read a name that torch prints into generated Python: it has to be a plain identifier."""
    if not isinstance(value, str) or not _IDENTIFIER.fullmatch(value) or keyword.iskeyword(value):
        raise refusal("ART-01.name", f"The name {shown(value)} is not a plain identifier.", place)
    return value


def parameter_name(value: Any, place: str) -> str:
    """Read the dotted name of a parameter or buffer."""
    if (
        not isinstance(value, str)
        or len(value) > 400
        or not _PARAMETER.fullmatch(value)
        or any(part.startswith("__") or keyword.iskeyword(part) for part in value.split("."))
    ):
        raise refusal("ART-01.name", f"The name {shown(value)} is not a dotted name of plain identifiers.", place)
    return value


def dtype(value: Any, place: str) -> int:
    if integer(value, place) not in DTYPES:
        raise refusal("ART-02.schema", f"The dtype number {shown(value)} is not taken.", place)
    return int(value)


def layout(value: Any, place: str) -> int:
    if integer(value, place) != STRIDED:
        raise refusal(
            "ART-02.schema", f"The layout number {shown(value)} is not taken; plain strided tensors are.", place
        )
    return STRIDED


def memory_format(value: Any, place: str) -> int:
    if not 1 <= integer(value, place) <= 4:
        raise refusal("ART-02.schema", f"The memory format {shown(value)} is not known.", place)
    return int(value)


def device(value: Any, place: str) -> dict[str, Any]:
    """Read a device and return the CPU: where a model was exported says nothing about where it runs."""
    read = record(value, place, {"type": plain_text, "index": nullable(integer)}, {"index": None})
    if read["type"] not in ("cpu", "cuda"):
        raise refusal("ART-02.schema", f"The device {shown(read['type'])} is not taken; cpu and cuda are.", place)
    return {"type": "cpu", "index": None}


def argument_name(value: Any, place: str) -> str:
    """Read the name of an operator's argument; some are Python keywords (``from``), and torch passes those by place."""
    if value == "":
        return ""
    if not isinstance(value, str) or not value.isidentifier() or not value.isascii():
        raise refusal("ART-01.name", f"The argument name {shown(value)} is not a plain identifier.", place)
    return value


def opset_version(value: Any, place: str) -> dict[str, int]:
    return record(value, place, {"aten": integer})


def schema_version(value: Any, place: str) -> dict[str, int]:
    version = record(value, place, {"major": integer, "minor": integer})
    if version["major"] != _SCHEMA_MAJOR:
        detail = (
            f"The format has version {version['major']}.{version['minor']}; {_SCHEMA_MAJOR}.x (PyTorch 2.13) is taken."
        )
        raise refusal("ART-02.schema", detail, place)
    return version


def verifier(value: Any, place: str) -> str:
    if value not in _VERIFIERS:
        raise refusal("ART-02.schema", f"The dialect {shown(value)} is not taken; {', '.join(_VERIFIERS)} are.", place)
    return str(value)


def torch_version(value: Any, place: str) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9A-Za-z.+]{1,40}", value):
        raise refusal("ART-02.schema", f"{shown(value)} is not a version of PyTorch.", place)
    return value


def guard(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise refusal("ART-02.schema", "A guard is a text.", place)
    guards.check(value, place)
    return value


def nothing(value: Any, place: str) -> dict[str, Any]:
    if value != {}:
        raise refusal("ART-02.schema", "Named tuples are not taken.", place)
    return {}


def no_custom_objects(value: Any, place: str) -> dict[str, Any]:
    if value != {}:
        raise refusal("ART-01.custom_object", "The graph uses objects that only code can rebuild.", place)
    return {}


class Sizes:
    """Readers of sizes, which are integers or expressions of the program's declared symbols."""

    def __init__(self, symbols: Collection[str]) -> None:
        self._symbols = symbols

    def expression(self, value: Any, place: str) -> dict[str, Any]:
        hint = nullable(lambda item, at: choice(item, at, {"as_int": integer, "as_bool": boolean, "as_float": number}))
        text = lambda item, at: str(expressions.parse(_text(item, at), self._symbols, at))  # noqa: E731
        return record(value, place, {"expr_str": text, "hint": hint}, {"hint": None})

    def whole(self, value: Any, place: str) -> dict[str, Any]:
        return choice(value, place, {"as_int": integer, "as_expr": self.expression})

    def truth(self, value: Any, place: str) -> dict[str, Any]:
        return choice(value, place, {"as_bool": boolean, "as_expr": self.expression})

    def real(self, value: Any, place: str) -> dict[str, Any]:
        return choice(value, place, {"as_float": number, "as_expr": self.expression})

    def tensor(self, value: Any, place: str) -> dict[str, Any]:
        """Read the metadata of a tensor."""
        sizes = sequence(self.whole, _MAX_DIMENSIONS)
        fields: dict[str, Reader] = {
            "dtype": dtype,
            "sizes": sizes,
            "requires_grad": boolean,
            "device": device,
            "strides": sizes,
            "storage_offset": self.whole,
            "layout": layout,
        }
        read = record(value, place, fields)
        if len(read["sizes"]) != len(read["strides"]):
            raise refusal("ART-02.schema", "A tensor has as many strides as sizes.", place)
        return read


def module_stack(metadata: Any, place: str) -> dict[str, str]:
    """Keep of a node's metadata only which module it came from, where that is plain names; drop the rest."""
    if not isinstance(metadata, dict):
        raise refusal("ART-02.schema", "The metadata of a node is an object.", place)
    stack = metadata.get("nn_module_stack", "")
    if isinstance(stack, str) and stack and all(_STACK.fullmatch(item) for item in stack.split(";")):
        return {"nn_module_stack": stack}
    return {}


def tree(value: Any, place: str) -> tuple[str, int]:
    """Read how inputs or outputs are nested; return the text written anew and the number of leaves.

    Tuples, lists and dictionaries with plain names are taken. Other types are looked up, and enumerations imported, by
    ``torch.utils._pytree.treespec_loads``.
    """
    document = strict_json.parse(_text(value, place).encode(errors="replace"), place)
    if not isinstance(document, list) or len(document) != 2 or document[0] != 1:
        raise refusal("ART-02.schema", f"Here stands {shown(document)}; a tree of protocol 1 is expected.", place)
    node, leaves = _tree_node(document[1], place)
    return json.dumps([1, node]), leaves


def _tree_node(value: Any, place: str) -> tuple[dict[str, Any], int]:
    if not isinstance(value, dict) or set(value) != {"type", "context", "children_spec"}:
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; a node of a tree is expected.", place)
    kind, context, children = value["type"], value["context"], value["children_spec"]
    if not isinstance(children, list):
        raise refusal("ART-02.schema", "The children of a tree are a list.", place)
    if kind is None and context is None and not children:
        return {"type": None, "context": None, "children_spec": []}, 1
    if kind in ("builtins.tuple", "builtins.list") and context == "null":
        written = "null"
    elif kind == "builtins.dict":
        names = strict_json.parse(_text(context, place).encode(errors="replace"), place)
        keys = sequence(identifier)(names, place)
        if len(keys) != len(children) or len(set(keys)) != len(keys):
            raise refusal("ART-02.schema", "A dictionary has one name for each child.", place)
        written = json.dumps(keys)
    else:
        detail = f"Inputs or outputs are nested in {shown(kind)}; tuples, lists and dictionaries are taken."
        raise refusal("ART-02.schema", detail, place)
    read = [_tree_node(child, place) for child in children]
    node = {"type": kind, "context": written, "children_spec": [child for child, _ in read]}
    return node, sum(leaves for _, leaves in read)


def _text(value: Any, place: str) -> str:
    if not isinstance(value, str):
        raise refusal("ART-02.schema", f"Here stands {shown(value)}; a text is expected.", place)
    return value
