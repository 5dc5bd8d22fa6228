"""Parameters that people set: a frozen dataclass says which there are, what each may be, and what it is for.

The control half reads them to show a form and to refuse what does not fit; the compute half, to know its own defaults.
So the standard library is enough here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

ParametersT = TypeVar("ParametersT")


class ParameterError(ValueError):
    """A parameter that there is not, or a value that it does not take; the message names whose and which."""


def setting(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: Sequence[str] = (),
) -> Any:
    """Declare one parameter: its default, a sentence for the form, and what it may be."""
    about = {"description": description, "minimum": minimum, "maximum": maximum, "choices": tuple(choices)}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class NoParameters:
    """Nothing to set."""


def defaults_of(kind: type[Any]) -> dict[str, Any]:
    """Return the defaults of a parameter class as JSON has them."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(kind()).items()}


def schema_of(kind: type[Any]) -> dict[str, Any]:
    """Return the JSON schema of a parameter class, from which API and admin show a form."""
    hints = get_type_hints(kind)
    properties = {entry.name: _schema(hints[entry.name], entry.default, entry.metadata) for entry in fields(kind)}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def read(kind: type[ParametersT], document: Mapping[str, Any], *, owner: str) -> ParametersT:
    """Return an instance of a parameter class; what is not given has its default.

    Raises:
        ParameterError: an unknown key, a wrong type, a value out of range; ``owner`` says whose.
    """
    hints = get_type_hints(kind)
    known = {entry.name: entry for entry in fields(cast(Any, kind))}
    values = {}
    for name, value in document.items():
        if name not in known:
            raise ParameterError(f"{owner} has no parameter {name!r}; it has {', '.join(known) or 'none'}.")
        values[name] = _read(f"{owner}: `{name}`", value, hints[name], known[name].metadata)
    return kind(**values)


def is_number(value: Any) -> bool:
    """Tell whether a value is a finite number and not a truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _schema(hint: Any, default: Any, about: Mapping[str, Any]) -> dict[str, Any]:
    limits = {key: about[key] for key in ("minimum", "maximum") if about.get(key) is not None}
    if about.get("choices"):
        limits["enum"] = list(about["choices"])
    described = {"description": about.get("description", "")}
    if get_origin(hint) is tuple:
        of_items = {"type": _json_type(get_args(hint)[0]), **limits}
        return {"type": "array", "items": of_items, "default": list(default), **described}
    return {"type": _json_type(hint), "default": default, **limits, **described}


def _json_type(hint: Any) -> str:
    return {int: "integer", float: "number", str: "string", bool: "boolean"}[hint]


def _read(place: str, value: Any, hint: Any, about: Mapping[str, Any]) -> Any:
    if get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ParameterError(f"{place} is a list, not {value!r}.")
        return tuple(_read(place, item, get_args(hint)[0], about) for item in value)
    kinds: dict[Any, tuple[str, bool]] = {
        int: ("a whole number", isinstance(value, int) and not isinstance(value, bool)),
        float: ("a number", is_number(value)),
        str: ("a text", isinstance(value, str)),
        bool: ("true or false", isinstance(value, bool)),
    }
    wanted, fits = kinds[hint]
    if not fits:
        raise ParameterError(f"{place} is {wanted}, not {value!r}.")
    low, high = about.get("minimum"), about.get("maximum")
    if low is not None and value < low:
        raise ParameterError(f"{place} is at least {low:g}, not {value!r}.")
    if high is not None and value > high:
        raise ParameterError(f"{place} is at most {high:g}, not {value!r}.")
    if about.get("choices") and value not in about["choices"]:
        raise ParameterError(f"{place} is one of {', '.join(about['choices'])}, not {value!r}.")
    return float(value) if hint is float else value
