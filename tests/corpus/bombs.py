"""Files that exhaust time or memory: small to send, large to read."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.corpus.arrays import tensors_file
from tests.corpus.case import Benign, Case, Workshop
from tests.corpus.checkpoints import bare_pickle, tensor, zip_checkpoint, zip_entries
from tests.corpus.keras_files import entries_of, written
from tests.corpus.pickles import Call, Persistent, Raw, call, named, plain
from tests.corpus.zips import Entry, write_zip

_MIB = 1024**2
_GIB = 1024**3


def _zeros(mebibytes: int) -> bytes:
    """Return a deflate stream of zeros, made of one block that is repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    first = packer.compress(bytes(_MIB)) + packer.flush(zlib.Z_FULL_FLUSH)
    return first * mebibytes + packer.flush()


def _inside_keras(stored: bytes, size: int) -> Callable[[Workshop], Path]:
    def make(shop: Workshop) -> Path:
        entries = entries_of(shop.samples / "model.keras")
        listed = [Entry(name, content) for name, content in entries.items() if name != "model.weights.h5"]
        bomb = Entry("model.weights.h5", b"", deflated=True, stored=stored, size=size, checksum=0)
        return write_zip(shop.path(".keras"), [*listed, bomb])

    return make


def _total(shop: Workshop) -> Path:
    """12 GiB in 400 MiB pieces, each of which says its size truly."""
    stored = _zeros(16)
    entries = [
        Entry(f"m/data/{number}", b"", deflated=True, stored=stored, size=4 * _GIB - 2, checksum=0)
        for number in range(3)
    ]
    return write_zip(shop.path(".pt", ".zip"), [*zip_entries(b"N.", shop.rng), *entries])


def _many(shop: Workshop) -> Path:
    path = shop.path(".pt", ".npz", ".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100_000):
            archive.writestr(zipfile.ZipInfo(f"m/data/{number}"), b"")
    return path


def _deep_json(shop: Workshop) -> Path:
    entries = entries_of(shop.samples / "model.keras")
    depth = shop.rng.randint(20_000, 60_000)
    opened, closed = shop.rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    value = opened * depth + b"1" + closed * depth
    return written(
        shop,
        entries | {"config.json": entries["config.json"].replace(b'"trainable": true', b'"trainable": ' + value, 1)},
    )


def _wide_json(shop: Workshop) -> Path:
    entries = entries_of(shop.samples / "model.keras")
    return written(shop, entries | {"config.json": b'{"a": [' + b"0," * (17 * _MIB) + b"0]}"})


def _long_number(shop: Workshop) -> Path:
    entries = entries_of(shop.samples / "model.keras")
    digits = b"9" * shop.rng.randint(1_000_000, 2_000_000)
    return written(
        shop, entries | {"config.json": entries["config.json"].replace(b'"units": 8', b'"units": ' + digits, 1)}
    )


def _long_text(shop: Workshop) -> Path:
    entries = entries_of(shop.samples / "model.keras")
    return written(shop, entries | {"metadata.json": json.dumps({"keras_version": "3." + "1" * _MIB}).encode()})


def _stated_text(opcode: bytes, size: int) -> Callable[[Workshop], Path]:
    """Return a maker of a pickle whose opcode states more bytes than there are."""

    def make(shop: Workshop) -> Path:
        stated = struct.pack("<Q", size) if opcode in (b"\x8d", b"\x8e", b"\x96") else struct.pack("<I", size)
        return zip_checkpoint(shop, Raw(opcode + stated + b"short"), protocol=4)

    return make


def _stated_memo(shop: Workshop) -> Path:
    # The C unpickler makes room for every index up to the one that is stated.
    return zip_checkpoint(shop, Raw(b"Nr" + struct.pack("<I", 2**31 - 1)), protocol=4)


def _laughs(shop: Workshop) -> Path:
    # Each tuple holds the one before twice: a walk, a hash or a print of it never ends.
    doubled = b"".join(b"2\x86" for _ in range(shop.rng.randint(60, 200)))
    return zip_checkpoint(shop, Raw(b"}(N" + doubled + b"Nu"))


def _deep_pickle(shop: Workshop) -> Path:
    depth = shop.rng.randint(100_000, 300_000)
    return zip_checkpoint(shop, [tensor(), Raw(b"]" * depth + b"a" * (depth - 1))])


def _marks(shop: Workshop) -> Path:
    return bare_pickle(shop, plain(Raw(b"(" * 8_000_000 + b"t")))


def _bytearray(shop: Workshop) -> Path:
    return zip_checkpoint(shop, {shop.word(): call("builtins:bytearray", 2**40)})


def _array_shape(shop: Workshop) -> Path:
    return zip_checkpoint(shop, {shop.word(): call("numpy:ndarray", (2**20, 2**20))})


def _encoded(shop: Workshop) -> Path:
    packed = zlib.compress(bytes(64 * _MIB), 9)
    return zip_checkpoint(shop, {shop.word(): call("_codecs:decode", packed, "zlib")})


def _expanded_tensor(shop: Workshop) -> Path:
    # One number, seen as a million million of them: stride 0.
    storage = Persistent(("storage", named("torch:FloatStorage"), "0", "cpu", 4))
    value = Call(
        named("torch._utils:_rebuild_tensor_v2"),
        (storage, 0, (2**20, 2**20), (0, 0), False, call("collections:OrderedDict")),
    )
    return zip_checkpoint(shop, {shop.word(): value})


def _beside_storage(shop: Workshop) -> Path:
    return zip_checkpoint(shop, {shop.word(): tensor(count=2**40)})


def _integer(shop: Workshop) -> Path:
    digits = b"9" * 3_000_000
    return zip_checkpoint(shop, Raw(b"L" + digits + b"L\n"))


def _header(shop: Workshop) -> Path:
    path = shop.path(".safetensors")
    path.write_bytes(
        tensors_file('{"a":{"dtype":"F32","shape":[' + "1," * 4_000_000 + '1],"data_offsets":[0,4]}}', bytes(4))
    )
    return path


def _many_tensors(shop: Workshop) -> Path:
    names = ",".join(f'"{number}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}' for number in range(300_000))
    path = shop.path(".safetensors")
    path.write_bytes(tensors_file("{" + names + "}"))
    return path


_SIZE = ("ART-02.too_large",)
_PICKLE = ("ART-01.pickle", "ART-02.pickle", "ART-02.too_large", "ART-02.truncated", "ART-02.tensors", "ART-02.weights")
_TEXT = ("ART-02.json", "ART-02.too_large", "ART-02.schema")
_TENSORS = (*_TEXT, "ART-02.tensors", "ART-02.weights", "ART-02.safetensors")


def _case(
    name: str, says: str, make: Callable[[Workshop], Path], rules: tuple[str, ...], format: str, bite: str
) -> Case:
    return Case(f"bomb/{name}", says, make, rules, format, bite)


_LYING = (*_SIZE, "ART-02.checksum", "ART-02.header_mismatch")
CASES: tuple[Case, ...] = (
    _case("ratio", "1 GiB that says it is 1 MiB.", _inside_keras(_zeros(1024), _MIB), _LYING, "keras", "zip.inflate"),
    _case(
        "stated",
        "An entry that says it is 4 GiB.",
        _inside_keras(_zeros(4), 4 * _GIB - 2),
        (*_LYING, "ART-02.archive"),
        "keras",
        "zip.room",
    ),
    _case("total", "Three entries of 4 GiB.", _total, _SIZE, "state_dict", "zip.room"),
    _case("many", "100,000 entries.", _many, (*_SIZE, "ART-02.archive"), "", "zip.list"),
    _case("deep_json", "Tens of thousands of brackets.", _deep_json, _TEXT, "keras", "json"),
    _case("wide_json", "17 million numbers.", _wide_json, _TEXT, "keras", "json"),
    _case("long_number", "A number of a million digits.", _long_number, _TEXT, "keras", "json"),
    _case("long_text", "A version of a million digits.", _long_text, _TEXT, "keras", "json"),
    _case(
        "text",
        "A text of 4 GiB that is not there.",
        _stated_text(b"X", 2**32 - 1),
        _PICKLE,
        "state_dict",
        "pickle.copy",
    ),
    _case(
        "bytes",
        "Bytes of 1 TiB that are not there.",
        _stated_text(b"\x8e", 2**40),
        _PICKLE,
        "state_dict",
        "pickle.copy",
    ),
    _case(
        "bytearray_opcode",
        "A bytearray of 1 TiB that is not there.",
        _stated_text(b"\x96", 2**40),
        _PICKLE,
        "state_dict",
        "pickle.copy",
    ),
    _case("memo", "A memo of 16 GiB.", _stated_memo, _PICKLE, "state_dict", "pickle.copy"),
    _case("laughs", "A key whose hash takes for ever.", _laughs, _PICKLE, "state_dict", "pickle.copy"),
    _case("deep_pickle", "Lists in one another, 100,000 deep.", _deep_pickle, _PICKLE, "state_dict", "pickle.copy"),
    _case("marks", "8 million marks.", _marks, (*_PICKLE, "ART-03.format"), "state_dict", "pickle.copy"),
    _case("bytearray", "A call that makes 1 TiB.", _bytearray, _PICKLE, "state_dict", "torch.copy"),
    _case("array_shape", "An array of 8 TiB.", _array_shape, _PICKLE, "state_dict", "torch.copy"),
    _case("encoded", "Bytes that a codec unpacks.", _encoded, _PICKLE, "state_dict", "torch.copy"),
    _case("expanded", "One number, expanded to 4 TiB.", _expanded_tensor, _PICKLE, "state_dict", "torch.copy"),
    _case("storage", "A storage of 4 TiB that is not there.", _beside_storage, _PICKLE, "state_dict", "pickle.copy"),
    _case("integer", "An integer of 3 million digits.", _integer, _PICKLE, "state_dict", "pickle.copy"),
    _case("header", "A shape of 4 million sizes.", _header, _TENSORS, "safetensors", "safetensors.header"),
    _case("many_tensors", "300,000 tensors.", _many_tensors, _TENSORS, "safetensors", "safetensors.header"),
)


def _zeros_that_are_there(shop: Workshop) -> Path:
    """2 MiB of zeros compress 1,000 to 1, and are no bomb."""
    pickled = plain({shop.word(): tensor(count=2**19)})
    entries = zip_entries(pickled, shop.rng, storage=bytes(2 * _MIB))
    return write_zip(shop.path(".pt"), entries)


BENIGN: tuple[Benign, ...] = (Benign("bomb/zeros", "2 MiB of zeros.", _zeros_that_are_there, "state_dict"),)
