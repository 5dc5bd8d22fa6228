"""Interactions and token ids: from the upload through the profile to the inputs of a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.workers.job_folders import job
from workers.datasets import importing
from workers.datasets.arrays import model_inputs, read_table, targets
from workers.datasets.profile.values import QUANTILES
from workers.datasets.schema import Schema, SchemaError
from workers.protocol import JobError
from workers.signature import Signature

INTERACTIONS = {
    "user": ("feature", "integer"),
    "item": ("feature", "integer"),
    "rating": ("target", "float"),
    "at": ("timestamp", "datetime"),
}


def schema_of(columns: Mapping[str, tuple[str, str]], modality: str = "interactions") -> dict[str, Any]:
    return {
        "modality": modality,
        "columns": {name: {"role": role, "type": data_type} for name, (role, data_type) in columns.items()},
    }


def imported(folder: Path, path: Path, schema: Any) -> tuple[dict[str, Any], pa.Table]:
    context = job(
        folder / "job",
        kind="dataset_import",
        inputs={"upload": path},
        parameters={"filename": path.name, "schema": schema},
    )
    value = importing.run(context)
    return value, read_table(context.folder / "outputs" / importing.TABLE_FILE)


def signature_of(*inputs: dict[str, Any], kind: str = "value") -> Signature:
    outputs = [{"name": "answer", "shape": [-1, 1], "dtype": "float32", "kind": kind}]
    return Signature.from_json({"inputs": list(inputs), "outputs": outputs})


def test_interactions_go_from_the_upload_to_the_inputs_of_a_model(tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(
        "user,item,rating,at\n1,10,4.5,2024-01-01 10:00\n1,11,3,2024-01-02 10:00\n2,10,5,2024-01-03 10:00\n"
        "3,12,1,2024-01-04 10:00\n1,10,2,2024-01-05 10:00\n"
    )
    value, table = imported(tmp_path, tmp_path / "ratings.csv", schema_of(INTERACTIONS))
    facts = value["profile"]["user"]["interactions"]
    assert {key: facts[key] for key in ("user", "item", "users", "items", "pairs", "density")} == {
        "user": "user",
        "item": "item",
        "users": 3,
        "items": 3,
        "pairs": 4,
        "density": 4 / 9,
    }
    expected = np.quantile([3, 1, 1], QUANTILES).tolist()
    assert [entry["value"] for entry in facts["a_user"]["quantiles"]] == pytest.approx(expected)

    schema = Schema.from_json(value["schema"])
    signature = signature_of(
        {"name": "user", "shape": [-1], "dtype": "int64", "columns": ["user"]},
        {"name": "item", "shape": [-1], "dtype": "int64", "columns": ["item"]},
    )
    inputs = model_inputs(table, schema, signature)
    assert {name: array.tolist() for name, array in inputs.items()} == {
        "user": [1, 1, 2, 3, 1],
        "item": [10, 11, 10, 12, 10],
    }
    assert targets(table, schema, signature, "regression").tolist() == [4.5, 3, 5, 1, 2]


def test_user_and_item_are_the_first_two_in_the_file_whatever_order_the_schema_has(tmp_path: Path) -> None:
    pq.write_table(pa.table({"who": ["a", "b"], "what": ["x", "x"], "device": ["p", "q"]}), tmp_path / "d.parquet")
    columns = {"device": ("feature", "category"), "what": ("feature", "string"), "who": ("feature", "string")}
    value, _ = imported(tmp_path, tmp_path / "d.parquet", schema_of(columns))
    facts = value["profile"]["who"]["interactions"]
    assert (facts["user"], facts["item"], facts["users"], facts["items"]) == ("who", "what", 2, 1)


def test_interactions_without_a_user_in_a_row_do_not_count(tmp_path: Path) -> None:
    pq.write_table(pa.table({"u": ["a", None, "a"], "i": ["x", "x", None]}), tmp_path / "d.parquet")
    columns = {"u": ("feature", "string"), "i": ("feature", "string")}
    facts = imported(tmp_path, tmp_path / "d.parquet", schema_of(columns))[0]["profile"]["u"]["interactions"]
    assert (facts["pairs"], facts["density"]) == (1, 1.0)


def test_interactions_of_nobody_are_described(tmp_path: Path) -> None:
    pq.write_table(pa.table({"u": pa.nulls(2, pa.string()), "i": ["x", "y"]}), tmp_path / "d.parquet")
    columns = {"u": ("feature", "string"), "i": ("feature", "string")}
    facts = imported(tmp_path, tmp_path / "d.parquet", schema_of(columns))[0]["profile"]["u"]["interactions"]
    assert (facts["users"], facts["pairs"], facts["density"], facts["a_user"]) == (0, 0, None, {"quantiles": []})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"item": ("ignore", "integer")}, "This schema has 'user'"),
        ({"item": ("feature", "float")}, "at least two columns"),
        ({"user": ("id", "integer"), "item": ("id", "integer")}, "This schema has none"),
        ({"again": ("timestamp", "datetime")}, "'at', 'again' all have the role timestamp"),
        ({"rating": ("target", "category")}, "a rating is a number"),
        ({"second": ("target", "float")}, "'rating', 'second' all have the role target"),
    ],
)
def test_a_schema_that_is_not_one_of_interactions_says_why(
    changes: dict[str, tuple[str, str]], sentence: str, tmp_path: Path
) -> None:
    document = schema_of({**INTERACTIONS, **changes})
    with pytest.raises(SchemaError, match=sentence):
        Schema.from_json(document)
    (tmp_path / "data.csv").write_text(",".join(document["columns"]) + "\n")
    with pytest.raises(JobError) as refused:
        imported(tmp_path, tmp_path / "data.csv", document)
    assert refused.value.code == "schema_not_valid"


def test_rating_and_moment_of_interactions_may_be_left_out() -> None:
    schema = Schema.from_json(schema_of({"user": ("feature", "string"), "item": ("feature", "string")}))
    assert (schema.target, schema.identifiers) == (None, ["user", "item"])


def test_token_ids_go_from_the_upload_to_the_inputs_of_a_model(tmp_path: Path) -> None:
    ids = np.random.default_rng(1).integers(0, 30_522, (500, 8)).astype(np.int32)
    labels = np.arange(500) % 2
    np.savez(tmp_path / "tokens.npz", ids=ids, label=labels)
    schema = schema_of({"ids": ("feature", "tokens"), "label": ("target", "integer")}, "text")
    value, table = imported(tmp_path, tmp_path / "tokens.npz", schema)
    assert value["schema"]["columns"]["ids"] == {"role": "feature", "type": "tokens", "shape": [8]}
    assert value["profile"]["ids"]["lowest"] == ids.min()
    assert value["profile"]["ids"]["highest"] == ids.max()
    signature = signature_of({"name": "ids", "shape": [-1, 8], "dtype": "int32"})
    inputs = model_inputs(table, Schema.from_json(value["schema"]), signature)
    np.testing.assert_array_equal(inputs["ids"], ids)


def test_token_ids_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "tokens.npz", ids=np.full((2, 3), 0.5))
    with pytest.raises(JobError) as refused:
        imported(tmp_path, tmp_path / "tokens.npz", schema_of({"ids": ("feature", "tokens")}, "text"))
    assert (refused.value.code, refused.value.place) == ("value_does_not_fit_type", "ids")
