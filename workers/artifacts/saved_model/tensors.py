"""Tensors and shapes as TensorFlow's messages state them: every value there, or one that is repeated within a limit."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from workers.artifacts.findings import RefusalError, refusal
from workers.artifacts.saved_model.wire import Message

STRING = 7

#: Number of a data type -> its width in bytes and the field with its values; of a complex number there are two a value.
_TYPES: dict[int, tuple[int, str]] = {
    1: (4, "float_val"),
    2: (8, "double_val"),
    **dict.fromkeys((3, 13), (4, "int_val")),
    **dict.fromkeys((4, 6, 11, 12), (1, "int_val")),
    **dict.fromkeys((5, 15, 16, 17), (2, "int_val")),
    STRING: (1, "string_val"),
    8: (8, "scomplex_val"),
    9: (8, "int64_val"),
    10: (1, "bool_val"),
    **dict.fromkeys((14, 19), (2, "half_val")),
    18: (16, "dcomplex_val"),
    22: (4, "uint32_val"),
    23: (8, "uint64_val"),
    **dict.fromkeys((24, 25), (1, "float8_val")),
}
_MAX_RANK = 254
#: What all tensors of a file may make of values that are not there: a small message is no large tensor.
_MAX_REPEATED_BYTES = 256 * 1024**2


def width_of(dtype: int, place: str) -> int:
    """Return the bytes that a value takes in a checkpoint; those of a string are not known.

    Raises:
        RefusalError: not a type of plain values.
    """
    if dtype not in _TYPES:
        raise refusal("ART-02.graph", f"The data type {dtype} is not one of plain values.", place)
    return _TYPES[dtype][0]


def shape_of(message: Message, place: str) -> tuple[int, ...]:
    """Return a shape in which every size is known.

    Raises:
        RefusalError: a size is open, or their product is beyond any file.
    """
    sizes = tuple(size.get("size", 0) for size in message.get("dim", ()))
    if message.get("unknown_rank") or len(sizes) > _MAX_RANK or any(size < 0 for size in sizes):
        raise refusal("ART-02.graph", "A tensor with values has a shape of which not every size is known.", place)
    if math.prod(sizes) >= 2**48:
        raise refusal("ART-02.too_large", f"A tensor of the shape {list(sizes)[:8]} is beyond any file.", place)
    return sizes


@dataclass
class TensorCheck:
    """Checks the tensors of one file, and how much they make of values that are repeated."""

    repeated_bytes: int = field(default=0, init=False)

    def check(self, tensor: Message, place: str) -> None:
        """Refuse a tensor whose content is not what type and shape say.

        Raises:
            RefusalError: too many values, bytes that do not fit, values of another type, or a bomb of repetition.
        """
        dtype = tensor.get("dtype", 0)
        width = width_of(dtype, place)
        count = math.prod(shape_of(tensor.get("tensor_shape", {}), place))
        values = _TYPES[dtype][1]
        unknown = set(tensor) - {"dtype", "tensor_shape", "version_number", "tensor_content", values}
        if unknown or ("tensor_content" in tensor and values in tensor):
            raise _refusal("A tensor has values of another type, or has them twice.", place)
        if tensor.get("tensor_content"):
            if dtype == STRING or len(tensor["tensor_content"]) != count * width:
                raise _refusal(f"A tensor of {count:,} values has {len(tensor['tensor_content']):,} bytes.", place)
            return
        given = _count(tensor, values)
        if given > count:
            raise _refusal(f"A tensor of {count:,} values is given {given:,}.", place)
        if given < count:
            self.repeated_bytes += (count - given) * max(
                width, len(tensor[values][-1]) if given and dtype == STRING else 0
            )
            if self.repeated_bytes > _MAX_REPEATED_BYTES:
                detail = f"A tensor makes {count:,} values of {given:,} that are there; together such tensors may make "
                raise refusal("ART-02.too_large", f"{detail}{_MAX_REPEATED_BYTES:,} bytes.", place)


def _count(tensor: Message, values: str) -> int:
    if values not in tensor:
        return 0
    content = tensor[values]
    if values in ("string_val", "float8_val"):
        return len(content)
    count = len(content.values)
    return count // 2 if values in ("scomplex_val", "dcomplex_val") else count


def _refusal(detail: str, place: str) -> RefusalError:
    return refusal("ART-02.graph", detail, place)
