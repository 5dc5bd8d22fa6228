"""What an explanation was asked for, read from the parameters of its job."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from audits.engine.explainers.background import BackgroundMethod
from audits.engine.measures import Bounds, BoundsError
from audits.engine.methods import BUDGETS
from workers.datasets.schema import Schema, SchemaError
from workers.frameworks.coalitions import Scale
from workers.protocol import JobError
from workers.signature import Signature, SignatureError

#: Rows of one explanation.
MAXIMUM_ROWS = 100_000
#: What the arrays of an explanation may take in memory, beside the framework and the model.
DEFAULT_MEMORY_BYTES = 256 * 1024 * 1024
LEAST_MEMORY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Slice:
    """The rows that have a value in a column."""

    column: str
    value: str | int | float | bool

    def __str__(self) -> str:
        return f"{self.column} = {self.value}"


@dataclass(frozen=True)
class Earlier:
    """The rows that explanations before this one took: so many in the random order of the seed, and some by number."""

    drawn: int = 0
    named: tuple[int, ...] = ()


@dataclass(frozen=True)
class Request:
    """What an explanation was asked for; see the fields of ``explanations/`` in the API."""

    framework: str
    signature: Signature
    schema: Schema
    background_schema: Schema
    method: str
    rows: int | tuple[int, ...]
    slice: Slice | None
    earlier: Earlier
    outputs: Literal["all", "predicted"] | tuple[int, ...]
    background_rows: int | tuple[int, ...]
    background_method: BackgroundMethod
    seed: int
    split: str | None
    background_split: str | None
    tolerance: float
    bounds: Bounds
    scale: Scale
    patch: int | None
    groups: Mapping[str, tuple[str, ...]]
    memory_bytes: int
    budgets: Mapping[str, int]

    @classmethod
    def from_json(cls, document: dict[str, Any], *, seed: int) -> Self:
        """Read the parameters of a job.

        Raises:
            JobError: with the name of the parameter that is missing or out of range.
        """
        try:
            framework = str(document["framework"])
            signature = Signature.from_json(document["signature"])
            schema = Schema.from_json(document["schema"])
            background_schema = Schema.from_json(document.get("background_schema") or document["schema"])
        except KeyError as error:
            raise JobError(
                "parameter_missing", f"The parameter {error} is missing.", place=str(error.args[0])
            ) from error
        except (SignatureError, SchemaError) as error:
            raise JobError("parameter_out_of_range", str(error), place="signature or schema") from error
        outputs = document.get("outputs", "all")
        if outputs not in ("all", "predicted"):
            outputs = _whole_numbers(outputs, "outputs", '"all", "predicted"')
        background_rows, background_method = _background(document)
        return cls(
            framework=framework,
            signature=signature,
            schema=schema,
            background_schema=background_schema,
            method=str(document.get("method", "permutation")),
            rows=_rows(document.get("rows", 50)),
            slice=_slice(document.get("slice"), schema),
            earlier=_earlier(document.get("earlier") or {}),
            outputs=outputs,
            background_rows=background_rows,
            background_method=background_method,
            seed=_whole(document.get("seed", seed), "seed", lowest=0),
            split=document.get("split"),
            background_split=document.get("background_split"),
            tolerance=_tolerance(document.get("tolerance", 0.05)),
            bounds=_bounds(document.get("bounds") or {}),
            scale=_choice(document.get("scale", "logits"), "scale", get_args(Scale)),
            patch=None if document.get("patch") is None else _whole(document["patch"], "patch", lowest=1),
            groups=_groups(document.get("groups") or {}),
            memory_bytes=_memory(document.get("memory_bytes")),
            budgets=_budgets(document),
        )


def _rows(value: Any) -> int | tuple[int, ...]:
    if not _is_whole(value):
        rows: int | tuple[int, ...] = _whole_numbers(value, "rows", "a number of rows")
    elif value < 1:
        raise JobError(
            "no_rows", f"`rows` is a number from 1 upwards or a list of row numbers, not {value}.", place="rows"
        )
    else:
        rows = int(value)
    count = rows if isinstance(rows, int) else len(rows)
    if count > MAXIMUM_ROWS:
        raise _out_of_range("rows", count, f"at most {MAXIMUM_ROWS:,} rows")
    return rows


def _background(document: Mapping[str, Any]) -> tuple[int | tuple[int, ...], BackgroundMethod]:
    """Return which background rows, and how they are chosen; a list of rows is a choice by itself."""
    rows = document.get("background_rows", 100)
    if not _is_whole(rows):
        rows = _whole_numbers(rows, "background_rows", "a whole number")
    elif rows < 1:
        raise JobError(
            "no_background_rows",
            "`background_rows` is a number from 1 upwards: attributions compare with the background.",
            place="background_rows",
        )
    is_number = isinstance(rows, int)
    method: BackgroundMethod = _choice(
        document.get("background_method") or ("sample" if is_number else "rows"),
        "background_method",
        get_args(BackgroundMethod),
    )
    if is_number == (method == "rows"):
        wanted = "a list of row numbers with the method `rows`, and a number with the others"
        raise _out_of_range("background_rows", rows, wanted)
    return rows, method


def _slice(value: Any, schema: Schema) -> Slice | None:
    if value is None:
        return None
    if (
        not isinstance(value, Mapping)
        or set(value) != {"column", "value"}
        or not isinstance(value["column"], str)
        or not isinstance(value["value"], str | int | float | bool)
    ):
        raise _out_of_range("slice", value, 'an object such as {"column": "region", "value": "north"}')
    if value["column"] not in schema.columns:
        raise JobError(
            "slice_column_missing", f"The data set has no column {value['column']!r} to slice by.", place="slice"
        )
    return Slice(value["column"], value["value"])


def _earlier(value: Any) -> Earlier:
    if not isinstance(value, Mapping):
        raise _out_of_range("earlier", value, "an object with `drawn` and `named`")
    named = value.get("named") or []
    return Earlier(
        drawn=_whole(value.get("drawn", 0), "earlier", lowest=0),
        named=_whole_numbers(named, "earlier", "empty") if named else (),
    )


def _groups(value: Any) -> dict[str, tuple[str, ...]]:
    is_groups = isinstance(value, Mapping) and all(
        isinstance(columns, list) and columns and all(isinstance(column, str) for column in columns)
        for columns in value.values()
    )
    if not is_groups:
        raise _out_of_range("groups", value, 'an object such as {"region": ["region_north", "region_south"]}')
    return {str(name): tuple(columns) for name, columns in value.items()}


def _memory(value: Any) -> int:
    return DEFAULT_MEMORY_BYTES if value is None else _whole(value, "memory_bytes", lowest=LEAST_MEMORY_BYTES)


def _budgets(document: Mapping[str, Any]) -> dict[str, int]:
    """Return the budgets that are given; whether a method has them is for the method to say."""
    budgets = {}
    for name, entry in BUDGETS.items():
        value = document.get(name)
        if value is not None:
            budgets[name] = _whole(value, name, lowest=entry.least)
            if value > entry.most:
                raise _out_of_range(name, value, f"at most {entry.most:,}")
    return budgets


def _tolerance(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise _out_of_range("tolerance", value, "a number from 0 upwards")
    return float(value)


def _bounds(document: Any) -> Bounds:
    try:
        return Bounds.from_json(document)
    except BoundsError as error:
        raise JobError(error.code, str(error), place=error.place) from error


def _choice(value: Any, name: str, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise _out_of_range(name, value, f"one of {', '.join(choices)}")
    return value


def _whole(value: Any, name: str, *, lowest: int) -> int:
    if not _is_whole(value) or value < lowest:
        raise _out_of_range(name, value, f"a whole number from {lowest:,} upwards")
    return int(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _whole_numbers(value: Any, name: str, otherwise: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(_is_whole(entry) and entry >= 0 for entry in value):
        raise _out_of_range(name, value, f"{otherwise} or a list of numbers from 0 upwards")
    if not value:
        raise JobError(f"no_{name}", f"`{name}` is an empty list; there is nothing to explain.", place=name)
    return tuple(value)


def _out_of_range(name: str, value: Any, wanted: str) -> JobError:
    return JobError("parameter_out_of_range", f"`{name}` is {wanted}, not {value!r}.", place=name)
