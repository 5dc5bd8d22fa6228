"""The job: one broken detector loses no other, names are only names, progress is told, results follow the schema."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pyarrow as pa
import pytest

from tests.validators.planted import Planted, as_arrow, halves, table
from tests.validators.screenings import screen
from tests.workers.job_folders import job
from validators import results
from validators.engine.screening import job as screening
from validators.engine.screening.base import Detector
from validators.engine.screening.catalogue import ENTRIES, RequestError, names_for, read_request
from validators.engine.screening.registry import DETECTORS
from validators.engine.screening.univariate import IqrOutliers
from workers.datasets.arrays import write_table
from workers.protocol import JobError

HOSTILE = [
    'a"b',
    "a'b",
    "A'B",
    "\N{PILE OF POO}",
    "new\nline",
    "x; DROP TABLE t; --",
    "row",
    "c0",
    "file_row_number",
    "?",
]


def test_every_entry_has_a_detector_that_says_what_it_is() -> None:
    assert list(DETECTORS) == list(ENTRIES)
    for detector in DETECTORS.values():
        text = detector.__doc__ or ""
        assert all(f"\n    {part}" in text for part in ("How: ", "Signs of high risk: ", "What it does not show: "))
        assert detector.limits()


def test_results_of_all_purposes_follow_the_schema(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    alone = screen(tmp_path, table(generator, 300))
    between = [screen(tmp_path, halves(table(generator, 300), generator), purpose=p) for p in ("evaluation", "drift")]

    for found in (alone, *between):
        jsonschema.validate(found.value, results.SCREENING)
        assert all(entry["status"] != "error" for entry in found.value["detections"])


def test_a_detector_that_breaks_is_an_error_and_the_others_have_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Detector, context: Any) -> Any:
        raise MemoryError("Too large\nby far.")

    monkeypatch.setattr(IqrOutliers, "run", broken)

    found = screen(tmp_path, table(np.random.default_rng(0), 300), ["iqr", "mad", "constant_columns"])

    assert [entry["status"] for entry in found.value["detections"]] == ["error", "not_found", "not_found"]
    assert found["iqr"]["sentence"] == "The detector broke, so nothing is known: MemoryError: Too large"
    jsonschema.validate(found.value, results.SCREENING)


@pytest.mark.parametrize("purpose", ["quality", "evaluation", "drift"])
def test_names_are_only_names(purpose: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    columns: dict[str, Any] = {name: generator.normal(size=200) for name in HOSTILE}
    columns["row"] = generator.choice(["'; DROP", '"', "\x00", ""], 200).tolist()
    columns["label"] = np.where(columns['a"b'] > 0, "'yes'", '"no"').tolist()
    columns["?"][7] = 1e6
    data = Planted(columns, {"label": "target"})

    found = screen(tmp_path, data if purpose == "quality" else halves(data, generator), purpose=purpose)

    assert all(entry["status"] != "error" for entry in found.value["detections"]), found.value["detections"]
    if purpose == "quality":
        assert {(row["row"], row["column"]) for row in found.rows if row["detector"] == "iqr"} == {(7, "?")}


def test_decimals_dates_and_truth_values_are_read_as_what_they_are(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    cents = generator.integers(1_000, 2_000, 300).tolist()
    cents[7] = 10**9
    columns = {
        "price": pa.array([Decimal(cent) / 100 for cent in cents], pa.decimal128(38, 2)),
        "day": pa.array(generator.integers(10_000, 10_300, 300).astype(np.int32), pa.date32()),
        "member": pa.array(generator.random(300) < 0.5),
        "label": generator.choice(["a", "b"], 300).tolist(),
    }
    data = Planted(columns, {"label": "target"})

    found = screen(tmp_path, data)
    drift = screen(tmp_path, data, purpose="drift", against=Planted(columns, {"label": "target"}))

    assert found.rows_of("iqr") == {7}
    assert all(entry["status"] != "error" for entry in found.value["detections"]), found.value["detections"]
    assert {entry["status"] for entry in drift.value["detections"]} == {"not_found"}


@pytest.mark.parametrize("rows", [0, 1, 2])
@pytest.mark.parametrize("purpose", ["quality", "evaluation", "drift"])
def test_hardly_any_rows_are_no_errors(purpose: str, rows: int, tmp_path: Path) -> None:
    data = Planted({"x": np.arange(float(rows)), "label": ["a", "b"][:rows]}, {"label": "target"})
    data.columns["label"] = pa.array(data.columns["label"], pa.string())
    against = None if purpose == "quality" else Planted(dict(data.columns), data.roles)

    found = screen(tmp_path, data, purpose=purpose, against=against)

    assert {entry["status"] for entry in found.value["detections"]} <= {"not_applicable", "not_found", "found"}


def test_progress_is_told_in_rows_and_ends_with_all_of_them(tmp_path: Path) -> None:
    found = screen(tmp_path, table(np.random.default_rng(0), 300), ["iqr", "exact_duplicates"])

    told = [json.loads(line) for line in (found.folder / "messages").read_text().splitlines()]

    assert {entry["unit"] for entry in told} == {"rows"}
    assert [entry["done"] for entry in told] == sorted(entry["done"] for entry in told)
    assert told[-1]["done"] == told[-1]["total"] == 300
    assert any("repeated rows" in entry["message"] for entry in told)


def test_asking_for_another_detector_changes_no_result(tmp_path: Path) -> None:
    data = table(np.random.default_rng(0), 300)
    alone = screen(tmp_path, data, ["duplicate_columns"])["duplicate_columns"]
    beside = screen(tmp_path, data, ["iqr", "duplicate_columns"])["duplicate_columns"]

    del alone["seconds"], beside["seconds"]
    assert alone == beside


def test_a_file_that_is_no_table_is_told_with_its_version(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    path.write_bytes(b"PAR1 and no more")
    schema = {"modality": "tabular", "columns": {"x": {"role": "feature", "type": "float"}}}
    parameters = {"detectors": read_request("quality", ["iqr"], None), "schema": schema, "ref": "a/1"}
    context = job(tmp_path / "job", kind="screening", inputs={"dataset": path}, parameters=parameters)

    with pytest.raises(JobError, match="a/1 cannot be read") as refused:
        screening.run(context)

    assert refused.value.code == "table_damaged"


def test_a_sample_holds_the_rows_that_it_says(tmp_path: Path) -> None:
    from validators.engine.screening.screened import Screened
    from workers.datasets.duck import connect
    from workers.datasets.schema import Schema

    data = Planted({"x": np.arange(200_000), "image": np.zeros((200_000, 2, 2), dtype=np.float32)}, {})
    data.columns["image"][:, 0, 0] = np.arange(200_000)
    path = tmp_path / "table.parquet"
    write_table(pa.table({name: as_arrow(values) for name, values in data.columns.items()}), path)
    version = Screened(path, Schema.from_json(data.schema()), connect(tmp_path / "spill"), ref="a/1")

    sample = version.sample(["image", "x"], 1_000, np.random.default_rng(0))

    assert sample.count == 1_000
    assert not sample.is_whole
    assert sample.column("x").to_pylist() == sample.rows.tolist() == sorted(set(sample.rows.tolist()))
    assert sample.table.column_names == ["image", "x"]
    assert sample.rows.max() > 131_072


@pytest.mark.parametrize(
    ("purpose", "detectors", "parameters", "place"),
    [
        ("beauty", None, None, "purpose"),
        ("quality", ["table_drift"], None, "detectors"),
        ("drift", ["iqr"], None, "detectors"),
        ("quality", ["iqr"], {"mad": {}}, "parameters"),
        ("quality", ["iqr"], {"iqr": 3}, "parameters"),
        ("quality", None, {"iqr": {"k": True}}, "parameters"),
    ],
)
def test_a_request_that_is_none_names_its_place(
    purpose: str, detectors: list[str] | None, parameters: dict[str, Any] | None, place: str
) -> None:
    with pytest.raises(RequestError) as refused:
        read_request(purpose, detectors, parameters)

    assert refused.value.place == place
    assert names_for("drift") == ["column_drift", "table_drift"]
