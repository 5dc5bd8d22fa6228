"""An import end to end, and the profile that comes with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.datasets.uploads import profile_of_table
from tests.workers.job_folders import job, messages
from workers.datasets import importing
from workers.datasets.arrays import read_table
from workers.datasets.canonical import content_digest, tensor_array
from workers.protocol import JobError

COLUMNS: dict[str, Any] = {"id": ["p1", "p2", "p3"], "age": [31, None, 52], "size": [1.5, 2.25, None]}
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "id": {"role": "id", "type": "string"},
        "age": {"role": "feature", "type": "integer"},
        "size": {"role": "feature", "type": "float"},
    },
}


def imported(folder: Path, path: Path, schema: Any = None) -> tuple[dict[str, Any], pa.Table]:
    context = job(
        folder / path.name.replace(".", "-"),
        kind="dataset_import",
        inputs={"upload": path},
        parameters={"filename": path.name, "schema": schema},
    )
    value = importing.run(context)
    json.dumps(value, allow_nan=False)
    told = messages(context)
    assert {message["unit"] for message in told} == {"rows", "columns"}
    assert all(message["done"] <= message["total"] for message in told if message["total"])
    return value, read_table(context.folder / "outputs" / importing.TABLE_FILE)


def test_the_same_content_from_three_writers_is_one_data_set(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("id,age,size\np1,31,1.5\np2,,2.25\np3,52,\n")
    pq.write_table(pa.table(COLUMNS), tmp_path / "data.parquet", row_group_size=1)
    nan = float("nan")
    np.savez(tmp_path / "data.npz", id=COLUMNS["id"], age=[31.0, nan, 52.0], size=[1.5, 2.25, nan])
    values = [imported(tmp_path, tmp_path / f"data.{kind}", SCHEMA) for kind in ("csv", "parquet", "npz")]
    for value, table in values:
        assert value["content_digest"] == values[0][0]["content_digest"] == content_digest(table)
        assert value["row_count"] == 3
        assert value["schema"] == SCHEMA
        assert value["profile"] == values[0][0]["profile"]
        assert table.to_pydict() == COLUMNS
        assert table.schema.field("age").type == pa.int64()


def test_the_table_file_of_one_content_has_one_digest(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("a,b\n1,x\n")
    (tmp_path / "two.csv").write_text('"a";"b"\r\n1;"x"\r\n')
    imported(tmp_path, tmp_path / "one.csv")
    imported(tmp_path, tmp_path / "two.csv")
    files = [tmp_path / folder / "outputs" / importing.TABLE_FILE for folder in ("one-csv", "two-csv")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_import_that_fails_leaves_no_table(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("a,b\n1\n")
    with pytest.raises(JobError) as refused:
        imported(tmp_path, tmp_path / "data.csv")
    assert refused.value.code == "ragged_row"
    assert not list((tmp_path / "data-csv").glob("outputs/*"))


def test_a_profile_of_numbers() -> None:
    numbers = list(range(49))
    profile = profile_of_table(pa.table({"n": [*numbers, None, 48]}))["n"]
    assert {key: profile[key] for key in ("missing", "distinct", "lowest", "highest", "most_frequent")} == {
        "missing": 1,
        "distinct": 49,
        "lowest": 0,
        "highest": 48,
        "most_frequent": 48,
    }
    assert profile["most_frequent_share"] == 2 / 50
    assert profile["median"] == 24.5
    assert profile["mean"] == pytest.approx((sum(numbers) + 48) / 50)
    assert [bin_["count"] for bin_ in profile["histogram"]] == [2] * 23 + [4]
    assert [profile["histogram"][0]["low"], profile["histogram"][-1]["high"]] == [0, 48]
    assert {entry["share"]: entry["value"] for entry in profile["quantiles"]}[0.25] == 12.25


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.0, 2.0], {"lowest": 2.0, "highest": 2.0, "histogram": [{"low": 2.0, "high": 2.0, "count": 2}]}),
        ([1.0, float("inf"), float("nan")], {"lowest": 1.0, "highest": 1.0, "mean": 1.0, "missing": 1, "infinite": 1}),
        ([None, None], {"lowest": None, "median": None, "most_frequent": None, "missing": 2, "histogram": []}),
        ([float("inf")], {"lowest": None, "mean": None, "most_frequent": "inf"}),
        ([1.7e308, -1.7e308], {"lowest": -1.7e308, "mean": 0.0}),
    ],
)
def test_a_profile_of_odd_numbers_is_json(values: list[Any], expected: dict[str, Any]) -> None:
    profile = profile_of_table(pa.table({"n": pa.array(values, pa.float64(), from_pandas=False)}))["n"]
    json.dumps(profile, allow_nan=False)
    assert {key: profile[key] for key in expected} == expected
    assert sum(bin_["count"] for bin_ in profile["histogram"]) == np.isfinite(np.array(values, dtype=float)).sum()


def test_a_profile_of_texts_booleans_and_moments() -> None:
    profile = profile_of_table(
        pa.table(
            {
                "text": ["b", "a", None, "b", "a"],
                "yes": [True, False, True, None, True],
                "when": pa.array([0, 1, 2, None, 0], pa.timestamp("s")),
            }
        )
    )
    assert profile["text"]["values"] == [{"value": "a", "count": 2}, {"value": "b", "count": 2}]
    assert (profile["text"]["most_frequent"], profile["text"]["most_frequent_share"]) == ("a", 0.5)
    assert profile["yes"]["mean"] == 0.75
    assert profile["yes"]["values"] == [{"value": True, "count": 3}, {"value": False, "count": 1}]
    assert (profile["when"]["lowest"], profile["when"]["highest"]) == ("1970-01-01T00:00:00", "1970-01-01T00:00:02")
    json.dumps(profile, allow_nan=False)


def test_a_profile_of_images() -> None:
    images = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    images[1, 0, 0] = np.nan
    profile = profile_of_table(pa.table({"image": tensor_array(images)}))["image"]
    assert profile == {"missing": 1, "shape": [2, 2], "lowest": 0, "highest": 11, "mean": (6 + 38) / 8}
