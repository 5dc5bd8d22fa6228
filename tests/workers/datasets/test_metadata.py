"""The metadata of arrays that came as numbers: stored columns beside images and vectors, in the words of their kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.workers.datasets.pictures import archive, encoded, imported, noise
from workers.datasets.arrays import read_table, write_table
from workers.datasets.canonical import canonical_array, content_digest, tensor_array, tensor_values
from workers.datasets.images import columns
from workers.datasets.reading import row_bytes
from workers.datasets.stored import as_stored
from workers.protocol import JobError


def npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


def metadata(table: pa.Table, name: str) -> dict[str, list[Any]]:
    words = [word for word in columns.WORDS if f"{name}.{word}" in table.column_names]
    return {word: table[f"{name}.{word}"].to_pylist() for word in words}


def test_the_same_pictures_measure_the_same_from_a_zip_and_from_an_npz(tmp_path: Path) -> None:
    pixels = np.stack([noise(seed=seed) for seed in range(5)])
    files = {f"cat/{number}.png": encoded(picture) for number, picture in enumerate(pixels)}
    _, from_zip, _ = imported(tmp_path, archive(tmp_path / "data.zip", files))
    _, from_npz, _ = imported(tmp_path, npz(tmp_path / "data.npz", image=pixels))
    assert metadata(from_zip, "image") == metadata(from_npz, "image")
    assert list(metadata(from_npz, "image")) == list(columns.WORDS)


def test_floats_of_one_have_a_luma_and_others_have_none(tmp_path: Path) -> None:
    pixels = noise(9, 9, 1).astype(np.float32) / 255
    rows = np.stack([pixels, pixels * 16, np.full((9, 9), np.nan, np.float32), np.zeros((9, 9), np.float32)])
    rows[1, 0, 0] = np.nan
    value, table, _ = imported(tmp_path, npz(tmp_path / "data.npz", image=rows))
    found = metadata(table, "image")
    oracle = np.asarray(Image.fromarray(noise(9, 9, 1)))
    assert found["brightness"] == [pytest.approx(oracle.mean() / 255, abs=1e-6), None, None, 0]
    assert found["hash"][1:] == [None, None, "0" * 16]
    assert found["missing"] == [0, 1, 81, 0]
    assert found["maximum"][2] is None
    assert found["maximum"][1] == np.nanmax(rows[1])
    assert found["mean"][1] == pytest.approx(np.nanmean(rows[1]), rel=1e-6)
    assert value["schema"]["columns"]["image.missing"] == {"role": "metadata", "type": "integer"}


def test_channels_first_are_measured_as_channels_last() -> None:
    pixels = np.stack([noise(8, 9, 3, seed=seed) for seed in range(3)])
    last = columns.of_images(tensor_array(pixels))
    first = columns.of_images(tensor_array(np.ascontiguousarray(np.moveaxis(pixels, -1, 1))))
    assert {word: array.to_pylist() for word, array in last.items()} == {
        word: array.to_pylist() for word, array in first.items()
    }
    assert last["width"].to_pylist() == [9] * 3
    assert last["mode"].to_pylist() == ["RGB"] * 3


def test_arrays_that_are_no_pictures_have_numbers_alone(tmp_path: Path) -> None:
    vector = np.array([[1.0, np.nan, 3.0], [4.0, 5.0, 9.0]], dtype=np.float32)
    odd = np.arange(2 * 5 * 7 * 2, dtype=np.int32).reshape(2, 5, 7, 2)
    value, table, _ = imported(tmp_path, npz(tmp_path / "data.npz", vector=vector, odd=odd))
    assert metadata(table, "vector") == {
        "minimum": [1, 4], "maximum": [3, 9], "mean": [2, 6], "missing": [1, 0]
    }  # fmt: skip
    found = metadata(table, "odd")
    assert found["width"] == found["brightness"] == found["mode"] == [None, None]
    assert found["maximum"] == [69, 139]
    assert value["media"]["odd"]["file"] is None


def test_blocks_do_not_show_in_the_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = tensor_array(np.stack([noise(8, 9, 3, seed=seed) for seed in range(7)]), np.arange(7) != 3)
    whole = columns.of_images(pixels)
    monkeypatch.setattr(columns, "BLOCK_PIXELS", 8 * 9 * 3 * 2)
    assert {word: array.to_pylist() for word, array in columns.of_images(pixels).items()} == {
        word: array.to_pylist() for word, array in whole.items()
    }
    assert whole["problem"].to_pylist()[3] == "The row has no image."


def test_arrays_of_bytes_are_stored_as_bytes_and_come_back(tmp_path: Path) -> None:
    pixels = np.stack([noise(4, 5, 3, seed=seed) for seed in range(6)])
    table = pa.table({"x": range(6), "image": tensor_array(pixels, np.arange(6) != 2), "v": tensor_array(pixels * 1.5)})
    write_table(table, tmp_path / "table.parquet")
    physical = pq.ParquetFile(tmp_path / "table.parquet").schema.column(1)
    assert (physical.physical_type, physical.length) == ("FIXED_LEN_BYTE_ARRAY", 60)
    back = read_table(tmp_path / "table.parquet")
    assert back.schema.types == table.schema.types
    assert back["image"].is_valid().to_pylist() == [True, True, False, True, True, True]
    assert content_digest(back) == content_digest(table)
    for part in (table.slice(3, 2), as_stored(table).slice(3, 2)):
        (sliced,) = part.select(["image"]).to_batches()
        assert np.array_equal(tensor_values(canonical_array(sliced.column(0), name="image")), pixels[3:5])


@pytest.mark.parametrize("shape", [b"[4, 5]", b"[0]", b"[true, 60]", b"no", b"{}", b"[60.0]", b"[]"])
def test_bytes_whose_shape_is_not_true_are_no_array(tmp_path: Path, shape: bytes) -> None:
    names = {b"ARROW:extension:name": b"assay.array", b"ARROW:extension:metadata": shape}
    plain = pa.table({"x": pa.array([b"a" * 60], pa.binary(60))})
    pq.write_table(plain.cast(pa.schema([pa.field("x", pa.binary(60), metadata=names)])), tmp_path / "data.parquet")
    with pytest.raises(JobError) as refused:
        imported(tmp_path, tmp_path / "data.parquet")
    assert refused.value.code == "parquet_damaged"


def test_a_saved_table_of_images_is_uploaded_again(tmp_path: Path) -> None:
    files = {f"cat/{number}.png": encoded(noise(seed=number)) for number in range(5)}
    value, _, outputs = imported(tmp_path, archive(tmp_path / "data.zip", files))
    again, table, _ = imported(tmp_path, outputs / "table.parquet", value["schema"])
    assert again["content_digest"] == value["content_digest"]
    assert table["image"].type == pa.fixed_shape_tensor(pa.uint8(), [12, 10, 3])


def test_rows_of_pictures_are_as_wide_in_a_file_as_in_a_table(tmp_path: Path) -> None:
    table = pa.table({"image": tensor_array(np.zeros((2, 64, 32, 3), np.uint8)), "x": [1.0, 2.0]})
    write_table(table, tmp_path / "table.parquet")
    assert row_bytes(pq.read_schema(tmp_path / "table.parquet")) == row_bytes(table.schema) == 64 * 32 * 3 + 8


def test_the_sheet_shows_pictures_of_the_rows_that_it_names(tmp_path: Path) -> None:
    pictures = [np.full((20, 20, 3), 40 + 10 * number, np.uint8) for number in range(20)]
    pictures[13][:] = 2
    files = {f"cat/{number:02}.png": encoded(picture) for number, picture in enumerate(pictures)}
    value, _, outputs = imported(tmp_path, archive(tmp_path / "data.zip", files))
    shown = value["media"]["image"]
    with Image.open(outputs / shown["file"]) as grid:
        assert grid.size == (6 * 96, 4 * 96)
        for number, cell in enumerate(shown["cells"]):
            middle = grid.convert("RGB").getpixel((number % 6 * 96 + 48, number // 6 * 96 + 48))
            assert middle == tuple(pictures[cell["row"]][0, 0])
    groups = [cell["group"] for cell in shown["cells"]]
    assert groups == ["sample"] * 12 + ["darkest"] * 6 + ["blurriest"] * 6
    assert [cell["row"] for cell in shown["cells"][12:15]] == [13, 0, 1]
