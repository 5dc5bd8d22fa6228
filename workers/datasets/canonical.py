"""One form for the content of a table, whatever file it came in, and the digest of that content.

Files of the same rows differ (row groups, compression, integer widths, dictionaries, writers). The canonical form does
not: integers are ``int64``, other numbers ``float64``, texts ``string``, moments ``timestamp[us]`` (in UTC where they
name a zone), arrays fixed-shape tensors; there is no dictionary, and what lies under a missing value is zero.

The digest is a Merkle tree of SHA-256: a leaf for each column and each 65,536 rows, a node for each column, a root over
the columns in the order of their names. It changes with any cell, name, type and with the order of rows, not with the
order of columns (JSON that describes them has none), and two trees tell in which column and chunk they differ.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from workers.protocol import JobError

#: Rows under one leaf of the digest.
CHUNK_ROWS = 65_536


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
    if types.is_floating(data_type) or types.is_decimal(data_type) or types.is_null(data_type):
        return pa.float64()
    if types.is_boolean(data_type):
        return pa.bool_()
    if types.is_string(data_type) or types.is_large_string(data_type) or types.is_string_view(data_type):
        return pa.string()
    if types.is_date(data_type):
        return pa.timestamp("us")
    if types.is_timestamp(data_type):
        return pa.timestamp("us", tz=None if data_type.tz is None else "UTC")
    if types.is_fixed_size_list(data_type) and _is_number(data_type.value_type):
        return pa.fixed_shape_tensor(data_type.value_type, [data_type.list_size])
    if is_tensor(data_type) and _is_number(data_type.value_type):
        axes = list(range(len(data_type.shape)))
        return data_type if list(data_type.permutation or axes) == axes else None
    return None


def canonical_array(array: pa.Array, *, name: str) -> pa.Array:
    """Cast one array (no chunks) to its canonical type; the values stay what they are.

    Raises:
        JobError: code ``type_not_supported`` or ``value_does_not_fit_type`` with the column.
    """
    target = canonical_type(array.type)
    if target is None:
        raise JobError(
            "type_not_supported",
            f"The column {name!r} is of the type {array.type}; a column holds numbers, booleans, texts, moments or "
            "arrays of numbers of one shape.",
            place=name,
        )
    if array.type == target:
        return array
    if is_tensor(target):
        return pa.ExtensionArray.from_storage(target, array)
    try:
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        return array if array.type == target else array.cast(target, safe=not pa.types.is_decimal(array.type))
    except pa.ArrowInvalid as error:
        raise JobError(
            "value_does_not_fit_type",
            f"The column {name!r} of the type {array.type} has a value that {target} does not hold: {error}.",
            place=name,
        ) from error


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
    tree: dict[str, list[str]] = {}
    for index, name in enumerate(table.column_names):
        if name in tree:
            raise JobError("duplicate_columns", f"Two columns are named {name!r}; names of columns differ.", place=name)
        column = table.column(index)
        leaves = [
            canonical_array(one_array(column.slice(start, CHUNK_ROWS)), name=name)
            for start in range(0, max(1, len(column)), CHUNK_ROWS)
        ]
        tree[name] = [type_word(leaves[0].type), *(_digest_of_leaf(leaf) for leaf in leaves)]
    return tree


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
    """Return the values of a canonical column that is not text, with zero under what is missing and one NaN."""
    if is_tensor(array.type):
        values = tensor_values(array)
        if array.null_count:
            values = values.copy()
            values[pc.is_null(array).to_numpy(zero_copy_only=False)] = 0
    else:
        if pa.types.is_timestamp(array.type):
            array = array.cast(pa.int64())
        if pa.types.is_boolean(array.type):
            array = array.cast(pa.uint8())
        if array.null_count:
            array = pc.fill_null(array, 0)
        values = array.to_numpy(zero_copy_only=False)
    if values.dtype.kind == "f" and bool(np.isnan(values).any()):
        values = np.where(np.isnan(values), np.asarray(np.nan, dtype=values.dtype), values)
    return np.asarray(values, dtype=values.dtype.newbyteorder("<"))


def missing_rows(array: pa.Array) -> NDArray[np.bool_]:
    """Tell which rows of a canonical column are missing: null, or NaN in a number or anywhere in an array."""
    missing = np.array(pc.is_null(array, nan_is_null=pa.types.is_floating(array.type)).to_numpy(zero_copy_only=False))
    if is_tensor(array.type) and pa.types.is_floating(array.type.value_type):
        missing |= np.isnan(fixed_values(array).reshape(len(array), -1)).any(axis=1)
    return missing


def type_word(data_type: pa.DataType) -> str:
    """Return the word for a canonical type that goes into digests."""
    if is_tensor(data_type):
        return f"{data_type.value_type}[{','.join(map(str, data_type.shape))}]"
    return str(data_type)


def _digest_of_leaf(array: pa.Array) -> str:
    leaf = hashlib.sha256(len(array).to_bytes(8, "little"))
    valid = np.asarray(pc.is_valid(array).to_numpy(zero_copy_only=False))
    leaf.update(np.packbits(valid, bitorder="little").tobytes())
    if not pa.types.is_string(array.type):
        leaf.update(np.ascontiguousarray(fixed_values(array)).data.cast("B") if len(array) else b"")
        return leaf.hexdigest()
    array = pc.fill_null(array, "")
    lengths = pc.binary_length(array).to_numpy(zero_copy_only=False)
    leaf.update(np.asarray(lengths, dtype="<i8").tobytes())
    _, offsets, content = array.buffers()
    if content is not None and len(array):
        bounds = np.frombuffer(offsets, dtype=np.int32)
        leaf.update(memoryview(content)[int(bounds[array.offset]) : int(bounds[array.offset + len(array)])])
    return leaf.hexdigest()


def _is_number(data_type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(data_type) or pa.types.is_floating(data_type))


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array without chunks."""
    combined = column.combine_chunks()
    if not isinstance(combined, pa.ChunkedArray):
        return combined
    return combined.chunk(0) if combined.num_chunks == 1 else pa.concat_arrays(combined.chunks)


def _text(text: str) -> bytes:
    encoded = text.encode("utf-8")
    return len(encoded).to_bytes(8, "little") + encoded
