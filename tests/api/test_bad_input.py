"""Bad input from the request to the end of its job: what is wrong is told with its place, and nothing is half-done."""

from __future__ import annotations

import errno
import io
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance import storage
from governance.models import DatasetVersion, Job, ModelVersion, StoredFile
from tests import factories, tiny_models
from tests.api.hostile_models import write_bad_models
from tests.api.uploads import form
from tests.api.working import Person, work

with_worker = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice_works(transactional_db: None) -> Person:
    return Person("alice", "engineers")


# -------------------------------------------------------------------------------------------------- models
@with_worker
def test_broken_and_hostile_models_end_rejected_with_a_finding_that_names_the_place(
    alice_works: Person, tmp_path: Path
) -> None:
    marker = tmp_path / "something-ran"
    about = {"name": "m", "task": "classification", "tier": "low", "intended_use": "None."}
    alice_works.post("models/", about, status=201)
    bad = list(write_bad_models(tmp_path, marker))
    for entry in bad:
        alice_works.upload("models/m/versions/", entry.file)
    work()
    for number, entry in enumerate(bad, start=1):
        version = alice_works.get(f"models/m/versions/{number}/")
        assert (version["filename"], version["state"]) == (entry.file.name, "rejected"), version
        assert version["job"]["state"] == "succeeded"
        assert version["inspection"]["verdict"] == "rejected"
        found = {finding["id"]: finding for finding in version["inspection"]["findings"]}
        assert entry.finding in found, (entry, found)
        assert entry.place in found[entry.finding]["place"]
        assert found[entry.finding]["detail"].endswith(".")
        assert version["state_reason"]
        # Nothing of it can be loaded, now or later.
        assert version["rewritten_digest"] is None
        evaluation = {"model": f"m/{number}", "dataset": factories.DatasetVersionFactory().ref}
        assert "rejected" in alice_works.post("evaluations/", evaluation, status=409)["detail"]
    assert not marker.exists()


# ---------------------------------------------------------------------------------------------------- data
def parquet(**columns: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def arrow(**columns: Any) -> bytes:
    stream = io.BytesIO()
    table = pa.table(columns)
    with pa.ipc.new_file(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


LACKING = {"modality": "tabular", "columns": {"a": {"role": "feature", "type": "float"}, "b": {"role": "target"}}}
LACKING["columns"]["b"]["type"] = "category"

#: File name, content, stated schema, code of the error, and words of the sentence that a person reads.
BAD_DATA: list[tuple[str, bytes, dict[str, Any] | None, str, str]] = [
    ("ragged.csv", b"a,b\n1,2\n3\n", None, "ragged_row", "line 3"),
    ("mixed.csv", b"a\n1\n2\nx\n4\n", None, "mixed_types", "Row 2 (counted from 0) of the column 'a' holds 'x'"),
    ("latin.csv", "name\nMüller\n".encode("latin-1"), None, "unknown_encoding", "byte 6"),
    ("headless.csv", b"1,2\n3,4\n", None, "no_header", "line 1"),
    ("wide.csv", ",".join(f"c{n}" for n in range(1_000_000)).encode() + b"\n1\n", None, "too_many_columns", "at most"),
    ("cut.parquet", parquet(a=list(range(100)))[:-9], None, "parquet_cut", "byte"),
    ("objects.npz", npz(a=np.array([{}], dtype=object)), None, "object_array", "'a'"),
    ("cut.npz", npz(a=np.arange(100))[:-30], None, "npz_cut", "byte"),
    ("cut.arrow", arrow(a=list(range(100)))[:-9], None, "arrow_cut", "without its end mark"),
    ("big.parquet", parquet(a=np.array([1, 2**63], np.uint64)), None, "value_does_not_fit_type", "Row 1"),
    ("renamed.csv", parquet(a=[1]), None, "not_what_its_name_says", "those of Parquet"),
    ("lacking.csv", b"a\n1\n2\n", LACKING, "column_missing", "'b'"),
]


@with_worker
def test_data_that_cannot_be_read_end_rejected_with_a_sentence(alice_works: Person, tmp_path: Path) -> None:
    alice_works.post("datasets/", {"name": "d"}, status=201)
    for filename, content, schema, _, _ in BAD_DATA:
        (tmp_path / filename).write_bytes(content)
        fields = {} if schema is None else {"schema": json.dumps(schema)}
        alice_works.upload("datasets/d/versions/", tmp_path / filename, **fields)
    kept = StoredFile.objects.count()
    work()
    for number, (filename, _, _, code, words) in enumerate(BAD_DATA, start=1):
        version = alice_works.get(f"datasets/d/versions/{number}/")
        told = f"{filename}: {version['state']}: {version['state_reason']} {version['job']['error']}"
        assert (version["filename"], version["state"]) == (filename, "rejected"), told
        assert (version["job"]["state"], version["job"]["error"]["code"]) == ("failed", code), told
        assert version["job"]["error"]["errored"] is False, told
        assert words in version["state_reason"], told
        assert (version["digest"], version["row_count"]) == ("", None), told
    assert not DatasetVersion.objects.exclude(table=None).exists()
    # Beside the uploads, only the logs were stored.
    logs = Job.objects.exclude(log=None).values("log").distinct().count()
    assert StoredFile.objects.count() <= kept + logs


# ------------------------------------------------------------------------------------------- at request time
@pytest.mark.django_db
@pytest.mark.usefixtures("open_gates")
@pytest.mark.parametrize("path", ["trainings", "evaluations", "explanations", "audits"])
@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"income": {"role": "feature", "type": "float"}}, ["'age'"]),
        (
            {
                "age": {"role": "feature", "type": "float", "shape": [3]},
                "income": {"role": "feature", "type": "float"},
                "repaid": {"role": "target", "type": "category"},
            },
            ["'features' has shape [-1, 2]", "age [3]"],
        ),
    ],
    ids=["a column that is not there", "another shape"],
)
def test_a_model_that_does_not_fit_the_data_starts_no_job(
    path: str, columns: dict[str, Any], words: list[str], alice_api: Any
) -> None:
    dataset = factories.DatasetVersionFactory(schema={"modality": "tabular", "columns": columns})
    body = {"model": factories.ModelVersionFactory().ref, "dataset": dataset.ref}
    before = Job.objects.count()

    response = alice_api.post(f"/api/v1/{path}/", body, format="json")

    assert response.status_code == 422, response.content
    told = " ".join([response.json()["detail"], *(error["detail"] for error in response.json()["errors"])])
    assert all(word in told for word in words), told
    assert Job.objects.count() == before


# ------------------------------------------------------------------------------------------------ in the job
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "debt": {"role": "feature", "type": "float"},
        "income": {"role": "feature", "type": "float"},
        "repaid": {"role": "target", "type": "category"},
    },
}
SIGNATURE = tiny_models.signature(classes=["no", "yes"], columns=["debt", "income"])
RECIPE = {"loss": "cross_entropy", "optimizer": {"name": "sgd", "learning_rate": 0.1}, "epochs": 3, "batch_size": 4}


@with_worker
@pytest.mark.usefixtures("open_gates")
def test_a_training_that_cannot_go_on_fails_with_its_place_and_makes_no_version(
    alice_works: Person, tmp_path: Path
) -> None:
    """Labels outside the classes, and a loss that is not a number, in both frameworks."""
    frameworks = {"keras": "keras", "pytorch": "pt2"}
    for name, suffix in frameworks.items():
        about = {"name": name, "task": "classification", "tier": "low", "intended_use": "None."}
        alice_works.post("models/", about, status=201)
        file = tiny_models.linear_classifier(tmp_path / f"{name}.{suffix}")
        alice_works.upload(f"models/{name}/versions/", file, signature=json.dumps(SIGNATURE))
    alice_works.post("datasets/", {"name": "d"}, status=201)
    outside = [f"{n % 5 / 4},{n % 3},{'maybe' if n == 17 else 'no' if n % 2 else 'yes'}" for n in range(24)]
    enormous = [f"{n % 5}e37,{n % 3},{'no' if n % 2 else 'yes'}" for n in range(24)]
    for number, rows in enumerate([outside, enormous], start=1):
        (tmp_path / f"{number}.csv").write_text("\n".join(["debt,income,repaid", *rows, ""]))
        alice_works.upload("datasets/d/versions/", tmp_path / f"{number}.csv", schema=json.dumps(SCHEMA))
    work()
    started = {
        name: [
            alice_works.post("trainings/", {"model": f"{name}/1", "dataset": dataset, "recipe": RECIPE})
            for dataset in ("d/1", "d/2")
        ]
        for name in frameworks
    }
    work()
    for name in frameworks:
        unknown, diverged = (alice_works.get(f"trainings/{request['id']}/") for request in started[name])
        error = unknown["job"]["error"]
        assert (error["code"], error["errored"]) == ("label_outside_classes", False), error
        assert error["place"] == "repaid, row 17"
        assert "'maybe'" in error["detail"]
        error = diverged["job"]["error"]
        assert (error["code"], error["errored"]) == ("loss_not_finite", False), error
        assert error["place"].startswith("epoch ")
        assert {unknown["produced"], diverged["produced"]} == {None}
    assert ModelVersion.objects.count() == len(frameworks)


@with_worker
def test_an_expectation_that_cannot_run_leaves_the_results_of_the_others(alice_works: Person, tmp_path: Path) -> None:
    alice_works.post("datasets/", {"name": "d"}, status=201)
    (tmp_path / "d.csv").write_text("age,mail\n30,a@x.org\n-1,b@x.org\n40,c@x.org\n")
    alice_works.upload("datasets/d/versions/", tmp_path / "d.csv")
    expectations = [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "age", "min_value": 0}},
        {"type": "expect_column_values_to_be_splendid", "kwargs": {"column": "age"}},
        {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "mail", "regex": "(["}},
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "mail"}},
    ]
    suite = alice_works.post("suites/", {"name": "s", "expectations": expectations}, status=201)["ref"]
    work()
    started = alice_works.post("validations/", {"dataset": "d/1", "suite": suite})
    work()
    validation = alice_works.get(f"validations/{started['id']}/")
    assert [result["status"] for result in validation["results"]] == ["failed", "error", "error", "passed"]
    assert validation["success"] is False
    assert "expect_column_values_to_be_splendid" in validation["results"][1]["message"]
    assert "([" in validation["results"][2]["message"]
    rows = pq.read_table(io.BytesIO(alice_works.download(f"validations/{started['id']}/rows/")))
    assert rows["row"].to_pylist() == [1]


# --------------------------------------------------------------------------------------------- a full disk
@pytest.mark.django_db
def test_an_upload_to_a_full_disk_is_told_and_leaves_nothing(
    alice_api: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = factories.RegisteredModelFactory()
    written: list[int] = []
    real = os.write

    def full(descriptor: int, content: Any) -> int:
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(real(descriptor, bytes(content)[:5]))
        return written[0]

    monkeypatch.setattr(storage.os, "write", full)
    response = alice_api.post(f"/api/v1/models/{model.name}/versions/", form(b"x" * 1000), format="multipart")
    monkeypatch.undo()

    assert response.status_code == 507, response.content
    assert "disk of the store is full" in response.json()["detail"]
    assert [kind.objects.count() for kind in (ModelVersion, Job, StoredFile)] == [0, 0, 0]
    assert not [path for path in Path(settings.ASSAY_STORE_FOLDER).rglob("*") if path.is_file()]


@with_worker
def test_an_import_whose_store_is_full_fails_and_leaves_nothing_of_its_result(
    alice_works: Person, tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is done; its result cannot be kept: no file, no row of it stays."""
    alice_works.post("datasets/", {"name": "d"}, status=201)
    (tmp_path / "d.csv").write_text("a\n1\n2\n")
    alice_works.upload("datasets/d/versions/", tmp_path / "d.csv")
    before = set(StoredFile.objects.values_list("digest", flat=True))

    def full(*arguments: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(storage.os, "fchmod", full)
    work()
    monkeypatch.undo()

    version = alice_works.get("datasets/d/versions/1/")
    assert (version["state"], version["digest"]) == ("rejected", "")
    assert (version["job"]["state"], version["job"]["error"]["code"]) == ("failed", "storage_full")
    assert "disk of the store is full" in version["state_reason"]
    assert set(StoredFile.objects.values_list("digest", flat=True)) == before
    assert not list(Path(settings.ASSAY_STORE_FOLDER).glob("incoming/*"))
    assert not list(Path(settings.ASSAY_JOBS_FOLDER).glob("*"))
