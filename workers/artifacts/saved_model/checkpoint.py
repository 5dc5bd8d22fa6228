"""The checkpoint of a SavedModel: an index that says where in which file each tensor lies, and files of raw bytes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from workers.artifacts.findings import RefusalError, refusal, shown
from workers.artifacts.limits import Limits
from workers.artifacts.saved_model.crc32c import crc32c, masked
from workers.artifacts.saved_model.table import read_table, write_table
from workers.artifacts.saved_model.tensors import STRING, shape_of, width_of
from workers.artifacts.saved_model.wire import Message, encode, parse, read_varint
from workers.artifacts.source import Container

INDEX = "variables/variables.index"
_SHARD = re.compile(r"variables/variables\.data-([0-9]{5})-of-([0-9]{5})")
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
_MAX_INDEX_BYTES = 64 * 1024**2
_MAX_STRINGS_BYTES = 256 * 1024**2


@dataclass(frozen=True)
class Stored:
    """One tensor of a checkpoint: of which type and shape, and which bytes of which file it is."""

    name: str
    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size_bytes: int
    checksum: int


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        shards: the names of the files with the tensors, as the archive has them.
        index: what ``variables.index`` says, written anew.
    """

    tensors: Mapping[str, Stored]
    shards: tuple[str, ...]
    index: bytes = field(repr=False)


def is_part(name: str) -> bool:
    """Tell whether an entry is a part of a checkpoint."""
    return name == INDEX or _SHARD.fullmatch(name) is not None


def read_checkpoint(archive: Container, inner: Mapping[str, str], limits: Limits) -> Checkpoint:
    """Return a checkpoint whose tensors fill its files, each byte once, and have their checksums.

    Args:
        inner: the names of entries without the root folder -> those of the archive.

    Raises:
        RefusalError: gaps, overlaps, sizes that do not fit, a checksum that does not hold, an object that needs code.
    """
    rows = read_table(archive.read(inner[INDEX], _MAX_INDEX_BYTES), INDEX)
    messages: list[tuple[bytes, bytes]] = []
    tensors: dict[str, Stored] = {}
    shard_count = 0
    for number, (key, content) in enumerate(rows.items()):
        if number == 0:
            header = _read_header(key, content)
            shard_count = header["num_shards"]
            messages.append((key, encode("BundleHeaderProto", header)))
        else:
            stored, message = _read_entry(key, content, shard_count)
            tensors[stored.name] = stored
            messages.append((key, encode("BundleEntryProto", message)))
    if not shard_count:
        raise _refusal("The index has no header.", INDEX)
    if len(tensors) > limits.tensors:
        detail = f"The checkpoint has {len(tensors):,} tensors; the limit is {limits.tensors:,}."
        raise refusal("ART-02.too_large", detail, INDEX)
    shards = _shards(inner, shard_count)
    for shard, name in enumerate(shards):
        mine = sorted(
            (one for one in tensors.values() if one.shard == shard), key=lambda one: (one.offset, one.size_bytes)
        )
        _read_shard(archive, inner[name], mine)
    if _OBJECT_GRAPH not in tensors:
        raise _refusal(f"The checkpoint has no {_OBJECT_GRAPH}; export the model with TensorFlow 2.", INDEX)
    graph = _object_graph(archive, inner[shards[tensors[_OBJECT_GRAPH].shard]], tensors[_OBJECT_GRAPH])
    _check_object_graph(graph, tensors)
    return Checkpoint(tensors, shards, write_table(messages))


def _read_header(key: bytes, content: bytes) -> Message:
    header = parse(content, "BundleHeaderProto", f"{INDEX}: header")
    if key or header.get("endianness", 0) or not 1 <= header.get("num_shards", 0) <= 99_999:
        raise _refusal("The index begins with a header of little-endian files.", INDEX)
    return header


def _read_entry(key: bytes, content: bytes, shard_count: int) -> tuple[Stored, Message]:
    try:
        name = key.decode()
    except UnicodeDecodeError:
        raise _refusal(f"The name {shown(key)} is not UTF-8.", INDEX) from None
    place = f"{INDEX}: {name}"
    message = parse(content, "BundleEntryProto", place)
    if "slices" in message:
        raise _refusal("The tensor is cut into slices; export the model from one device.", place)
    dtype, shape = message.get("dtype", 0), shape_of(message.get("shape", {}), place)
    stored = Stored(
        name,
        dtype,
        shape,
        message.get("shard_id", 0),
        message.get("offset", 0),
        message.get("size", 0),
        int.from_bytes(message.get("crc32c", b""), "little"),
    )
    needed = math.prod(shape) * width_of(dtype, place)
    if not 0 <= stored.shard < shard_count or stored.offset < 0 or stored.size_bytes < 0:
        raise _refusal("The tensor lies in no file.", place)
    if dtype != STRING and stored.size_bytes != needed:
        raise _refusal(
            f"A tensor of shape {list(shape)} needs {needed:,} bytes; {stored.size_bytes:,} are stated.", place
        )
    if dtype == STRING and stored.size_bytes < math.prod(shape) + 4:
        raise _refusal(f"{math.prod(shape):,} strings need more than {stored.size_bytes:,} bytes.", place)
    return stored, message


def _shards(inner: Mapping[str, str], count: int) -> tuple[str, ...]:
    names = tuple(f"variables/variables.data-{number:05d}-of-{count:05d}" for number in range(count))
    found = sorted(name for name in inner if _SHARD.fullmatch(name))
    if found != sorted(names):
        raise refusal(
            "ART-02.missing_entry", f"The index is about {count} files, {names[0]} first; they differ.", INDEX
        )
    return names


def _read_shard(archive: Container, entry: str, tensors: list[Stored]) -> None:
    """Read a file once, tensor by tensor."""
    end = 0
    for stored in tensors:
        if stored.offset != end:
            detail = (
                f"The tensor {shown(stored.name)} begins at byte {stored.offset:,}; the one before it ends at {end:,}."
            )
            raise _refusal(detail, f"{entry}: byte {end:,}")
        end += stored.size_bytes
    if end != archive.entries[entry].size_bytes:
        detail = f"The tensors end at byte {end:,} and the file at {archive.entries[entry].size_bytes:,}."
        raise _refusal(detail, f"{entry}: byte {end:,}")
    bytes_left = _Pieces(archive.chunks(entry))
    for stored in tensors:
        if stored.dtype == STRING:
            checksum = _check_strings(stored, bytes_left.take_whole(stored), entry)
        else:
            checksum = 0
            for piece in bytes_left.take(stored.size_bytes):
                checksum = crc32c(piece, checksum)
        if masked(checksum) != stored.checksum:
            place = f"{entry}: byte {stored.offset:,}"
            raise refusal("ART-02.checksum", f"The tensor {shown(stored.name)} does not have its checksum.", place)


class _Pieces:
    """The bytes of an entry, taken in lengths that the taker chooses."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def take(self, size: int) -> Iterator[memoryview]:
        while size:
            if not self._rest:
                self._rest = memoryview(next(self._pieces))
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            yield piece

    def take_whole(self, stored: Stored) -> bytes:
        if stored.size_bytes > _MAX_STRINGS_BYTES:
            detail = f"The strings take {stored.size_bytes:,} bytes; the limit is {_MAX_STRINGS_BYTES:,}."
            raise refusal("ART-02.too_large", detail, f"{INDEX}: {stored.name}")
        return b"".join(self.take(stored.size_bytes))


def _check_strings(stored: Stored, content: bytes, entry: str) -> int:
    """Return the checksum of a tensor of strings: their lengths as numbers, the checksum of these, then the strings."""
    place = f"{entry}: byte {stored.offset:,}"
    lengths, position = _string_lengths(content, math.prod(stored.shape), place)
    checksum = 0
    for length in lengths:
        checksum = crc32c(length.to_bytes(4 if length < 2**32 else 8, "little"), checksum)
    of_lengths = content[position : position + 4]
    if int.from_bytes(of_lengths, "little") != masked(checksum):
        raise refusal("ART-02.checksum", f"The lengths of {shown(stored.name)} do not have their checksum.", place)
    if position + 4 + sum(lengths) != len(content):
        raise _refusal("The strings do not end where the tensor ends.", place)
    return crc32c(memoryview(content)[position:], checksum)


def _string_lengths(content: bytes, count: int, place: str) -> tuple[list[int], int]:
    lengths, position = [], 0
    for _ in range(count):
        try:
            length, position = read_varint(content, position, len(content))
        except ValueError as error:
            raise _refusal(f"In the lengths of the strings {error}.", place) from None
        lengths.append(length)
    return lengths, position


def _object_graph(archive: Container, entry: str, stored: Stored) -> Message:
    """Return the message in which the checkpoint says which of its tensors is which object's."""
    if stored.dtype != STRING or stored.shape:
        raise _refusal(f"{_OBJECT_GRAPH} is one string.", INDEX)
    pieces = _Pieces(archive.chunks(entry))
    for _ in pieces.take(stored.offset):
        pass
    content = pieces.take_whole(stored)
    _, position = _string_lengths(content, 1, entry)
    return parse(content[position + 4 :], "TrackableObjectGraph", f"{entry}: {_OBJECT_GRAPH}")


def _check_object_graph(graph: Message, tensors: Mapping[str, Stored]) -> None:
    nodes = graph.get("nodes", [])
    for number, node in enumerate(nodes):
        place = f"{_OBJECT_GRAPH}: object {number}"
        if "registered_saver" in node:
            detail = f"The object is restored by {shown(node['registered_saver'].get('name', ''))}, which is code."
            raise refusal("ART-01.custom_object", detail, place)
        for child in node.get("children", ()):
            if not 0 <= child.get("node_id", 0) < len(nodes):
                raise _refusal(f"There is no object {child['node_id']}.", place)
        for attribute in node.get("attributes", ()):
            key = attribute.get("checkpoint_key", "")
            # A lookup table is stored as two tensors.
            if key not in tensors and not {f"{key}-keys", f"{key}-values"} <= set(tensors):
                raise _refusal(f"There is no tensor {shown(key)}.", place)


def _refusal(detail: str, place: str) -> RefusalError:
    return refusal("ART-02.checkpoint", detail, place)
