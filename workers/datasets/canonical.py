"""One form for the content of a table, whatever file it came in, and the digest of that content.

Files of the same rows differ (row groups, compression, integer widths, dictionaries, writers). The canonical form does
not: integers are ``int64``, floats ``float64``, decimals ``decimal128(38, scale)``, texts ``string``, dates ``date32``,
moments ``timestamp[us]`` (in UTC where they name a zone), arrays fixed-shape tensors; there is no dictionary, and what
lies under a missing value is zero.

The digest is a Merkle tree of SHA-256: a leaf for each column and each 65,536 rows, a node for each column, a root over
the columns in the order of their names. It changes with any cell, name, type and with the order of rows, not with the
order of columns (JSON that describes them has none), and two trees tell in which column and chunk they differ.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.datasets.stored import StoredArrayType, array_of
from workers.protocol import JobError

#: Rows under one leaf of the digest.
CHUNK_ROWS = 65_536
#: Digits of every decimal, so that the number of them that a writer chose changes no digest.
DECIMAL_DIGITS = 38


def is_tensor(data_type: pa.DataType) -> bool:
    """Tell whether a column holds an array of one shape in each row."""
    return isinstance(data_type, pa.FixedShapeTensorType)


def canonical_type(data_type: pa.DataType) -> pa.DataType | None:
    """Return the one Arrow type that stands for a type, or None for a type that a data set cannot hold."""
    types = pa.types
    if types.is_dictionary(data_type):
        return canonical_type(data_type.value_type)
    if types.is_integer(data_type):
        return pa.int64()
    if types.is_floating(data_type) or types.is_null(data_type):
        return pa.float64()
    if types.is_decimal(data_type):
        scale = max(data_type.scale, 0)
        return pa.decimal128(DECIMAL_DIGITS, scale) if scale <= DECIMAL_DIGITS else None
    if types.is_boolean(data_type):
        return pa.bool_()
    if types.is_string(data_type) or types.is_large_string(data_type) or types.is_string_view(data_type):
        return pa.string()
    if types.is_date(data_type):
        return pa.date32()
    if types.is_timestamp(data_type):
        return pa.timestamp("us", tz=None if data_type.tz is None else "UTC")
    if types.is_fixed_size_list(data_type) and _is_number(data_type.value_type):
        return pa.fixed_shape_tensor(data_type.value_type, [data_type.list_size])
    if isinstance(data_type, StoredArrayType):
        return data_type.canonical
    if is_tensor(data_type) and _is_number(data_type.value_type):
        axes = list(range(len(data_type.shape)))
        return data_type if list(data_type.permutation or axes) == axes else None
    return None


def canonical_array(array: pa.Array, *, name: str, first_row: int = 0) -> pa.Array:
    """Cast one array (no chunks) to its canonical type; the values stay what they are.

    ``first_row`` is the number of its first row in the whole table, for the message about one that does not fit.

    Raises:
        JobError: code ``type_not_supported`` with the column, or ``value_does_not_fit_type`` with column and row.
    """
    target = canonical_type(array.type)
    if target is None:
        raise type_not_supported(name, array.type)
    if array.type == target:
        return array
    if isinstance(array.type, StoredArrayType):
        return array_of(array)
    if is_tensor(target):
        return pa.ExtensionArray.from_storage(target, array)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    try:
        return array if array.type == target else array.cast(target)
    except pa.ArrowInvalid as error:
        place = _first_that_does_not_fit(array, target)
        row = first_row + place
        raise JobError(
            "value_does_not_fit_type",
            f"Row {row} (counted from 0) of the column {name!r} of the type {array.type} holds {array[place]}, which "
            f"{target} does not hold.",
            place=f"{name}, row {row}",
        ) from error


def type_not_supported(name: str, data_type: pa.DataType) -> JobError:
    """Return what is said about a column of a type that a data set cannot hold."""
    return JobError(
        "type_not_supported",
        f"The column {name!r} is of the type {data_type}; a column holds numbers, booleans, texts, dates, moments or "
        "arrays of numbers of one shape.",
        place=name,
    )


def canonical_schema(schema: pa.Schema) -> pa.Schema:
    """Return a schema in canonical types, without metadata; any column may miss values.

    Raises:
        JobError: codes ``type_not_supported`` and ``duplicate_columns`` with the column.
    """
    check_names_differ(schema.names)
    fields = []
    for field in schema:
        target = canonical_type(field.type)
        if target is None:
            raise type_not_supported(field.name, field.type)
        fields.append(pa.field(field.name, target))
    return pa.schema(fields)


def canonical_batch(batch: pa.RecordBatch, *, first_row: int = 0) -> pa.RecordBatch:
    """Return a batch in canonical form; ``first_row`` is the number of its first row in the whole table."""
    names = batch.schema.names
    arrays = [canonical_array(array, name=name, first_row=first_row) for name, array in zip(names, batch, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=names)


def canonical_table(table: pa.Table) -> pa.Table:
    """Return the table in canonical form: same columns in the same order, canonical types, no metadata, no chunks."""
    names = table.column_names
    arrays = [canonical_array(one_array(table.column(index)), name=name) for index, name in enumerate(names)]
    return pa.Table.from_arrays(arrays, names=names)


def content_digest(table: pa.Table) -> str:
    """Return ``sha256:<hex>`` of the content of a table, canonical or not."""
    return digest_of_tree(digest_tree(table))


def digest_tree(table: pa.Table) -> dict[str, list[str]]:
    """Return, for each column, its canonical type followed by the digest of each chunk of 65,536 rows."""
    check_names_differ(table.column_names)
    tree: dict[str, list[str]] = {}
    with ThreadPoolExecutor(thread_count()) as pool:
        for name, column in zip(table.column_names, table.columns, strict=True):
            starts = range(0, max(1, len(column)), CHUNK_ROWS)
            leaves = pool.map(lambda start, name=name, column=column: _canonical_leaf(column, start, name), starts)
            word = type_word(canonical_array(one_array(column.slice(0, 0)), name=name).type)
            tree[name] = [word, *leaves]
    return tree


def check_names_differ(names: Sequence[str]) -> None:
    """Refuse two columns of one name."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise JobError("duplicate_columns", f"Two columns are named {name!r}; names of columns differ.", place=name)
        seen.add(name)


def thread_count() -> int:
    """Return how many threads work in parallel on a table: as many as there are cores for this process."""
    return len(os.sched_getaffinity(0))


def leaf_digest(arrays: Sequence[pa.Array]) -> str:
    """Return the digest of one column of one chunk, given as canonical arrays one after the other.

    It covers the number of rows, which of them are there, and the values; for texts the lengths and then the bytes.
    SHA-256 works without the lock of the interpreter, so that leaves can be taken in threads.
    """
    leaf = hashlib.sha256(sum(map(len, arrays)).to_bytes(8, "little"))
    leaf.update(_validity_bits(arrays))
    if not pa.types.is_string(arrays[0].type):
        for array in arrays:
            if len(array):
                leaf.update(np.ascontiguousarray(fixed_values(array)).data.cast("B"))
        return leaf.hexdigest()
    arrays = [pc.fill_null(array, "") if array.null_count else array for array in arrays]
    bounds = [_offsets(array) for array in arrays]
    for offsets in bounds:
        leaf.update(np.diff(offsets).astype("<i8").data)
    for array, offsets in zip(arrays, bounds, strict=True):
        content = array.buffers()[2]
        if content is not None and len(array):
            leaf.update(memoryview(content)[int(offsets[0]) : int(offsets[-1])])
    return leaf.hexdigest()


def digest_of_tree(tree: dict[str, list[str]]) -> str:
    """Return the root of a digest tree."""
    root = hashlib.sha256(b"assay-table-1\0")
    for name in sorted(tree):
        node = hashlib.sha256(b"column\0" + _text(name))
        for entry in tree[name]:
            node.update(_text(entry))
        root.update(node.digest())
    return "sha256:" + root.hexdigest()


def differing_chunks(one: dict[str, list[str]], other: dict[str, list[str]]) -> list[tuple[str, int | None]]:
    """Return (column, chunk) for each place where two trees differ; None for a column of one side or another type."""
    places: list[tuple[str, int | None]] = []
    for name in sorted(one.keys() | other.keys()):
        here, there = one.get(name), other.get(name)
        if here is None or there is None or here[0] != there[0]:
            places.append((name, None))
            continue
        for chunk in range(max(len(here), len(there)) - 1):
            if here[chunk + 1 : chunk + 2] != there[chunk + 1 : chunk + 2]:
                places.append((name, chunk))
    return places


def digest_of_rows(table: pa.Table) -> list[str]:
    """Return the hex SHA-256 of each row: its cells with their names and types, in the order of the names."""
    prefix = hashlib.sha256(b"assay-row-1\0")
    fixed: list[NDArray[np.uint8]] = []
    texts: list[list[str | None]] = []
    for name in sorted(table.column_names):
        array = canonical_array(one_array(table.column(name)), name=name)
        prefix.update(_text(name) + _text(type_word(array.type)))
        if pa.types.is_string(array.type):
            texts.append(array.to_pylist())
            continue
        valid = np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False), dtype=np.uint8)
        values = np.ascontiguousarray(fixed_values(array).reshape(len(array), -1))
        fixed += [valid.reshape(-1, 1), values.view(np.uint8).reshape(len(array), -1)]
    rows = np.ascontiguousarray(np.concatenate(fixed, axis=1)) if fixed else np.zeros((table.num_rows, 0), np.uint8)
    digests = []
    for number in range(table.num_rows):
        digest = prefix.copy()
        digest.update(rows[number].tobytes())
        for cells in texts:
            cell = cells[number]
            digest.update(b"\0" if cell is None else b"\1" + _text(cell))
        digests.append(digest.hexdigest())
    return digests


def tensor_values(array: pa.Array) -> NDArray[Any]:
    """Return a tensor column as an array of shape (rows, *shape); rows that are missing hold whatever lies there."""
    storage = array.storage
    width = storage.type.list_size
    values = storage.values.slice(storage.offset * width, len(storage) * width)
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(len(array), *array.type.shape)


def tensor_array(values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> pa.Array:
    """Make a tensor column out of an array of shape (rows, *shape); ``valid`` says which rows are not missing."""
    flat = np.ascontiguousarray(values).reshape(-1)
    shape = list(values.shape[1:])
    mask = None if valid is None or bool(valid.all()) else pa.array(~valid)
    storage = pa.FixedSizeListArray.from_arrays(pa.array(flat), int(np.prod(shape)), mask=mask)
    return pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(storage.type.value_type, shape), storage)


def fixed_values(array: pa.Array) -> NDArray[Any]:
    """Return the values of a canonical column that is not text, with zero under what is missing and one NaN.

    Decimals come as their unscaled 128-bit integers, the low half before the high one, in shape (rows, 2).
    """
    if is_tensor(array.type):
        values = tensor_values(array)
        if array.null_count:
            values = values.copy()
            values[pc.is_null(array).to_numpy(zero_copy_only=False)] = 0
    else:
        if pa.types.is_decimal(array.type):
            return _unscaled(array)
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.int64())
        if pa.types.is_date(array.type):
            array = array.cast(pa.int32())
        if pa.types.is_boolean(array.type):
            array = array.cast(pa.uint8())
        if array.null_count:
            array = pc.fill_null(array, 0)
        values = array.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f" and bool(np.isnan(values).any()):
        values = np.where(np.isnan(values), np.asarray(np.nan, dtype=values.dtype), values)
    return np.asarray(values, dtype=values.dtype.newbyteorder("<"))


def _unscaled(array: pa.Decimal128Array) -> NDArray[np.int64]:
    content = np.frombuffer(array.buffers()[1] or b"", "<i8").reshape(-1, 2)[array.offset : array.offset + len(array)]
    if array.null_count:
        content = np.where(pc.is_valid(array).to_numpy(zero_copy_only=False)[:, None], content, 0)
    return content


def missing_rows(array: pa.Array) -> NDArray[np.bool_]:
    """Tell which rows of a canonical column are missing: null, or NaN in a number or anywhere in an array."""
    missing = np.array(pc.is_null(array, nan_is_null=pa.types.is_floating(array.type)).to_numpy(zero_copy_only=False))
    if len(array) and is_tensor(array.type) and pa.types.is_floating(array.type.value_type):
        missing |= np.isnan(fixed_values(array).reshape(len(array), -1)).any(axis=1)
    return missing


def type_word(data_type: pa.DataType) -> str:
    """Return the word for a canonical type that goes into digests."""
    if is_tensor(data_type):
        return f"{data_type.value_type}[{','.join(map(str, data_type.shape))}]"
    return str(data_type)


def _canonical_leaf(column: pa.ChunkedArray, start: int, name: str) -> str:
    row, arrays = start, []
    for array in column.slice(start, CHUNK_ROWS).chunks or [one_array(column.slice(0, 0))]:
        arrays.append(canonical_array(array, name=name, first_row=row))
        row += len(array)
    return leaf_digest(arrays)


def _validity_bits(arrays: Sequence[pa.Array]) -> bytes:
    rows = sum(map(len, arrays))
    if not any(array.null_count for array in arrays):
        return b"\xff" * (rows // 8) + (bytes([(1 << rows % 8) - 1]) if rows % 8 else b"")
    valid = np.concatenate([pc.is_valid(array).to_numpy(zero_copy_only=False) for array in arrays])
    return np.packbits(valid, bitorder="little").tobytes()


def _offsets(array: pa.StringArray) -> NDArray[np.int32]:
    """Return where each text of a column begins in its bytes, and where the last one ends."""
    if not len(array):
        return np.zeros(1, np.int32)
    return np.frombuffer(array.buffers()[1], np.int32)[array.offset : array.offset + len(array) + 1]


def _first_that_does_not_fit(array: pa.Array, target: pa.DataType) -> int:
    """Find by halving the first value that cannot be cast; the array as a whole cannot."""
    start, count = 0, len(array)
    while count > 1:
        half = count // 2
        try:
            array.slice(start, half).cast(target)
            start, count = start + half, count - half
        except pa.ArrowInvalid:
            count = half
    return start


def _is_number(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type))


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array without chunks; one that is whole already is not copied."""
    if isinstance(column, pa.ChunkedArray) and column.num_chunks == 1:
        return column.chunk(0)
    combined = column.combine_chunks()
    if not isinstance(combined, pa.ChunkedArray):
        return combined
    return combined.chunk(0) if combined.num_chunks == 1 else pa.concat_arrays(combined.chunks)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return len(encoded).to_bytes(8, "little") + encoded
