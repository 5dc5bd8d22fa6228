"""What the files of an explanation hold, and in which form."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from audits.engine.explainers.base import Attribution
from audits.engine.explanation.archive import ALIGNMENT, ArrayArchive
from audits.engine.explanation.mapped import MappedArray
from tests.audits.engine.explanation_jobs import NAMES, bent, lay, numbers_table, signature_of
from workers.protocol import JobError, Limits

MIB = 1024 * 1024


class TestTheArchive:
    def test_numpy_reads_what_was_written(self, tmp_path: Path) -> None:
        arrays = {
            "numbers": np.arange(24.0).reshape(2, 3, 4),
            "whole": np.arange(5, dtype=np.int64),
            "words": np.array(["a", "wörd"]),
            "none": np.empty((0, 3)),
            "wide": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        }
        with ArrayArchive(tmp_path / "a.npz") as archive:
            for name, array in arrays.items():
                archive.add(name, array)
        with np.load(tmp_path / "a.npz", allow_pickle=False) as read:
            assert read.files == list(arrays)
            for name, array in arrays.items():
                np.testing.assert_array_equal(read[name], array)
                assert read[name].dtype == array.dtype

    def test_each_array_can_be_mapped_where_it_lies(self, tmp_path: Path) -> None:
        array = np.arange(1000.0)
        with ArrayArchive(tmp_path / "a.npz") as archive:
            archive.add("x", np.arange(3))
            archive.add("a longer name", array)
        content = (tmp_path / "a.npz").read_bytes()
        with zipfile.ZipFile(tmp_path / "a.npz") as stored:
            assert stored.testzip() is None
            for entry in stored.infolist():
                assert entry.compress_type == zipfile.ZIP_STORED
                name_bytes, extra_bytes = struct.unpack("<HH", content[entry.header_offset + 26 :][:4])
                start = entry.header_offset + 30 + name_bytes + extra_bytes
                assert start % ALIGNMENT == 0
                assert content[start:].startswith(b"\x93NUMPY")
                stream = io.BytesIO(content[start : start + entry.file_size])
                np.lib.format.read_magic(stream)
                np.lib.format.read_array_header_1_0(stream)
                assert (start + stream.tell()) % ALIGNMENT == 0
        mapped = np.memmap(tmp_path / "a.npz", np.float64, "r", start + stream.tell(), (1000,))
        np.testing.assert_array_equal(mapped, array)

    def test_the_same_arrays_give_the_same_bytes(self, tmp_path: Path) -> None:
        for name in ("a", "b"):
            with ArrayArchive(tmp_path / name) as archive:
                archive.add("x", np.arange(30.0).reshape(10, 3))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_a_large_array_is_written_a_block_at_a_time(self, tmp_path: Path) -> None:
        mapped = MappedArray(tmp_path / "large", (64, MIB), np.uint8, is_new=True)
        mapped.array[:] = 7
        tracemalloc.start()
        with ArrayArchive(tmp_path / "a.npz") as archive:
            archive.add("x", mapped.array, let_go=mapped.let_go)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * MIB
        with np.load(tmp_path / "a.npz") as read:
            assert read["x"].sum() == 64 * MIB * 7

    def test_blocks_that_are_not_the_array_are_an_error(self, tmp_path: Path) -> None:
        with ArrayArchive(tmp_path / "a.npz") as archive, pytest.raises(ValueError, match="do not have the shape"):
            archive.add_blocks("x", (3,), np.float64, [np.zeros(2)])


class TestMappedArrays:
    def test_what_is_written_is_read_again_and_stays_when_let_go(self, tmp_path: Path) -> None:
        new = MappedArray(tmp_path / "a", (2, 3), np.float64, is_new=True)
        new.array[:] = [[1, 2, 3], [4, 5, 6]]
        new.let_go()
        np.testing.assert_array_equal(new.array, [[1, 2, 3], [4, 5, 6]])
        read = MappedArray(tmp_path / "a", (3, 2), np.float64)
        np.testing.assert_array_equal(read.array, [[1, 2], [3, 4], [5, 6]])
        with pytest.raises(ValueError, match="read-only"):
            read.array[0] = 0

    def test_room_is_taken_at_once_so_that_a_full_disk_is_an_error(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        MappedArray(tmp_path / "a", (MIB,), np.float64, is_new=True)
        assert (tmp_path / "a").stat().st_blocks * 512 >= 8 * MIB

        def full(descriptor: int, offset: int, size: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.posix_fallocate", full)
        with pytest.raises(OSError, match="No space left"):
            MappedArray(tmp_path / "b", (MIB,), np.float64, is_new=True)

    def test_a_file_that_is_too_short_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"12345678")
        with pytest.raises(ValueError, match="length"):
            MappedArray(tmp_path / "a", (2,), np.float64)

    def test_nothing_needs_no_file(self, tmp_path: Path) -> None:
        nothing = MappedArray(tmp_path / "none", (0, 3), np.float64)
        nothing.let_go()
        assert nothing.array.shape == (0, 3)


def test_the_archive_tells_of_each_row_what_it_is_and_what_the_model_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "job", monkeypatch, rows=[7, 0, 59], outputs=[1])
    folder.run()
    arrays = folder.arrays()
    assert arrays["ids"].tolist() == ["A-00007", "A-00000", "A-00059"]
    assert arrays["targets"].tolist() == ["good", "bad", "good"]
    table = numbers_table(60)
    rows = np.stack([table.column(name).to_numpy() for name in NAMES], axis=1)[[7, 0, 59]]
    scores = folder.model.logits({"features": rows})
    np.testing.assert_array_equal(arrays["scores"], scores)
    np.testing.assert_array_equal(arrays["predicted"], scores.argmax(axis=1))
    np.testing.assert_allclose(arrays["base_values"][:, 0] + arrays["values"].sum(axis=1)[:, 0], scores[:, 1])
    assert (arrays["evaluations"] > 1).all()
    assert arrays["output_numbers"].tolist() == [[1], [1], [1]]
    assert {name: str(array.dtype) for name, array in arrays.items() if array.dtype.kind != "U"} == {
        "values": "float64",
        "errors": "float64",
        "base_values": "float64",
        "data": "float64",
        "row_numbers": "int64",
        "output_numbers": "int64",
        "scores": "float64",
        "predicted": "int64",
        "evaluations": "int64",
    }
    with zipfile.ZipFile(folder.path / "outputs" / "attributions.npz") as stored:
        assert {entry.compress_type for entry in stored.infolist()} == {zipfile.ZIP_STORED}


def test_rows_without_a_class_an_id_or_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    signature = signature_of(outputs=1)
    signature["outputs"] = [{"name": "price", "shape": [-1, 1], "dtype": "float64", "kind": "value"}]
    schema = {"modality": "tabular", "columns": {n: {"role": "feature", "type": "float"} for n in NAMES}}
    folder = lay(
        tmp_path / "job",
        monkeypatch,
        model=bent(outputs=1),
        table=numbers_table(60).drop_columns(["id", "label"]),
        signature=signature,
        schema=schema,
    )
    folder.run()
    arrays = folder.arrays()
    assert set(arrays["predicted"].tolist()) == {-1}
    assert set(arrays["ids"].tolist()) == set(arrays["targets"].tolist()) == {""}


def test_a_missing_id_is_empty_and_a_long_one_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = numbers_table(3).set_column(0, "id", pa.array([None, "x" * 300, "ü"]))
    folder = lay(tmp_path / "job", monkeypatch, table=table, rows=[0, 1, 2])
    folder.run()
    assert folder.arrays()["ids"].tolist() == ["", "x" * 200, "ü"]


def test_what_would_not_fit_into_the_folder_is_refused_before_it_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "job", monkeypatch)
    folder.spec = replace(folder.spec, limits=Limits(file_bytes=1200))
    with pytest.raises(JobError) as caught:
        folder.run()
    assert caught.value.code == "explanation_too_large"
    assert "Explain at most 5 rows" in caught.value.detail
    assert folder.model.rows_seen == 12, "only the rows themselves were scored"


def test_a_disk_that_is_full_ends_the_job_with_that(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = lay(tmp_path / "job", monkeypatch)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("workers.checkpoint.Checkpoint.add", full)
    with pytest.raises(OSError, match="No space left"):
        folder.run()


def attribution_of(values: np.ndarray, **more: np.ndarray) -> Attribution:
    rows, features, outputs = values.shape
    return Attribution(
        **{
            "values": values,
            "base_values": np.zeros((rows, outputs)),
            "errors": np.full_like(values, 0.1),
            "data": np.zeros((rows, features)),
            "feature_names": tuple(f"f{place}" for place in range(features)),
            "output_names": tuple(f"o{place}" for place in range(outputs)),
            "output_numbers": np.tile(np.arange(outputs), (rows, 1)),
            "evaluations": np.ones(rows, dtype=np.int64),
            **more,
        }
    )


class TestBlocks:
    """What is computed block after block is what it would be of everything at once."""

    @pytest.fixture(params=[8, 200, 10**9], ids=str)
    def attribution(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Attribution:
        monkeypatch.setattr("audits.engine.explainers.base.BLOCK_BYTES", request.param)
        values = np.random.default_rng(1).normal(size=(23, 4, 3))
        values[5] = 0
        return attribution_of(values, errors=np.random.default_rng(2).uniform(size=values.shape))

    def test_blocks_are_all_rows_once(self, attribution: Attribution) -> None:
        places = np.concatenate([np.arange(23)[rows] for rows in attribution.blocks()])
        np.testing.assert_array_equal(places, np.arange(23))

    def test_scores_and_relative_errors(self, attribution: Attribution) -> None:
        np.testing.assert_array_equal(attribution.scores, attribution.values.sum(axis=1))
        widest, largest = 2 * attribution.errors.max(axis=(1, 2)), np.abs(attribution.values).max(axis=(1, 2))
        largest[5] = 1
        expected = widest / largest
        expected[5] = np.inf
        np.testing.assert_array_equal(attribution.relative_errors(), expected)

    def test_the_mean_of_some_values(self, attribution: Attribution) -> None:
        rows, columns = np.array([1, 4, 22]), np.array([0, 2, 1])
        expected = attribution.values[rows, :, columns].mean(axis=0)
        np.testing.assert_allclose(attribution.mean_of(rows, columns), expected)
