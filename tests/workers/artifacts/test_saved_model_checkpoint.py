"""The checkpoint beside a graph: an index without slack, and tensors that fill their files and have their checksums."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.workers.artifacts.crafting import outcome
from tests.workers.artifacts.saved_models import ACCEPTED, changed_entry, exported, tensorflow
from workers.artifacts.findings import Finding
from workers.artifacts.inspection import inspect
from workers.artifacts.saved_model.crc32c import crc32c, masked
from workers.artifacts.saved_model.table import read_table, write_table
from workers.artifacts.saved_model.wire import encode, parse

SHARD = "variables/variables.data-00000-of-00001"


def plain_crc(content: bytes) -> int:
    """The definition, bit by bit."""
    remainder = 0xFFFFFFFF
    for byte in content:
        remainder ^= byte
        for _ in range(8):
            remainder = remainder >> 1 ^ (0x82F63B78 if remainder & 1 else 0)
    return remainder ^ 0xFFFFFFFF


@pytest.mark.parametrize("size", [0, 1, 9, 255, 256, 257, 511, 512, 513, 5000])
def test_the_checksum_is_the_one_that_is_defined(size: int) -> None:
    content = random.Random(size).randbytes(size)
    assert crc32c(content) == plain_crc(content)
    assert crc32c(content[size // 3 :], crc32c(content[: size // 3])) == plain_crc(content)


def test_the_checksum_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283


@pytest.mark.parametrize("count", [1, 2, 16, 17, 100])
def test_a_table_is_read_as_it_was_written(count: int) -> None:
    rows = {f"{number:05d}".encode(): b"value" * (number % 3) for number in range(count)}
    assert read_table(write_table(rows.items()), "index") == rows


def refused(content: bytes, words: str) -> Finding:
    value, finding = outcome(lambda: read_table(content, "index"))
    assert value is None
    assert finding is not None
    assert words in finding.detail, finding
    return finding


def raw_table(block: bytes, *, compression: int = 0, gap: bytes = b"", separator: bytes = b"\xff") -> bytes:
    """Write a table around one raw block."""

    def whole(content: bytes, kind: int = 0) -> bytes:
        return content + bytes([kind]) + struct.pack("<I", masked(crc32c(content + bytes([kind]))))

    def handle(offset: int, size: int) -> bytes:
        out = b""
        for number in (offset, size):
            out += bytes([number]) if number < 128 else bytes([number % 128 + 128, number // 128])
        return out

    data = whole(block, compression) + gap
    meta = whole(struct.pack("<2I", 0, 1))
    value = handle(0, len(block))
    index_block = b"\0" + bytes([len(separator), len(value)]) + separator + value + struct.pack("<2I", 0, 1)
    footer = handle(len(data), 8) + handle(len(data) + len(meta), len(index_block))
    return data + meta + whole(index_block) + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def block(rows: list[tuple[int, bytes, bytes]], restarts: tuple[int, ...] = (0,)) -> bytes:
    out = b"".join(bytes([shared, len(key), len(value)]) + key + value for shared, key, value in rows)
    return out + struct.pack(f"<{len(restarts) + 1}I", *restarts, len(restarts))


def test_keys_share_what_they_begin_with() -> None:
    rows = [(0, b"apple", b"1"), (3, b"ly", b"2")]
    assert read_table(raw_table(block(rows)), "index") == {b"apple": b"1", b"apply"[:3] + b"ly": b"2"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (raw_table(block([(0, b"b", b""), (0, b"a", b"")])), "not in order"),
        (raw_table(block([(0, b"a", b"1"), (0, b"a", b"2")])), "stands twice"),
        (raw_table(block([(1, b"a", b"")])), "beside its block"),
        (raw_table(block([(0, b"a", b"")], (0, 2))), "restart"),
        (raw_table(block([(0, b"a", b"")], (1,))), "restart"),
        (raw_table(block([(0, b"a", b"")]), compression=1), "compressed"),
        (raw_table(block([(0, b"a", b"")]), gap=b"xx"), "without a gap"),
        (raw_table(block([(0, b"b", b"")]), separator=b"a"), "not in order"),
        (raw_table(struct.pack("<2I", 0, 1)), "not in order"),
        (raw_table(b"abc"), "restart"),
        (b"short", "footer"),
        (raw_table(block([(0, b"a", b"")]))[:-1] + b"x", "footer"),
    ],
)
def test_a_table_with_slack_is_refused(content: bytes, words: str) -> None:
    assert refused(content, words).id == "ART-02.checkpoint"


def test_a_block_with_another_checksum_is_refused() -> None:
    content = bytearray(raw_table(block([(0, b"a", b"value")])))
    content[4] ^= 1
    assert refused(bytes(content), "checksum").id == "ART-02.checksum"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tf = tensorflow()
    texts = tf.Variable(["a", "longer text", "é"])
    return exported(tmp_path_factory.mktemp("model") / "model.zip", lambda scores: scores, texts=texts)


def finding_of(path: Path) -> Finding:
    inspection = inspect(path, filename="model.zip", accepted=ACCEPTED)
    assert inspection.verdict == "rejected"
    return inspection.findings[0]


def changed_index(source: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a model with the entries of its index changed in place."""

    def rewrite(content: bytes) -> bytes:
        rows = read_table(content, "index")
        read = {
            key.decode(): parse(value, "BundleEntryProto" if key else "BundleHeaderProto", "index")
            for key, value in rows.items()
        }
        change(read)
        return write_table(
            (key.encode(), encode("BundleEntryProto" if key else "BundleHeaderProto", message))
            for key, message in sorted(read.items())
        )

    return changed_entry(source, target, "variables.index", rewrite)


WEIGHTS = "weights/.ATTRIBUTES/VARIABLE_VALUE"


def test_names_types_and_shapes_are_known(model: Path) -> None:
    content: Any = inspect(model, filename="model.zip", accepted=ACCEPTED).content
    stored = content.checkpoint.tensors
    assert (stored[WEIGHTS].dtype, stored[WEIGHTS].shape, stored[WEIGHTS].size_bytes) == (1, (2, 2), 16)
    assert stored["texts/.ATTRIBUTES/VARIABLE_VALUE"].shape == (3,)


def shift(read: dict[str, Any]) -> None:
    read[WEIGHTS]["offset"] = read[WEIGHTS].get("offset", 0) + 1


def overlap(read: dict[str, Any]) -> None:
    read["zzz"] = dict(read[WEIGHTS])


def another_shape(read: dict[str, Any]) -> None:
    read[WEIGHTS]["shape"] = {"dim": [{"size": 2**40}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (shift, "begins at byte"),
        (overlap, "begins at byte"),
        (another_shape, "needs"),
        (lambda read: read[WEIGHTS].update(shard_id=1), "in no file"),
        (lambda read: read[WEIGHTS].update(offset=-16), "in no file"),
        (lambda read: read[WEIGHTS].update(slices=[{"extent": []}]), "slices"),
        (lambda read: read[""].update(num_shards=2), "2 files"),
        (lambda read: read[""].update(endianness=1), "little-endian"),
        (lambda read: read.pop("_CHECKPOINTABLE_OBJECT_GRAPH"), "tensors end at byte"),
        (lambda read: read.pop("texts/.ATTRIBUTES/VARIABLE_VALUE"), "begins at byte"),
    ],
)
def test_an_index_that_lies_is_rejected(
    change: Callable[[dict[str, Any]], None], words: str, model: Path, tmp_path: Path
) -> None:
    finding = finding_of(changed_index(model, tmp_path / "odd.zip", change))
    assert words in finding.detail, finding


def test_changed_bytes_do_not_have_their_checksum(model: Path, tmp_path: Path) -> None:
    def flip(content: bytes) -> bytes:
        damaged = bytearray(content)
        damaged[-1] ^= 1
        return bytes(damaged)

    assert finding_of(changed_entry(model, tmp_path / "odd.zip", SHARD, flip)).id == "ART-02.checksum"


def test_bytes_behind_the_last_tensor_are_rejected(model: Path, tmp_path: Path) -> None:
    finding = finding_of(changed_entry(model, tmp_path / "odd.zip", SHARD, lambda content: content + b"x"))
    assert "The tensors end at byte" in finding.detail


def test_a_file_of_tensors_that_is_missing_is_rejected(model: Path, tmp_path: Path) -> None:
    assert finding_of(changed_entry(model, tmp_path / "odd.zip", SHARD, lambda _: None)).id == "ART-02.missing_entry"


def test_a_large_checkpoint_is_read_in_pieces(tmp_path: Path) -> None:
    tf = tensorflow()
    table = tf.Variable(np.random.default_rng(0).normal(size=(700, 1000)).astype("float32"))
    path = exported(tmp_path / "large.zip", lambda scores: scores, table=table)
    assert inspect(path, filename="large.zip", accepted=ACCEPTED).verdict == "registered"
