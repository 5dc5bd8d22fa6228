"""Versions that a cleaning, a restoration or a split makes show pictures and texts, as imported ones do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.validators.engine.engine_jobs import Cleaned, with_metadata
from tests.workers.datasets.uploads import fitted
from tests.workers.job_folders import job
from validators.engine import cleaning, restoring, splitting
from workers.datasets.arrays import write_table
from workers.datasets.canonical import tensor_array
from workers.datasets.deriving import with_derived
from workers.datasets.schema import Schema

COUNT = 40
DARK = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "image.brightness", "min_value": 0.2}}
PLAN = [{"action": "quarantine", "rule": DARK}]
FRACTIONS = {"train": 0.6, "validation": 0.2, "test": 0.2}


def pictures() -> pa.Table:
    """Return grey pictures that get brighter down the rows, each with its metadata."""
    levels = np.linspace(0, 255, COUNT).astype(np.uint8)
    values = np.ascontiguousarray(np.broadcast_to(levels[:, None, None], (COUNT, 4, 6)))
    return with_metadata(pa.table({"image": tensor_array(values), "number": list(range(COUNT))}))


@pytest.fixture(scope="module")
def cleaned(tmp_path_factory: pytest.TempPathFactory) -> Cleaned:
    return Cleaned(tmp_path_factory.mktemp("cleaned"), pictures(), plan=PLAN)


def assert_shows(entry: dict[str, Any], outputs: Path, table: pa.Table) -> None:
    """Check that an entry names rows of this table, and that its grid holds the picture of each."""
    brightness = table["image.brightness"].to_pylist()
    darkest = [cell for cell in entry["cells"] if cell["group"] == "darkest"]
    assert [cell["row"] for cell in darkest] == list(np.argsort(brightness, kind="stable")[:6])
    assert [cell["value"] for cell in darkest] == sorted(brightness)[:6]
    grid = np.asarray(Image.open(outputs / entry["file"]).convert("L"))
    for number, cell in enumerate(entry["cells"]):
        middle = grid[number // 6 * 96 + 48, number % 6 * 96 + 48]
        assert middle / 255 == pytest.approx(brightness[cell["row"]], abs=1e-6)


def test_a_cleaned_version_shows_what_is_left(cleaned: Cleaned) -> None:
    assert cleaned.quarantine.num_rows > 0
    assert min(cleaned.clean["image.brightness"].to_pylist()) >= 0.2
    assert_shows(cleaned.value["media"]["image"], cleaned.outputs, cleaned.clean)


def test_a_version_with_rows_back_shows_them(tmp_path: Path, cleaned: Cleaned) -> None:
    inputs = {"base": cleaned.outputs / "clean.parquet", "quarantine": cleaned.outputs / "quarantine.parquet"}
    parameters = {"rows": [0], "restored": [], "schema": cleaned.value["schema"]}
    context = job(tmp_path / "job", kind="restoration", inputs=inputs, parameters=parameters)
    value = restoring.run(context)
    outputs = context.folder / "outputs"
    entry = value["media"]["image"]
    assert {"row": 0, "group": "darkest", "value": 0.0} in entry["cells"]
    assert_shows(entry, outputs, pq.read_table(outputs / "table.parquet"))


def test_a_split_version_shows_pictures_by_the_rows_it_has(tmp_path: Path, cleaned: Cleaned) -> None:
    plan = {"fractions": FRACTIONS, "group": "number"}
    inputs = {"dataset": cleaned.outputs / "clean.parquet"}
    context = job(
        tmp_path / "job", kind="split", inputs=inputs, parameters={"plan": plan, "schema": cleaned.value["schema"]}
    )
    value = splitting.run(context)
    outputs = context.folder / "outputs"
    assert_shows(value["media"]["image"], outputs, pq.read_table(outputs / "split.parquet"))


def test_a_cleaned_version_shows_its_texts_and_not_those_that_left(tmp_path: Path) -> None:
    texts = pa.table({"review": ["", *(f"review number {number} of a film" for number in range(9))]})
    stated = {"modality": "text", "columns": {"review": {"role": "feature", "type": "text"}}}
    table, schema = with_derived(*fitted("csv", texts, stated))
    value = cleaned_texts(tmp_path, table, schema)
    shown = value["media"]["review"]["texts"]
    assert value["row_count"] == 9
    assert {entry["text"] for entry in shown} <= set(texts["review"].to_pylist()[1:])
    assert len({entry["row"] for entry in shown if entry["group"] == "sample"}) == 6


def cleaned_texts(folder: Path, table: pa.Table, schema: Schema) -> dict[str, Any]:
    """Return the value of a cleaning that takes out what is empty."""
    write_table(table, folder / "table.parquet")
    rule = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "review.length", "min_value": 1},
    }
    plan = [{"action": "quarantine", "rule": rule}]
    parameters = {"suite": None, "plan": plan, "schema": schema.to_json()}
    inputs = {"dataset": folder / "table.parquet"}
    return cleaning.run(job(folder / "job", kind="cleaning", inputs=inputs, parameters=parameters))


def test_a_table_of_numbers_shows_nothing_and_leaves_no_picture(tmp_path: Path) -> None:
    rule = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "n", "min_value": 1}}
    result = Cleaned(tmp_path, pa.table({"n": [0, 1, 2, 3]}), plan=[{"action": "quarantine", "rule": rule}])
    assert result.value["media"] == {}
    assert list(result.outputs.glob("*.png")) == []


def test_a_column_that_was_never_measured_is_left_out(tmp_path: Path) -> None:
    bare = pictures().select(["image", "number"])
    rule = {"type": "expect_column_values_to_be_between", "kwargs": {"column": "number", "min_value": 1}}
    result = Cleaned(tmp_path, bare, plan=[{"action": "quarantine", "rule": rule}])
    assert result.value["row_count"] == COUNT - 1
    assert result.value["media"] == {}
