"""How an array of bytes lies in a Parquet file: as bytes.

Parquet has no arrays of one shape: as lists, each byte of a picture is a value of its own with two levels, which takes
20 times as long to write and 60 times as long to read. So a column of ``uint8`` arrays is stored as
``FIXED_LEN_BYTE_ARRAY`` under an Arrow extension type that knows the shape; whoever reads the file without this module
sees bytes. Canonical tables have arrays (``workers.datasets.canonical`` turns the one into the other, without a copy).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class StoredArrayType(pa.ExtensionType):  # type: ignore[misc]  # pyarrow has no types
    """Arrays of bytes of one shape, stored as bytes."""

    def __init__(self, shape: Sequence[int]) -> None:
        self.shape = tuple(shape)
        super().__init__(pa.binary(math.prod(shape)), "assay.array")

    def __arrow_ext_serialize__(self) -> bytes:
        return json.dumps(list(self.shape)).encode()

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: pa.DataType, serialized: bytes) -> Self:
        """Read the shape that a file states, which has to be that of its bytes."""
        try:
            shape = json.loads(serialized)
        except ValueError as error:
            raise pa.ArrowInvalid("The shape of an array is no JSON.") from error
        is_shape = isinstance(shape, list) and shape and all(type(size) is int and size > 0 for size in shape)
        if not is_shape or storage_type != pa.binary(math.prod(shape)):
            raise pa.ArrowInvalid(f"Arrays of the shape {shape} do not have {storage_type}.")
        return cls(shape)

    @property
    def canonical(self) -> pa.DataType:
        """The type that such a column has in a canonical table."""
        return pa.fixed_shape_tensor(pa.uint8(), list(self.shape))


pa.register_extension_type(StoredArrayType([1]))


def stored_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema in which a canonical table is written."""
    return pa.schema([pa.field(field.name, _stored_type(field.type)) for field in schema])


def as_stored(table: pa.Table) -> pa.Table:
    """Return a canonical table as it is written, its arrays of bytes not copied."""
    schema = stored_schema(table.schema)
    columns = [
        pa.chunked_array([_as_bytes(chunk, field.type) for chunk in column.chunks], field.type)
        if isinstance(field.type, StoredArrayType)
        else column
        for column, field in zip(table.columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def array_of(stored: pa.Array) -> pa.Array:
    """Return a stored column as arrays; nothing is copied."""
    content = stored.storage
    width = content.type.byte_width
    offset, count = content.offset * width, len(content) * width
    flat = pa.Array.from_buffers(pa.uint8(), count, [None, content.buffers()[1]], offset=offset)
    mask = pc.is_null(content) if content.null_count else None
    storage = pa.FixedSizeListArray.from_arrays(flat, width, mask=mask)
    return pa.ExtensionArray.from_storage(stored.type.canonical, storage)


def _stored_type(data_type: pa.DataType) -> pa.DataType:
    is_bytes = isinstance(data_type, pa.FixedShapeTensorType) and data_type.value_type == pa.uint8()
    return StoredArrayType(data_type.shape) if is_bytes else data_type


def _as_bytes(array: pa.Array, stored: StoredArrayType) -> pa.Array:
    storage = array.storage
    width = storage.type.list_size
    values = storage.values.slice(storage.offset * width, len(storage) * width)
    content = np.ascontiguousarray(values.to_numpy(zero_copy_only=False))
    # An array of booleans is a bit a row, as the marks of what is missing are.
    marks = pc.is_valid(array).buffers()[1] if array.null_count else None
    of_bytes = pa.Array.from_buffers(stored.storage_type, len(array), [marks, pa.py_buffer(content)])
    return pa.ExtensionArray.from_storage(stored, of_bytes)
