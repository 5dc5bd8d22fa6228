"""Divide a data set into parts by a plan, and write it again with a column that says the part of each row.

A row goes where a hash sends it: the first 52 bits of SHA-256 over the salt and the value of the deciding column, as a
number from 0 to 1, against the shares in the order train, validation, test. Equal values go the same way, and so do
equal rows where the whole row decides, so that no copy of a training row is tested on. By time, the earliest rows train
and rows of one moment stay together; the moments are pinned in the plan that comes out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from validators.engine.split_plans import SplitPlan
from workers.context import JobContext
from workers.datasets.canonical import canonical_array, canonical_schema, digest_of_rows, is_tensor, one_array
from workers.datasets.profile import profile_of
from workers.datasets.reading import open_table, read_batches
from workers.datasets.schema import SPLITS, Column, Schema
from workers.datasets.showing import show
from workers.datasets.writing import TREE_FILE, TableWriter
from workers.protocol import JobError

TABLE_FILE = "split.parquet"
#: A target of at most this many values is told by the share of each in every part.
MOST_CLASSES = 50


def run(context: JobContext) -> dict[str, Any]:
    """Split a data set.

    Inputs: ``dataset``. Parameters: ``plan`` (JSON), ``schema``. Outputs: ``split.parquet``, the same rows in the same
    order with a column of the parts, ``tree.json``, its digests, and ``images-N.png`` with some pictures of each image
    column. Only the columns that decide are in memory whole.

    Returns:
        ``plan`` (with the moments of its cuts pinned), ``report`` (``parts``, and ``classes`` or ``means`` of the
        target by part), ``content_digest``, ``row_count``, ``schema``, ``profile`` and ``media``
        (``workers.datasets.showing``).

    Raises:
        JobError: codes ``value_missing`` (column and row), ``group_spans_time``, ``part_empty``, ``cut_not_readable``.
    """
    plan = SplitPlan.from_json(context.parameters["plan"])
    schema = Schema.from_json(context.parameters["schema"])
    path = context.input("dataset")
    if plan.replace and schema.split is not None:
        schema = Schema(schema.modality, {name: kept for name, kept in schema.columns.items() if kept.role != "split"})
    parts, plan = _parts_of_file(context, path, plan, schema)
    _refuse_empty(parts, plan)
    written = context.output(TABLE_FILE)
    writer = _write(context, path, written, list(schema.columns), parts, plan)
    writer.write_tree(context.output(TREE_FILE))
    described = Schema(schema.modality, {**schema.columns, plan.column: Column(role="split", type="category")})
    return {
        "plan": plan.to_json(),
        "report": report_of(_column(path, schema.target), schema.target, parts, plan),
        "content_digest": writer.content_digest,
        "row_count": writer.row_count,
        "schema": described.to_json(),
        "profile": profile_of(written, work=context.folder / "work", schema=described, tell=context.progress),
        "media": show(written, described, output=context.output),
    }


def _parts_of_file(
    context: JobContext, path: Path, plan: SplitPlan, schema: Schema
) -> tuple[NDArray[np.int64], SplitPlan]:
    deciding = [name for name in (plan.deciding, plan.time) if name is not None]
    if deciding:
        return parts_of(pa.Table.from_batches(read_batches(path, columns=list(dict.fromkeys(deciding)))), plan)
    with open_table(path) as file:
        row_count = file.metadata.num_rows
    found: list[NDArray[np.int64]] = []
    for batch in read_batches(path, columns=list(schema.columns)):
        context.progress(sum(map(len, found)), row_count, "rows", "dividing the rows")
        found.append(parts_of(pa.Table.from_batches([batch]), plan)[0])
    return np.concatenate(found or [np.empty(0, np.int64)]), plan


def _write(
    context: JobContext, path: Path, to: Path, columns: Sequence[str], parts: NDArray[np.int64], plan: SplitPlan
) -> TableWriter:
    """Write the rows as they are, with the column of the parts behind the others."""
    with open_table(path) as file:
        kept = canonical_schema(pa.schema([file.schema_arrow.field(name) for name in columns]))
    words = pa.array(SPLITS)
    with TableWriter(to, kept.append(pa.field(plan.column, pa.string()))) as writer:
        for batch in read_batches(path, columns=columns):
            context.progress(writer.row_count, len(parts), "rows", "writing the rows")
            numbers = pa.array(parts[writer.row_count : writer.row_count + batch.num_rows])
            writer.write(pa.Table.from_batches([batch]).append_column(plan.column, words.take(numbers)))
    return writer


def _column(path: Path, name: str | None) -> pa.Array | None:
    """Return one column of the file; None where there is none to return."""
    if name is None:
        return None
    return one_array(pa.Table.from_batches(read_batches(path, columns=[name])).column(name))


def parts_of(table: pa.Table, plan: SplitPlan) -> tuple[NDArray[np.int64], SplitPlan]:
    """Return the number of the part (in ``SPLITS``) of each row, and the plan with its cuts pinned."""
    if plan.time is None:
        return _by_hash(table, plan), plan
    column = plan.time
    moments = _demanded(table, column)
    plan = plan if plan.cuts else replace(plan, cuts=_cuts(moments, plan.fractions))
    parts = np.zeros(table.num_rows, dtype=np.int64)
    for part, cut in plan.cuts.items():
        begins = pc.greater_equal(moments, _moment(cut, moments.type, column)).to_numpy(zero_copy_only=False)
        parts[begins] = np.maximum(parts[begins], SPLITS.index(part))
    if plan.group is not None:
        _refuse_groups_that_span(table, plan.group, parts)
    return parts, plan


def shares_of(values: pa.Array, salt: str) -> NDArray[np.float64]:
    """Return, for each value, the number from 0 to 1 that its hash says; equal values have equal numbers."""
    encoded = values.dictionary_encode()
    prefix = hashlib.sha256(b"assay-split-1\0" + salt.encode() + b"\0")
    numbers = np.fromiter((_number(prefix, text) for text in _texts(encoded.dictionary)), np.float64)
    return np.asarray(numbers[encoded.indices.to_numpy(zero_copy_only=False)])


def report_of(values: pa.Array | None, target: str | None, parts: NDArray[np.int64], plan: SplitPlan) -> dict[str, Any]:
    """Return how many rows each part has, what was asked, and how the target's values are spread over the parts."""
    counts = np.bincount(parts, minlength=len(SPLITS))
    names = [part for number, part in enumerate(SPLITS) if counts[number]]
    described = [
        {
            "part": part,
            "rows": int(counts[SPLITS.index(part)]),
            "share": float(counts[SPLITS.index(part)] / len(parts)),
            "asked": plan.fractions.get(part),
        }
        for part in names
    ]
    return {"parts": described, "target": _target_by_part(values, target, parts, names)}


def _by_hash(table: pa.Table, plan: SplitPlan) -> NDArray[np.int64]:
    values = pa.array(digest_of_rows(table)) if plan.deciding is None else _demanded(table, plan.deciding)
    bounds = np.cumsum([plan.fractions.get(part, 0.0) for part in SPLITS])
    last = max(SPLITS.index(part) for part in plan.fractions)
    # The shares sum to 1 but for the rounding of floats, and no hash may fall behind the last part.
    return np.minimum(np.searchsorted(bounds, shares_of(values, plan.salt), side="right"), last)


def _number(prefix: Any, text: bytes) -> float:
    digest = prefix.copy()
    digest.update(text)
    return (int.from_bytes(digest.digest()[:8], "big") >> 12) / 2.0**52


def _texts(values: pa.Array) -> Iterator[bytes]:
    """Write each value one way, whatever width its type had in the file that came."""
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64())
    for value in values.to_pylist():
        yield f"{type(value).__name__}\0{value!s}".encode()


def _demanded(table: pa.Table, name: str) -> pa.Array:
    """Return a column in which nothing is missing: a row without a value has no place to go."""
    array = canonical_array(one_array(table.column(name)), name=name)
    if is_tensor(array.type):
        raise JobError("value_missing", f"The column {name!r} holds arrays; a single value decides.", place=name)
    missing = np.asarray(pc.is_null(array, nan_is_null=True).to_numpy(zero_copy_only=False))
    if missing.any():
        row = int(np.argmax(missing))
        raise JobError(
            "value_missing",
            f"The column {name!r} decides where a row goes, and {int(missing.sum()):,} rows have no value there, the "
            f"first is row {row}; clean the data first.",
            place=f"{name}, row {row}",
        )
    return array


def _cuts(moments: pa.Array, fractions: Mapping[str, float]) -> dict[str, Any]:
    """Return the first moment of each part but the first: of all moments the one that comes nearest to the shares."""
    counted = pc.value_counts(moments)
    order = pc.sort_indices(counted.field("values"))
    distinct = counted.field("values").take(order)
    before = np.concatenate([[0], np.cumsum(counted.field("counts").take(order).to_numpy())]) / len(moments)
    cuts: dict[str, Any] = {}
    asked = 0.0
    for previous, part in zip(list(fractions), list(fractions)[1:], strict=False):
        asked += fractions[previous]
        place = int(np.argmin(np.abs(before - asked)))
        if place >= len(distinct):
            _refuse_part(part)
        cuts[part] = _plain(distinct[place])
    return cuts


def _plain(moment: pa.Scalar) -> Any:
    value = moment.as_py()
    return value if isinstance(value, int | float) else value.isoformat() if hasattr(value, "isoformat") else str(value)


def _moment(cut: Any, data_type: pa.DataType, column: str) -> pa.Scalar:
    try:
        if isinstance(cut, str):
            return pa.scalar(cut, pa.string()).cast(data_type)
        return pa.scalar(cut, pa.float64() if isinstance(cut, float) else pa.int64()).cast(data_type)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise JobError(
            "cut_not_readable", f"The cut {cut!r} is no value of the column {column!r} ({data_type}).", place="cuts"
        ) from error


def _refuse_groups_that_span(table: pa.Table, group: str, parts: NDArray[np.int64]) -> None:
    groups = _demanded(table, group)
    spans = (
        pa.table({"group": groups, "part": parts})
        .group_by("group")
        .aggregate([("part", "min"), ("part", "max")])
        .filter(pc.field("part_min") != pc.field("part_max"))
    )
    if spans.num_rows:
        first = spans.sort_by("group").column("group")[0].as_py()
        raise JobError(
            "group_spans_time",
            f"{spans.num_rows:,} groups of {group!r} have rows in more than one part, the first is {first!r}: they "
            "cannot be kept together and be cut by time. Choose other cuts, or split by the group alone.",
            place=group,
        )


def _refuse_empty(parts: NDArray[np.int64], plan: SplitPlan) -> None:
    asked = list(plan.fractions) or [SPLITS[0], *plan.cuts]
    counts = np.bincount(parts, minlength=len(SPLITS))
    for part in asked:
        if not counts[SPLITS.index(part)]:
            _refuse_part(part)


def _refuse_part(part: str) -> None:
    raise JobError(
        "part_empty",
        f"The part {part!r} would have no row. Give it a larger share, another cut or another salt, or leave it out.",
        place=part,
    )


def _target_by_part(
    values: pa.Array | None, target: str | None, parts: NDArray[np.int64], names: list[str]
) -> dict[str, Any] | None:
    if values is None or is_tensor(values.type):
        return None
    told: dict[str, Any] = {"column": target}
    groups = {part: values.filter(pa.array(parts == SPLITS.index(part))) for part in names}
    classes = pc.unique(values)
    if len(classes) <= MOST_CLASSES:
        counts = {part: _counts(group) for part, group in groups.items()}
        ordered = sorted(classes.to_pylist(), key=lambda value: (value is None, str(value)))
        told["classes"] = [
            {"value": None if value is None else str(value), "shares": {
                part: counts[part].get(value, 0) / max(1, len(groups[part])) for part in names
            }}
            for value in ordered
        ]  # fmt: skip
    elif pa.types.is_integer(values.type) or pa.types.is_floating(values.type):
        told["means"] = {part: pc.mean(group).as_py() for part, group in groups.items()}
    return told


def _counts(values: pa.Array) -> dict[Any, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}
