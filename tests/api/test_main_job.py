"""The main job, all over REST, with both frameworks: from an upload to an alias that leads to an audited version."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from django.core.management import call_command

from audits.reports import document
from governance.models import InstallationKey
from tests import tiny_models
from tests.api.working import Person, work
from workers.provenance.keys import PublicKey
from workers.provenance.pack import Pack
from workers.provenance.verification import Finding, verify

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

CLASSES = ["no", "yes"]
COLUMNS = ["debt", "income"]
SIGNATURE = tiny_models.signature(classes=CLASSES, columns=COLUMNS)
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "applicant": {"role": "id", "type": "string"},
        "debt": {"role": "feature", "type": "float"},
        "income": {"role": "feature", "type": "float"},
        "repaid": {"role": "target", "type": "category"},
        "split": {"role": "split", "type": "category"},
    },
}
SUITE = [
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "debt", "min_value": -10, "max_value": 10},
        "severity": "critical",
        "meta": {"clean": {"action": "quarantine"}},
    },
    {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "repaid", "value_set": CLASSES},
        "severity": "critical",
    },
]
RECIPE = {
    "loss": "cross_entropy",
    "optimizer": {"name": "sgd", "learning_rate": 0.05},
    "epochs": 2,
    "batch_size": 32,
    "metrics": ["accuracy"],
    "seed": 7,
}
FRAMEWORKS = {"keras": "keras", "pytorch": "pt2"}
ROWS = 600
FAULTY_ROW = 5


def write_applicants(path: Path) -> Path:
    """Write applicants who repay as often as the tiny linear classifier says, and one whose debt is a mistake."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=(ROWS, 2))
    logits = values @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS
    repaid = generator.random(ROWS) < 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(SCHEMA["columns"])
        for row in range(ROWS):
            debt = 9999.0 if row == FAULTY_ROW else round(float(values[row, 0]), 6)
            part = "test" if row % 2 else "train"
            writer.writerow([f"A-{row}", debt, round(float(values[row, 1]), 6), CLASSES[int(repaid[row])], part])
    return path


def test_a_model_of_each_framework_goes_from_upload_to_champion(tmp_path: Path, signing_key: InstallationKey) -> None:
    alice, bob, dave = Person("alice", "engineers"), Person("bob", "approvers"), Person("dave", "auditors")
    register(alice, tmp_path)
    raw = bring_data(alice, tmp_path)
    suite = alice.post("suites/", {"name": "applicants-suite", "expectations": SUITE}, status=201)["ref"]

    validation = validate(alice, raw, suite)
    assert validation["success"] is False
    assert validation["statistics"]["failed"] == 1
    refused = alice.post("trainings/", {"model": "keras/1", "dataset": raw, "recipe": RECIPE}, status=409)
    (reason,) = refused["reasons"]
    assert "1 of 2 expectations were not met" in reason

    clean = clean_data(alice, raw, suite)
    assert validate(alice, clean, suite)["success"] is True

    train(alice, clean)
    evaluate(dave, clean)
    explain(dave, clean)
    audits = audit(dave, clean)
    decide(alice, bob, audits)
    verify_packs(dave, audits, PublicKey.read(signing_key.public_key))

    for name in FRAMEWORKS:
        version = alice.get(f"models/{name}/")["aliases"][0]
        assert (version["name"], version["version"], version["state"]) == ("champion", f"{name}/2", "approved")
        # What an alias leads to can be worked with.
        started = dave.post("evaluations/", {"model": f"{name}@champion", "dataset": clean})
        assert started["model"] == f"{name}/2"
    assert_the_record_is_whole(dave)


def register(alice: Person, folder: Path) -> None:
    for name, suffix in FRAMEWORKS.items():
        about = {"name": name, "task": "classification", "tier": "medium", "intended_use": "Rank applications."}
        alice.post("models/", about, status=201)
        file = tiny_models.linear_classifier(folder / f"{name}.{suffix}")
        version = alice.upload(f"models/{name}/versions/", file, signature=json.dumps(SIGNATURE))
        assert (version["state"], version["job"]["state"]) == ("quarantined", "queued")
    work()
    for name, suffix in FRAMEWORKS.items():
        version = alice.get(f"models/{name}/versions/1/")
        assert (version["state"], version["framework"], version["format"]) == ("registered", name, suffix)
        assert version["inspection"]["verdict"] == "registered"
        assert version["signature"]["outputs"][0]["classes"] == CLASSES


def bring_data(alice: Person, folder: Path) -> str:
    alice.post("datasets/", {"name": "applicants"}, status=201)
    file = write_applicants(folder / "applicants.csv")
    alice.upload("datasets/applicants/versions/", file, schema=json.dumps(SCHEMA))
    work()
    version = alice.get("datasets/applicants/versions/1/")
    assert (version["state"], version["row_count"]) == ("ready", ROWS)
    return str(version["ref"])


def validate(person: Person, dataset: str, suite: str) -> Any:
    started = person.post("validations/", {"dataset": dataset, "suite": suite})
    work()
    return person.get(f"validations/{started['id']}/")


def clean_data(alice: Person, dataset: str, suite: str) -> str:
    started = alice.post("cleanings/", {"dataset": dataset, "suite": suite})
    work()
    cleaning = alice.get(f"cleanings/{started['id']}/")
    report = cleaning["report"]
    assert (report["rows_in"], report["rows_out"], report["rows_quarantined"]) == (ROWS, ROWS - 1, 1)
    version = alice.get("datasets/applicants/versions/2/")
    assert (version["ref"], version["cleaned_from"]) == (cleaning["cleaned_to"], dataset)
    return str(version["ref"])


def train(alice: Person, dataset: str) -> None:
    """Train each model twice: the same seed and data give the same weights, another seed gives others."""
    started = {
        name: [
            alice.post("trainings/", {"model": f"{name}/1", "dataset": dataset, "recipe": {**RECIPE, "seed": seed}})
            for seed in (7, 7, 8)
        ]
        for name in FRAMEWORKS
    }
    work()
    for name, requests in started.items():
        trainings = [alice.get(f"trainings/{request['id']}/") for request in requests]
        assert {training["job"]["state"] for training in trainings} == {"succeeded"}, trainings
        assert [row["epoch"] for row in trainings[0]["history"]] == [1, 2]
        produced = [alice.get(f"models/{t['produced'].replace('/', '/versions/')}/") for t in trainings]
        assert {version["retrained_from"] for version in produced} == {f"{name}/1"}
        assert {version["training_data"] for version in produced} == {dataset}
        same, again, other = (version["weights_digest"] for version in produced)
        assert same == again != other
        assert same != alice.get(f"models/{name}/versions/1/")["weights_digest"]


def evaluate(dave: Person, dataset: str) -> None:
    started = [
        dave.post("evaluations/", {"model": f"{name}/2", "dataset": dataset, "compare_with": f"{name}/1"})
        for name in FRAMEWORKS
    ]
    work()
    for request in started:
        evaluation = dave.get(f"evaluations/{request['id']}/")
        accuracy = next(metric for metric in evaluation["metrics"] if metric["name"] == "accuracy")
        assert accuracy["low"] < accuracy["value"] < accuracy["high"]
        assert accuracy["n"] == ROWS // 2 - 1
        difference = next(metric for metric in evaluation["comparison"]["metrics"] if metric["name"] == "accuracy")
        assert difference["low"] <= difference["difference"] <= difference["high"]


def explain(dave: Person, dataset: str) -> None:
    """The model is linear: how far two rows differ says how far their values do."""
    started = [
        dave.post("explanations/", {"model": f"{name}/2", "dataset": dataset, "rows": 20, "background_rows": 50})
        for name in FRAMEWORKS
    ]
    work()
    for request in started:
        explanation = dave.get(f"explanations/{request['id']}/")
        assert explanation["admitted"] is True, explanation["reasons"]
        with np.load(io.BytesIO(dave.download(f"explanations/{request['id']}/files/attributions.npz/"))) as arrays:
            values, data = arrays["values"], arrays["data"]
        assert values.shape == (20, 2, 2)
        slopes = np.ptp(values, axis=0) / np.ptp(data, axis=0)[:, None]
        assert slopes == pytest.approx(np.abs(tiny_models.LINEAR_WEIGHTS), abs=0.3)


def audit(dave: Person, dataset: str) -> dict[str, int]:
    started = {name: dave.post("audits/", {"model": f"{name}/2", "dataset": dataset}) for name in FRAMEWORKS}
    work()
    for name, request in started.items():
        done = dave.get(f"audits/{request['id']}/")
        assert done["criteria_digest"] == request["criteria_digest"]
        checks = [(check["id"], check["status"], check["reason"]) for check in done["checks"]]
        assert done["verdict"] == "passed", checks
        assert {status for _, status, _ in checks} <= {"passed", "not_applicable"}, checks
        html = dave.download(f"audits/{request['id']}/report/?format=html").decode()
        assert html.startswith("<!doctype html>")
        assert f"{name}/2" in html
        report = json.loads(dave.download(f"audits/{request['id']}/report/?format=json"))
        jsonschema.validate(report, document.schema())
    return {name: request["id"] for name, request in started.items()}


def decide(alice: Person, bob: Person, audits: dict[str, int]) -> None:
    for name, number in audits.items():
        asked = {"model": f"{name}/2", "alias": "champion", "evidence": [f"audit:{number}"]}
        review = alice.post("reviews/", asked, status=201)
        approval = {"decision": "approve", "comment": "It passed on data that was validated."}
        alice.post(f"reviews/{review['id']}/decide/", approval, status=403)
        assert bob.post(f"reviews/{review['id']}/decide/", approval, status=200)["state"] == "approved"


def verify_packs(dave: Person, audits: dict[str, int], key: PublicKey) -> None:
    """What was signed on the way holds for somebody who has the pack and the key, and nothing else."""
    for name, number in audits.items():
        pack = Pack.read(io.BytesIO(dave.download(f"audits/{number}/pack/")))
        outcomes = verify(pack, [key])
        assert [outcome for outcome in outcomes if outcome.finding is Finding.FAILS] == []
        component = json.loads(pack.files["bom.json"])["metadata"]["component"]
        assert (component["name"], component["version"]) == (name, "2")
        metrics = component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
        assert "confidenceInterval" in next(metric for metric in metrics if metric["type"] == "accuracy")


def assert_the_record_is_whole(dave: Person) -> None:
    told = [row["name"] for row in dave.get("events/?page_size=100")["results"]]
    assert "alias.moved" in told
    said = io.StringIO()
    call_command("verify", stdout=said)
    assert "The record verifies." in said.getvalue()
