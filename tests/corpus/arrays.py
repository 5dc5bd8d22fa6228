"""NumPy files and safetensors: pickles inside arrays, and headers that lie."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.corpus.case import Benign, Case, Workshop
from tests.corpus.gadgets import GADGETS, code
from tests.corpus.pickles import assemble
from tests.corpus.zips import Entry, write_zip, zip_bytes

_LARGE = 2**40


def _npy(header: str, content: bytes, *, version: int = 1, length: int | None = None) -> bytes:
    padded = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    stated = len(padded) if length is None else length
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", stated) + padded + content


def _header(descr: str, shape: str, order: str = "False") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"


def _plain_array(values: Any = (1.0, 2.0)) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.asarray(values, dtype="float32"))
    return buffer.getvalue()


def _objects(shop: Workshop) -> bytes:
    gadget = GADGETS[shop.rng.choice(["system", "eval", "open", "numpy_executes", "partial"])](shop)
    return assemble([gadget], shop.rng, protocol=shop.rng.randint(2, 5))


def _npz(make: Callable[[Workshop], bytes]) -> Callable[[Workshop], Path]:
    """Return a maker of an .npz with one bad member among good ones."""

    def write(shop: Workshop) -> Path:
        entries = [Entry(f"{shop.word()}.npy", _plain_array()), Entry(f"x_{shop.word()}.npy", make(shop))]
        shop.rng.shuffle(entries)
        return write_zip(shop.path(".npz"), entries)

    return write


def _pickled(descr: str, version: int = 1) -> Callable[[Workshop], bytes]:
    return lambda shop: _npy(_header(descr, "(1,)"), _objects(shop), version=version)


def _said(
    header: str, content: bytes = bytes(8), *, version: int = 1, length: int | None = None
) -> Callable[[Workshop], bytes]:
    return lambda shop: _npy(header, content, version=version, length=length)


def _two_arrays(shop: Workshop) -> bytes:
    return _npy(_header("'<f4'", "(1,)"), bytes(4)) + _pickled("'|O'")(shop)


def _header_of_code(shop: Workshop) -> bytes:
    return _npy(_header("'<f4'", f"({code(shop)} and 1,)"), bytes(4))


def _deep_header(shop: Workshop) -> bytes:
    return _npy(_header("'<f4'", "(" * 4000 + ")" * 4000), b"", version=2)


def _bare_npy(shop: Workshop) -> Path:
    path = shop.path(".npy")
    path.write_bytes(_pickled("'|O'")(shop))
    return path


def _other_member(shop: Workshop) -> Path:
    entries = [Entry(f"{shop.word()}.npy", _plain_array()), Entry(f"{shop.word()}.pkl", _objects(shop))]
    return write_zip(shop.path(".npz"), entries)


def _member_is_a_pickle(shop: Workshop) -> bytes:
    return _objects(shop)


_ARRAY = (
    "ART-02.tensors",
    "ART-02.weights",
    "ART-02.truncated",
    "ART-02.too_large",
    "ART-01.pickle",
    "ART-02.unknown_entry",
)


def _npz_case(name: str, says: str, make: Callable[[Workshop], bytes], bite: str = "npy.two") -> Case:
    return Case(f"npz/{name}", says, _npz(make), _ARRAY, "npz", bite)


def tensors_file(header: str, content: bytes = b"", *, length: int | None = None) -> bytes:
    """Return a safetensors file with a header as it is."""
    raw = header.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + content


def _entry(begin: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> dict[str, Any]:
    shape = [(end - begin) // 4] if shape is None else shape
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def _safetensors(header: Any, content: bytes = bytes(range(16)), **options: Any) -> Callable[[Workshop], Path]:
    """Return a maker; a name ``@`` in the header becomes a word of the seed."""

    def write(shop: Workshop) -> Path:
        text = header if isinstance(header, str) else json.dumps(header)
        path = shop.path(".safetensors")
        path.write_bytes(tensors_file(text.replace("@", shop.word()), content, **options))
        return path

    return write


def _polyglot(shop: Workshop) -> Path:
    path = _safetensors({"@": _entry(0, 16)})(shop)
    content = path.read_bytes()
    entry = Entry("archive/data.pkl", _objects(shop))
    path.write_bytes(content + zip_bytes([entry], offset=len(content)))
    return path


_TENSORS = (
    "ART-02.tensors",
    "ART-02.json",
    "ART-02.schema",
    "ART-02.weights",
    "ART-02.too_large",
    "ART-02.truncated",
    "ART-02.entry_name",
    "ART-02.duplicate_name",
    "ART-02.suffix_data",
    "ART-02.archive",
    "ART-02.name_and_content",
    "ART-02.not_a_model",
)


def _tensors_case(name: str, says: str, make: Callable[[Workshop], Path], bite: str = "safetensors.two") -> Case:
    return Case(f"safetensors/{name}", says, make, _TENSORS, "safetensors", bite)


_HEADER = "safetensors.header"
_TWICE = '{"@":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"@":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}'
_ESCAPED = (
    '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\\u0061":{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}'
)

CASES: tuple[Case, ...] = (
    _npz_case("objects", "An array of objects is a pickle.", _pickled("'|O'"), "numpy"),
    _npz_case("objects_in_fields", "A field of a record is an object.", _pickled("[('a', '|O')]"), "numpy"),
    _npz_case("objects_in_version_2", "The same in format version 2.", _pickled("'|O'", 2), "numpy"),
    _npz_case("objects_in_version_3", "The same in format version 3.", _pickled("'|O8'", 3), "numpy"),
    _npz_case("objects_in_subarrays", "Objects in a sub-array of a field.", _pickled("[('a', '|O', (1,))]"), "numpy"),
    Case(
        "npz/npy",
        "An .npy alone is a pickle.",
        _bare_npy,
        (*_ARRAY, "ART-02.not_a_model", "ART-02.name_and_content"),
        "npz",
        "numpy",
    ),
    Case(
        "npz/other_member",
        "A pickle beside the arrays.",
        _other_member,
        (*_ARRAY, "ART-02.name_and_content"),
        "npz",
        "each.pickle",
    ),
    _npz_case("member", "A member is a pickle under the name of an array.", _member_is_a_pickle, "each.array"),
    _npz_case("shape_bomb", "The shape needs terabytes.", _said(_header("'<f8'", f"({_LARGE},)")), "numpy.room"),
    _npz_case("overflow", "The size overflows 64 bits.", _said(_header("'<f8'", f"({_LARGE}, {_LARGE})"))),
    _npz_case("negative", "A size is negative.", _said(_header("'<f4'", "(-2,)"))),
    _npz_case("short", "The content is shorter than its shape.", _said(_header("'<f4'", "(20,)"))),
    _npz_case("long", "The content goes on behind its shape, with objects.", _two_arrays, "each.array"),
    _npz_case(
        "header_twice",
        "The header has a key twice.",
        lambda shop: _npy("{'descr': '<f4', 'descr': '|O', 'fortran_order': False, 'shape': (1,)}", _objects(shop)),
        "numpy",
    ),
    _npz_case("header_code", "The header is an expression.", _header_of_code, "npy.eval"),
    _npz_case(
        "header_length",
        "The header is said to be longer than the file.",
        _said(_header("'<f4'", "(2,)"), length=60_000),
    ),
    _npz_case("header_depth", "The header nests 4,000 brackets.", _deep_header),
    _npz_case("version", "A format version that does not exist.", _said(_header("'<f4'", "(2,)"), version=9)),
    _npz_case("dtype", "Elements of 2 GiB each.", _said(_header("'|S2147483647'", "(1000,)")), "numpy.room"),
    _tensors_case("overlap", "Two tensors share bytes.", _safetensors({"a": _entry(0, 16), "@": _entry(8, 16)})),
    _tensors_case("gap", "Bytes that belong to no tensor.", _safetensors({"a": _entry(0, 4), "@": _entry(12, 16)})),
    _tensors_case("behind", "Bytes behind the last tensor.", _safetensors({"@": _entry(0, 8)})),
    _tensors_case("beside", "A tensor ends behind the file.", _safetensors({"@": _entry(0, 4096)})),
    _tensors_case("backwards", "A tensor ends before it begins.", _safetensors({"@": _entry(16, 15, [4])})),
    _tensors_case("negative", "An offset is negative.", _safetensors({"@": _entry(-16, 0, [4])})),
    _tensors_case("shape", "The shape needs more than the bytes.", _safetensors({"@": _entry(0, 16, [5])})),
    _tensors_case("shape_bomb", "The shape overflows.", _safetensors({"@": _entry(0, 16, [_LARGE, _LARGE])})),
    _tensors_case("dtype", "A dtype that does not exist.", _safetensors({"@": _entry(0, 16, dtype="OBJECT")})),
    _tensors_case("twice", "A name stands twice.", _safetensors(_TWICE)),
    _tensors_case("escaped", "A name stands twice, once escaped.", _safetensors(_ESCAPED)),
    _tensors_case(
        "length", "The header is longer than the file.", _safetensors({"@": _entry(0, 16)}, length=_LARGE), _HEADER
    ),
    _tensors_case(
        "depth", "The header nests 50,000 lists.", _safetensors('{"@":' + "[" * 50_000 + "]" * 50_000 + "}"), _HEADER
    ),
    _tensors_case(
        "number",
        "A size is no whole number.",
        _safetensors({"@": {"dtype": "F32", "shape": [4.0], "data_offsets": [0, 16]}}),
    ),
    _tensors_case(
        "truth",
        "A size is a truth value.",
        _safetensors({"@": {"dtype": "F32", "shape": [4, True], "data_offsets": [0, 16]}}),
    ),
    _tensors_case(
        "metadata",
        "The metadata hold more than texts.",
        _safetensors({"@": _entry(0, 16), "__metadata__": {"a": {"b": 1}}}),
    ),
    _tensors_case(
        "key",
        "A tensor has a key in capitals, which readers without case take for the one that they know.",
        _safetensors({"@": _entry(0, 8) | {"DATA_OFFSETS": [8, 16]}, "last": _entry(8, 16)}),
    ),
    _tensors_case("polyglot", "The file is a zip archive, too.", _polyglot, "zip.directory"),
)


def _benign_npz(shop: Workshop) -> Path:
    path = shop.path(".npz")
    np.savez(path, **{shop.word(): np.arange(6, dtype="float32").reshape(2, 3), "step": np.int64(3)})
    return path


def _benign_compressed(shop: Workshop) -> Path:
    path = shop.path(".npz")
    np.savez_compressed(path, zeros=np.zeros(1_000_000, dtype="float32"), fortran=np.asfortranarray(np.ones((3, 4))))
    return path


BENIGN: tuple[Benign, ...] = (
    Benign("npz/plain", "Arrays as numpy.savez writes them.", _benign_npz, "npz"),
    Benign("npz/compressed", "Zeros, which compress 1,000 to 1.", _benign_compressed, "npz"),
    Benign("safetensors/plain", "One tensor.", _safetensors({"@": _entry(0, 16)}), "safetensors"),
    Benign(
        "safetensors/padded",
        "Two tensors, metadata, and the padding that the reference writer makes.",
        _safetensors(json.dumps({"__metadata__": {"format": "pt"}, "a": _entry(0, 8), "@": _entry(8, 16)}) + "   "),
        "safetensors",
    ),
)
