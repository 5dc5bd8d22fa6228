"""What an explanation was asked for, read from the parameters of its job."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from audits.engine.explainers.base import Scale
from audits.engine.explainers.quality import Bounds
from workers.datasets.schema import Schema, SchemaError
from workers.protocol import JobError
from workers.signature import Signature, SignatureError

#: What the arrays of an explanation may take in memory, beside the framework and the model.
DEFAULT_MEMORY_BYTES = 256 * 1024 * 1024
LEAST_MEMORY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class Request:
    """What an explanation was asked for; see the fields of ``explanations/`` in the API."""

    framework: str
    signature: Signature
    schema: Schema
    background_schema: Schema
    method: str
    rows: int | tuple[int, ...]
    outputs: Literal["all", "predicted"] | tuple[int, ...]
    background_rows: int
    seed: int
    split: str | None
    background_split: str | None
    tolerance: float
    bounds: Bounds
    scale: Scale
    patch: int | None
    memory_bytes: int

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
        rows = document.get("rows", 50)
        if not _is_whole(rows):
            rows = _whole_numbers(rows, "rows", "a number of rows")
        elif rows < 1:
            raise JobError(
                "no_rows", f"`rows` is a number from 1 upwards or a list of row numbers, not {rows}.", place="rows"
            )
        scale = document.get("scale", "logits")
        if scale not in get_args(Scale):
            raise _out_of_range("scale", scale, "`logits` or `probabilities`")
        background_rows = document.get("background_rows", 100)
        if not _is_whole(background_rows):
            raise _out_of_range("background_rows", background_rows, "a whole number")
        if background_rows < 1:
            raise JobError(
                "no_background_rows",
                "`background_rows` is a number from 1 upwards: attributions compare with the background.",
                place="background_rows",
            )
        tolerance = document.get("tolerance", 0.05)
        if isinstance(tolerance, bool) or not isinstance(tolerance, int | float) or not 0 <= tolerance < math.inf:
            raise _out_of_range("tolerance", tolerance, "a number from 0 upwards")
        patch = document.get("patch")
        if patch is not None and not (_is_whole(patch) and patch >= 1):
            raise _out_of_range("patch", patch, "null or a number of pixels from 1 upwards")
        memory_bytes = document.get("memory_bytes", DEFAULT_MEMORY_BYTES)
        if not (_is_whole(memory_bytes) and memory_bytes >= LEAST_MEMORY_BYTES):
            raise _out_of_range("memory_bytes", memory_bytes, f"a number of bytes from {LEAST_MEMORY_BYTES:,} upwards")
        asked_seed = document.get("seed", seed)
        if not (_is_whole(asked_seed) and asked_seed >= 0):
            raise _out_of_range("seed", asked_seed, "a whole number from 0 upwards")
        return cls(
            framework=framework,
            signature=signature,
            schema=schema,
            background_schema=background_schema,
            method=str(document.get("method", "permutation")),
            rows=rows,
            outputs=outputs,
            background_rows=background_rows,
            seed=asked_seed,
            split=document.get("split"),
            background_split=document.get("background_split"),
            tolerance=float(tolerance),
            bounds=Bounds.from_json(document.get("bounds") or {}),
            scale=scale,
            patch=patch,
            memory_bytes=memory_bytes,
        )


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
