"""Screenings through the API and a real worker: started, read, downloaded, and made a plan that a cleaning takes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests import factories, page_factories
from tests.api.working import API, Person, work
from validators.models import Screening

SCHEMA = (
    '{"modality": "tabular", "columns": {"age": {"role": "feature", "type": "float"}, '
    '"income": {"role": "feature", "type": "float"}, "repaid": {"role": "target", "type": "category"}}}'
)


def table(path: Path, seed: int) -> Path:
    """Write 400 people, of whom three have an age that nobody has and two come twice."""
    generator = np.random.default_rng(seed)
    age = np.round(generator.normal(45, 10, 400), 3)
    columns = {"age": age, "income": np.round(generator.normal(3_000, 500, 400), 3)}
    columns["repaid"] = np.where(columns["income"] > 2_800, "yes", "no")
    columns["age"][[5, 17, 301]] = 999.0
    for values in columns.values():
        values[[398, 399]] = values[[2, 3]]
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def alice_works(db) -> Person:
    return Person("alice", "engineers")


def uploaded(alice: Person, path: Path, name: str) -> str:
    alice.post("datasets/", {"name": name}, status=201)
    return str(alice.upload(f"datasets/{name}/versions/", path, schema=SCHEMA)["ref"])


@pytest.mark.django_db(transaction=True)
def test_a_screening_finds_what_is_wrong_and_its_plan_cleans_it(tmp_path: Path) -> None:
    alice = Person("alice", "engineers")
    ref = uploaded(alice, table(tmp_path / "people.parquet", 1), "people")
    work()
    started = alice.post(
        "screenings/", {"dataset": ref, "detectors": ["iqr", "exact_duplicates"], "parameters": {"iqr": {"k": 4}}}
    )
    assert started["detections"] == []
    work()

    screening = alice.get(f"screenings/{started['id']}/")
    by_name = {entry["detector"]: entry for entry in screening["detections"]}
    assert screening["job"]["state"] == "succeeded"
    assert [entry["status"] for entry in screening["detections"]] == ["found", "found"]
    assert by_name["iqr"]["parameters"]["k"] == 4
    assert {row["row"] for row in by_name["iqr"]["rows"]} == {5, 17, 301}
    assert by_name["exact_duplicates"]["count"] == 2

    rows = pq.read_table(io.BytesIO(alice.download(f"screenings/{started['id']}/rows/"))).to_pylist()
    assert {(row["row"], row["detector"]) for row in rows} >= {(5, "iqr"), (398, "exact_duplicates")}

    plan = alice.get(f"screenings/{started['id']}/plan/")
    assert [step["rule"]["kwargs"]["column"] for step in plan["plan"]] == ["age"]
    assert any("Repeated rows" in sentence for sentence in plan["left_out"])
    cleaning = alice.post("cleanings/", {"dataset": plan["dataset"], "plan": plan["plan"]})
    work()
    cleaned = alice.get(f"cleanings/{cleaning['id']}/")
    assert cleaned["report"]["rows_quarantined"] == 3
    assert cleaned["report"]["rows_out"] == 397

    again = alice.post("screenings/", {"dataset": cleaned["cleaned_to"], "detectors": ["iqr"]})
    work()
    assert alice.get(f"screenings/{again['id']}/")["detections"][0]["count"] == 0


@pytest.mark.django_db(transaction=True)
def test_leakage_and_drift_compare_two_versions(tmp_path: Path) -> None:
    alice = Person("alice", "engineers")
    training = uploaded(alice, table(tmp_path / "training.parquet", 1), "training")
    leaky = uploaded(alice, table(tmp_path / "leaky.parquet", 1), "leaky")
    work()
    leak = alice.post("screenings/", {"dataset": training, "against": leaky, "purpose": "evaluation"})
    drift = alice.post("screenings/", {"dataset": training, "against": leaky, "purpose": "drift"})
    work()

    found = {entry["detector"]: entry for entry in alice.get(f"screenings/{leak['id']}/")["detections"]}
    assert found["exact_duplicates"]["count"] == 400
    assert leaky in found["exact_duplicates"]["sentence"]
    moved = alice.get(f"screenings/{drift['id']}/")
    assert [entry["status"] for entry in moved["detections"]] == ["not_found", "not_found"]
    assert moved["against"] == leaky
    assert moved["against_digest"].startswith("sha256:")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"purpose": "drift"}, "against"),
        ({"against": "other"}, "against"),
        ({"purpose": "evaluation", "against": "same"}, "against"),
        ({"detectors": ["iqr", "hope"]}, "detectors"),
        ({"detectors": ["column_drift"]}, "detectors"),
        ({"detectors": ["iqr"], "parameters": {"mad": {}}}, "parameters"),
        ({"parameters": {"iqr": {"k": "three"}}}, "parameters"),
        ({"parameters": {"iqr": {"k": 0}}}, "parameters"),
        ({"parameters": {"iqr": {"depth": 3}}}, "parameters"),
        ({"purpose": "beauty"}, "purpose"),
        ({"suite": "people/1"}, "suite"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_its_place(
    alice_works: Person, body: dict[str, Any], place: str
) -> None:
    dataset, other = factories.DatasetVersionFactory(), factories.DatasetVersionFactory()
    named = {"other": other.ref, "same": dataset.ref}
    body = {name: named.get(value, value) if isinstance(value, str) else value for name, value in body.items()}

    answer = alice_works.client.post(f"{API}screenings/", {"dataset": dataset.ref, **body}, format="json")

    assert answer.status_code in (400, 422)
    assert place in str(answer.json())
    assert not Screening.objects.exists()


def test_a_screening_without_a_result_has_neither_rows_nor_a_plan(alice_works: Person) -> None:
    dataset = factories.DatasetVersionFactory()
    started = alice_works.post("screenings/", {"dataset": dataset.ref})

    for part in ("rows", "plan"):
        answer = alice_works.get(f"screenings/{started['id']}/{part}/", status=409)
        assert "ended" in answer["detail"]


def test_a_plan_of_nothing_found_is_empty(alice_works: Person) -> None:
    screening = page_factories.screening(
        factories.DatasetVersionFactory(), detections=[page_factories.detection("iqr", "not_found")]
    )

    assert alice_works.get(f"screenings/{screening.pk}/plan/") == {
        "dataset": screening.dataset.ref,
        "plan": [],
        "left_out": [],
    }
