"""A zip of images: its rows, labels and shape, and a broken image that is a row and no failed upload."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.workers.datasets.pictures import archive, encoded, imported, noise, png_chunk, png_of
from tests.workers.job_folders import job, messages
from workers.datasets import importing
from workers.datasets.canonical import content_digest, tensor_values
from workers.datasets.formats import images
from workers.protocol import JobError


def pictures(*names: str, size: tuple[int, int, int] = (12, 10, 3)) -> dict[str, bytes]:
    return {name: encoded(noise(*size, seed=number)) for number, name in enumerate(names)}


def image_schema(columns: dict[str, str], shape: list[int]) -> dict[str, Any]:
    entries = {name: {"role": role, "type": "category"} for name, role in columns.items()}
    image = {"role": "feature", "type": "image", "shape": shape}
    return {"modality": "image", "columns": {"file": {"role": "id", "type": "string"}, "image": image, **entries}}


def refused(folder: Path, files: dict[str, bytes], schema: Any = None) -> JobError:
    with pytest.raises(JobError) as error:
        imported(folder, archive(folder / "data.zip", files), schema)
    return error.value


def test_folders_say_the_class(tmp_path: Path) -> None:
    files = pictures("pets/dog/1.png", "pets/cat/1.png", "pets/cat/2.png")
    leftovers = {"pets/.DS_Store": b"x", "__MACOSX/pets/cat/._1.png": b"x", "pets/cat/Thumbs.db": b"x"}
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", files | leftovers))
    assert value["row_count"] == 3
    assert table["file"].to_pylist() == list(files)
    assert table["label"].to_pylist() == ["dog", "cat", "cat"]
    assert np.array_equal(tensor_values(table["image"].chunk(0))[1], noise(seed=1))
    columns = value["schema"]["columns"]
    assert value["schema"]["modality"] == "image"
    assert columns["file"] == {"role": "id", "type": "string"}
    assert columns["image"] == {"role": "feature", "type": "image", "shape": [12, 10, 3]}
    assert columns["label"] == {"role": "target", "type": "category"}
    assert columns["image.blur"] == {"role": "metadata", "type": "float"}
    assert list(columns) == table.column_names


@pytest.mark.parametrize(
    ("names", "columns"),
    [
        (("a.png", "b.png"), {}),
        (("cat/a.png", "cat/b.png"), {"label": ["cat", "cat"]}),
        (("all/pets/cat/a.png", "all/pets/dog/b.png"), {"label": ["cat", "dog"]}),
        (
            ("train/cat/a.png", "val/dog/b.png", "test/cat/c.png"),
            {"split": ["train", "validation", "test"], "label": ["cat", "dog", "cat"]},
        ),
        (("x/train/cat/a.png", "x/train/dog/b.png"), {"split": ["train", "train"], "label": ["cat", "dog"]}),
    ],
)
def test_what_folders_say(tmp_path: Path, names: tuple[str, ...], columns: dict[str, list[str]]) -> None:
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", pictures(*names)))
    said = {name: table[name].to_pylist() for name in ("split", "label") if name in table.column_names}
    assert said == columns
    assert {value["schema"]["columns"][name]["role"] for name in said} <= {"split", "target"}


@pytest.mark.parametrize(
    "names", [("cat/a.png", "b.png"), ("x/cat/a.png", "y/dog/b.png"), ("cat/a.png", "dog/x/b.png")]
)
def test_folders_that_say_no_class_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    assert refused(tmp_path, pictures(*names)).code == "class_folders_unclear"


def test_a_csv_names_the_files(tmp_path: Path) -> None:
    files = pictures("images/1.png", "images/2.png", "images/3.png")
    table_file = b"name,age,kind\n2.png,31,b\n1.png,,a\nlost.png,7,c\n"
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", {"labels.csv": table_file, **files}))
    assert table["file"].to_pylist() == ["images/2.png", "images/1.png", "lost.png", "images/3.png"]
    assert table["age"].to_pylist() == [31, None, 7, None]
    assert table["image"].null_count == 1
    assert table["image.problem"].to_pylist() == [
        None,
        None,
        "The archive has no file 'lost.png'.",
        "labels.csv has no row for this file.",
    ]
    assert table["image.decodes"].to_pylist() == [True, True, False, True]
    assert value["schema"]["columns"]["age"] == {"role": "feature", "type": "integer"}
    assert np.array_equal(tensor_values(table["image"].chunk(0))[0], noise(seed=1))


def test_a_parquet_names_the_files_and_a_schema_says_what_its_columns_are(tmp_path: Path) -> None:
    stream = io.BytesIO()
    pq.write_table(pa.table({"label": ["a", "b"], "path": ["d/1.png", "d/2.png"]}), stream)
    files = {**pictures("d/1.png", "d/2.png"), "d/table.parquet": stream.getvalue()}
    schema = image_schema({"label": "target"}, [12, 10, 3])
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", files), schema)
    assert table["label"].to_pylist() == ["a", "b"]
    assert value["schema"]["columns"]["label"] == {"role": "target", "type": "category"}


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"a.csv": b"f\n1.png\n", "b.csv": b"f\n1.png\n"}, "label_table_unclear"),
        ({"a.csv": b"f,x\nz.png,1\ny.png,2\n1.png,3\n"}, "label_table_unclear"),
        ({"a.csv": b"name,file\n1.png,x\n"}, "duplicate_columns"),
        ({"a.csv": b"name,image\n1.png,x\n"}, "duplicate_columns"),
        ({"a.csv": b"name,image.blur\n1.png,x\n"}, "duplicate_columns"),
        ({"a.csv": b"name,x\n1.png,1,2\n"}, "ragged_row"),
        ({"a.parquet": b"PAR1 no"}, "parquet_cut"),
    ],
)
def test_a_label_table_that_is_none_is_told(tmp_path: Path, files: dict[str, bytes], code: str) -> None:
    assert refused(tmp_path, {**pictures("1.png"), **files}).code == code


def test_one_broken_image_is_a_row_with_its_reason(tmp_path: Path) -> None:
    files = pictures(*(f"cat/{number}.png" for number in range(40)))
    files["cat/cut.png"] = files["cat/3.png"][:-60]
    files["cat/page.png"] = b"<html><body>404</body></html>"
    files["cat/bomb.png"] = png_of(40_000, 40_000, png_chunk(b"IDAT", b""))
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", files))
    assert value["row_count"] == 43
    assert table["image"].null_count == 3
    assert table["image.decodes"].to_pylist() == [True] * 40 + [False] * 3
    problems = table["image.problem"].to_pylist()
    assert problems[:40] == [None] * 40
    assert "does not decode" in problems[40]
    assert "markup" in problems[41]
    assert "40,000 x 40,000" in problems[42]
    assert table["image.missing"].to_pylist()[39:] == [0, 360, 360, 360]
    assert table["image.hash"].null_count == 3
    assert value["media"]["image"]["problem_count"] == 3
    assert [entry["row"] for entry in value["media"]["image"]["problems"]] == [40, 41, 42]


def test_the_most_common_shape_is_the_shape_and_others_are_told(tmp_path: Path) -> None:
    files = {
        **pictures("a/1.png", "a/2.png"),
        **pictures("a/3.png", size=(20, 20, 3)),
        **pictures("a/4.png", size=(12, 10, 1)),
    }
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", files))
    assert table["image"].null_count == 2
    assert table["image.decodes"].to_pylist() == [True] * 4
    assert "It is 20 x 20 RGB, while most are 10 x 12 RGB" in table["image.problem"].to_pylist()[2]
    assert table["image.width"].to_pylist() == [10, 10, 20, 10]
    assert table["image.mode"].to_pylist() == ["RGB", "RGB", "RGB", "L"]
    assert "2 of 4 images are 10 x 12 RGB" in value["media"]["image"]["note"]


def test_a_stated_shape_is_made_and_noted(tmp_path: Path) -> None:
    files = {**pictures("a/1.png"), **pictures("a/2.png", size=(20, 30, 1)), **pictures("a/3.png", size=(8, 8, 1))}
    schema = image_schema({"label": "target"}, [8, 8])
    value, table, _ = imported(tmp_path, archive(tmp_path / "data.zip", files), schema)
    assert table["image"].type == pa.fixed_shape_tensor(pa.uint8(), [8, 8])
    resized = Image.fromarray(noise(20, 30, 1, seed=0)).resize((8, 8), Image.Resampling.BILINEAR)
    assert np.array_equal(tensor_values(table["image"].chunk(0))[1], np.asarray(resized))
    assert table["image.height"].to_pylist() == [12, 20, 8]
    assert "2 of 3 images were brought to 8 x 8 grey" in value["media"]["image"]["note"]


def test_images_of_many_shapes_are_refused_with_what_to_state(tmp_path: Path) -> None:
    files = {name: encoded(noise(8 + number, 8)) for number, name in enumerate(("1.png", "2.png", "3.png"))}
    error = refused(tmp_path, files)
    assert error.code == "image_shape"
    assert '"shape": [8, 8, 3]' in error.detail


@pytest.mark.parametrize("shape", [[8], [8, 8, 2], [1, 8, 8, 3]])
def test_a_shape_that_no_image_has_is_refused(tmp_path: Path, shape: list[int]) -> None:
    assert refused(tmp_path, pictures("1.png"), image_schema({}, shape)).code == "image_shape"


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXEL_BYTES", 700)
    assert refused(tmp_path, pictures("1.png", "2.png")).code == "too_large"


@pytest.mark.parametrize(
    ("files", "code"),
    [
        ({"a.png": b"PK\x03\x04 more"}, "archive_nested"),
        ({"a.png": b"\x1f\x8b more"}, "archive_nested"),
        ({"a.bin": b"some bytes", "b.bin": b"others"}, "format_not_supported"),
        ({".DS_Store": b"x"}, "format_not_supported"),
        ({"a.png": b"", "b.jpg": b"x"}, "no_image"),
        ({"../a.png": encoded(noise())}, "archive_entry_name"),
        ({"/a.png": encoded(noise())}, "archive_entry_name"),
        ({"A.png": encoded(noise()), "a.png": encoded(noise())}, "archive_duplicate_name"),
    ],
)
def test_archives_that_are_no_images_are_refused(tmp_path: Path, files: dict[str, bytes], code: str) -> None:
    assert refused(tmp_path, files).code == code


def test_the_same_images_give_the_same_digest_and_table(tmp_path: Path) -> None:
    files = pictures(*(f"cat/{number}.png" for number in range(20)))
    first, table, outputs = imported(tmp_path, archive(tmp_path / "data.zip", files))
    again, _, others = imported(tmp_path, archive(tmp_path / "more.zip", files))
    assert first["content_digest"] == again["content_digest"] == content_digest(table)
    for name in ("table.parquet", "images-1.png"):
        assert (outputs / name).read_bytes() == (others / name).read_bytes()


def test_progress_is_told_in_rows(tmp_path: Path) -> None:
    files = pictures(*(f"cat/{number}.png" for number in range(600)), size=(4, 4, 1))
    upload = archive(tmp_path / "data.zip", files)
    context = job(
        tmp_path / "job",
        kind="dataset_import",
        inputs={"upload": upload},
        parameters={"filename": "data.zip", "schema": None},
    )
    importing.run(context)
    told = [(m["done"], m["total"]) for m in messages(context) if m["message"] == "reading the files"]
    assert told == [(256, 600), (512, 600)]
