"""The form that asks for an explanation: what it asks is what the API takes, declared there and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rest_framework import serializers
from rest_framework.fields import empty

from audits.api.explanations import ExplanationBody
from audits.engine.measures import MEASURES, Bounds
from audits.engine.methods import BUDGETS
from governance.api.base import DatasetVersionField, ModelVersionField
from governance.exceptions import InvalidInput

#: Fields behind a fold: most explanations do without them.
_FURTHER = ("seed", *BUDGETS, "groups", "patch", "memory_bytes")
#: How a form writes what JSON writes as an object or a list.
_WRITTEN = {
    "rows": "Write several as 5, 8, 13.",
    "background_rows": "Write several as 5, 8, 13.",
    "outputs": "Write several as 0, 2.",
    "slice": "Write it as region = north.",
    "groups": "Write them as region: region_north, region_south; job: job_a, job_b.",
}
_LIST_OF_NUMBERS = re.compile(r"\d{1,12}([,\s]+\d{1,12})*")
_LISTS = {ModelVersionField: "models", DatasetVersionField: "datasets"}


@dataclass(frozen=True)
class FormField:
    """One field: ``kind`` is that of its input, ``proposals`` names the list of references that it proposes."""

    name: str
    label: str
    help: str
    kind: str
    value: str
    is_required: bool = False
    choices: tuple[tuple[str, str], ...] = ()
    proposals: str = ""
    minimum: float | None = None
    maximum: float | None = None

    @property
    def id(self) -> str:
        return "ask-" + self.name.replace("_", "-").replace(".", "-")


def form_fields(written: Mapping[str, str]) -> tuple[list[FormField], list[FormField], list[FormField]]:
    """Return the fields that everybody sees, the further ones, and the bounds; each filled with what was written."""
    made = [_field(name, field, written) for name, field in _declared().items() if name != "bounds"]
    return (
        [field for field in made if field.name not in _FURTHER],
        [field for field in made if field.name in _FURTHER],
        list(_bounds(written)),
    )


def body_of(written: Mapping[str, str]) -> dict[str, Any]:
    """Return what was written into the form as the API takes it; what was left empty is the API's own choice.

    Raises:
        InvalidInput: a slice or a group is not written as the form says.
    """
    given = {name: text.strip() for name, text in written.items() if text.strip()}
    body = {name: _value(name, given[name]) for name in _declared() if name in given}
    bounds = {name: given[f"bounds.{name}"] for name in MEASURES if f"bounds.{name}" in given}
    return {**body, "bounds": bounds} if bounds else body


def numbers_or_text(text: str) -> int | list[int] | str:
    """Read a number, or several with commas or spaces between them; what is neither stays as it is."""
    if not _LIST_OF_NUMBERS.fullmatch(text):
        return text
    numbers = [int(part) for part in re.split(r"[,\s]+", text)]
    return numbers[0] if len(numbers) == 1 else numbers


def _declared() -> dict[str, Any]:
    """Return the fields of the API by name."""
    return {str(name): field for name, field in ExplanationBody().fields.items()}


def _field(name: str, field: Any, written: Mapping[str, str]) -> FormField:
    default = "" if field.default in (empty, None) else str(field.default)
    choices = tuple((str(key), str(words)) for key, words in getattr(field, "choices", {}).items())
    if choices and not default:
        choices = (("", "default"), *choices)
    is_number = isinstance(field, serializers.IntegerField | serializers.FloatField)
    return FormField(
        name=name,
        label=str(field.label or name.replace("_", " ")).lower(),
        help=" ".join(filter(None, [str(field.help_text or "").replace("`", ""), _WRITTEN.get(name, "")])),
        kind="select" if choices else "number" if is_number else "text",
        value=written.get(name, default),
        is_required=field.required,
        choices=choices,
        proposals=_LISTS.get(type(field), ""),
        minimum=getattr(field, "min_value", None),
        maximum=getattr(field, "max_value", None),
    )


def _bounds(written: Mapping[str, str]) -> Iterator[FormField]:
    for name, default in asdict(Bounds()).items():
        entry = MEASURES[name]
        side = "at most" if entry.relation == "<=" else "at least"
        usual = "none by default" if default is None else f"by default {default:g}"
        yield FormField(
            name=f"bounds.{name}",
            label=entry.title.lower(),
            help=f"{side.capitalize()}; {usual}, or what the policy says. Where it is missed: {entry.advice}",
            kind="number",
            value=written.get(f"bounds.{name}", ""),
            minimum=0,
        )


def _value(name: str, text: str) -> Any:
    """Read what JSON has in more than one way; an output is a list also where it is one."""
    if name == "outputs" and text.isascii() and text.isdigit():
        return [int(text)]
    if name in ("rows", "outputs", "background_rows"):
        return numbers_or_text(text)
    if name == "slice":
        column, equals, value = (part.strip() for part in text.partition("="))
        if not (column and equals and value):
            raise _miswritten(name, text)
        return {"column": column, "value": _scalar(value)}
    if name == "groups":
        parts = [part.partition(":") for part in text.split(";") if part.strip()]
        groups = {group.strip(): [column.strip() for column in said.split(",")] for group, _, said in parts}
        if not all(group and all(columns) for group, columns in groups.items()):
            raise _miswritten(name, text)
        return groups
    return text


def _scalar(text: str) -> str | float | bool:
    """Read a value as JSON has it: a number, true or false, a text in quotes; anything else is the text itself."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, str | int | float | bool) else text


def _miswritten(name: str, text: str) -> InvalidInput:
    return InvalidInput(
        f"The {name} {text[:100]!r} cannot be read. {_WRITTEN[name]}",
        errors=[{"place": name, "detail": _WRITTEN[name]}],
    )
