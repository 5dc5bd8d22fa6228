"""The types of numbers that tensors have: their names, their sizes, and what safetensors and NumPy call them.

Names are those of PyTorch, which NumPy shares where it has the type.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Dtype:
    """One type of number.

    Attributes:
        code: its name in safetensors; empty where safetensors has none and it is written as pairs of real numbers.
        size_bytes: of one value.
        numpy: NumPy's code without the byte order; empty for a type that NumPy has not.
        real: of a complex type, the type of its two halves.
    """

    name: str
    code: str
    size_bytes: int
    numpy: str = ""
    real: str = ""

    @property
    def swapped_bytes(self) -> int:
        """How many bytes stand in the other order in a file of the other byte order."""
        return self.size_bytes // 2 if self.real else self.size_bytes


#: By name.
DTYPES: dict[str, Dtype] = {
    dtype.name: dtype
    for dtype in (
        Dtype("float64", "F64", 8, "f8"),
        Dtype("float32", "F32", 4, "f4"),
        Dtype("float16", "F16", 2, "f2"),
        Dtype("bfloat16", "BF16", 2),
        Dtype("float8_e4m3fn", "F8_E4M3", 1),
        Dtype("float8_e4m3fnuz", "F8_E4M3FNUZ", 1),
        Dtype("float8_e5m2", "F8_E5M2", 1),
        Dtype("float8_e5m2fnuz", "F8_E5M2FNUZ", 1),
        Dtype("float8_e8m0fnu", "F8_E8M0", 1),
        Dtype("int64", "I64", 8, "i8"),
        Dtype("int32", "I32", 4, "i4"),
        Dtype("int16", "I16", 2, "i2"),
        Dtype("int8", "I8", 1, "i1"),
        Dtype("uint64", "U64", 8, "u8"),
        Dtype("uint32", "U32", 4, "u4"),
        Dtype("uint16", "U16", 2, "u2"),
        Dtype("uint8", "U8", 1, "u1"),
        Dtype("bool", "BOOL", 1, "b1"),
        Dtype("complex64", "C64", 8, "c8", "float32"),
        Dtype("complex128", "", 16, "c16", "float64"),
        Dtype("complex32", "", 4, "", "float16"),
    )
}

#: By safetensors' name.
BY_CODE = {dtype.code: dtype for dtype in DTYPES.values() if dtype.code}

#: By NumPy's code without the byte order.
BY_NUMPY = {dtype.numpy: dtype for dtype in DTYPES.values() if dtype.numpy}

#: torch's storages: a name of ``DTYPES``, what a quantised tensor's whole numbers are, or empty for untyped bytes.
STORAGES: dict[str, str] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "UntypedStorage": "",
}

#: What the values of a quantised tensor are stored as.
QUANTISED = {"qint8": "int8", "quint8": "uint8", "qint32": "int32"}


def size_of(name: str) -> int:
    """Return the bytes of one value of a storage's type; an untyped storage counts bytes."""
    return DTYPES[QUANTISED.get(name, name)].size_bytes if name else 1
