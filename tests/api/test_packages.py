"""Model packages from the how-to page, all over REST: quarantined, released, trained further, explained, audited."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from governance.models import Event
from tests.api.working import Person, work

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

PAGE = Path(__file__).parents[2] / "docs/how-to/package-a-model.md"
FRAMEWORKS = {"pytorch": "## PyTorch", "keras": "## Keras"}
SOURCES = {"pytorch": {"layers.py", "model.py"}, "keras": {"custom_objects.py"}}
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "debt": {"role": "feature", "type": "float"},
        "income": {"role": "feature", "type": "float"},
        "repaid": {"role": "target", "type": "category"},
    },
}
SUITE = [
    {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "repaid", "value_set": ["no", "yes"]},
        "severity": "critical",
    }
]
ROWS = 300


def packed(framework: str, folder: Path) -> Path:
    """Do what the page says: write its files, run its script, and return the package."""
    section = PAGE.read_text().partition(f"\n{FRAMEWORKS[framework]}\n")[2].partition("\n## ")[0]
    files = dict(re.findall(r"\*\*`([^`]+)`\*\*\n\n```\w+\n(.*?)```", section, re.DOTALL))
    folder = folder / framework
    (folder / "scorer").mkdir(parents=True)
    for name, content in files.items():
        (folder / name if name == "pack.py" else folder / "scorer" / name).write_text(content)
    subprocess.run([sys.executable, "pack.py"], cwd=folder, check=True, env={"KERAS_BACKEND": "tensorflow"})
    return folder / "credit-scorer.zip"


def write_applicants(path: Path) -> Path:
    values = np.random.default_rng(3).normal(size=(ROWS, 2))
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(SCHEMA["columns"])
        writer.writerows([*row.round(6).tolist(), "yes" if row[1] > row[0] else "no"] for row in values)
    return path


def test_a_package_of_each_framework_goes_from_quarantine_to_audit(tmp_path: Path) -> None:
    alice, dave, erin = Person("alice", "engineers"), Person("dave", "auditors"), Person("erin", "administrators")
    upload(alice, tmp_path)
    release(alice, erin)
    data = bring_data(alice, tmp_path)
    train(alice, data)
    measure(dave, data)


def version_of(person: Person, name: str, number: int) -> Any:
    return person.get(f"models/{name}/versions/{number}/")


def upload(alice: Person, folder: Path) -> None:
    for name in FRAMEWORKS:
        about = {"name": name, "task": "classification", "tier": "medium", "intended_use": "Rank applications."}
        alice.post("models/", about, status=201)
        alice.upload(f"models/{name}/versions/", packed(name, folder))
    work()
    for name in FRAMEWORKS:
        version = version_of(alice, name, 1)
        assert (version["state"], version["format"], version["framework"]) == ("quarantined", "package", name)
        assert [finding["id"] for finding in version["inspection"]["findings"]] == ["ART-03.package"]
        assert set(version["inspection"]["sources"]) == SOURCES[name]
        assert version["rewritten_digest"] is None


def release(alice: Person, erin: Person) -> None:
    reason = {"reason": "Read the sources: tensors in, tensors out."}
    for name in FRAMEWORKS:
        alice.post(f"models/{name}/versions/1/release/", reason, status=403)
        released = erin.post(f"models/{name}/versions/1/release/", reason)
        assert (released["state"], released["job"]["state"]) == ("quarantined", "queued")
    work()
    for name in FRAMEWORKS:
        version = version_of(alice, name, 1)
        assert version["state"] == "registered", version["state_reason"]
        assert version["inspection"]["accepted"]["ids"] == ["ART-03.package"]
        assert version["inspection"]["accepted"]["by"] == "erin"
        assert version["signature"]["inputs"][0]["columns"] == ["debt", "income"]
        assert version["recipe"]["loss"].endswith(":cautious")
        assert "Gate" in {layer["kind"] for layer in version["layers"]}


def bring_data(alice: Person, folder: Path) -> str:
    alice.post("datasets/", {"name": "applicants"}, status=201)
    file = write_applicants(folder / "applicants.csv")
    alice.upload("datasets/applicants/versions/", file, schema=json.dumps(SCHEMA))
    suite = alice.post("suites/", {"name": "applicants-suite", "expectations": SUITE}, status=201)["ref"]
    work()
    alice.post("validations/", {"dataset": "applicants/1", "suite": suite})
    work()
    return "applicants/1"


def train(alice: Person, data: str) -> None:
    """Train by the recipe of the package, with its own loss: new weights, the sources as they were."""
    asked = {name: alice.post("trainings/", {"model": f"{name}/1", "dataset": data}) for name in FRAMEWORKS}
    work()
    for name, request in asked.items():
        training = alice.get(f"trainings/{request['id']}/")
        assert (training["job"]["state"], training["produced"]) == ("succeeded", f"{name}/2"), training
        assert training["history"][-1]["loss"] < training["history"][0]["loss"]
        origin, made = version_of(alice, name, 1), version_of(alice, name, 2)
        assert (made["state"], made["format"]) == ("registered", "package"), made["state_reason"]
        assert origin["weights_digest"] != made["weights_digest"]
        assert made["inspection"]["sources"] == origin["inspection"]["sources"]
        assert made["inspection"]["accepted"] == origin["inspection"]["accepted"]
        assert made["recipe"] == origin["recipe"]


def measure(dave: Person, data: str) -> None:
    evaluations, explanations, audits = {}, {}, {}
    for name in FRAMEWORKS:
        body = {"model": f"{name}/2", "dataset": data}
        evaluations[name] = dave.post("evaluations/", body)["id"]
        explanations[name] = dave.post("explanations/", {**body, "rows": 10, "background_rows": 50})["id"]
        audits[name] = dave.post("audits/", body)["id"]
    work()
    for name in FRAMEWORKS:
        evaluation = dave.get(f"evaluations/{evaluations[name]}/")
        accuracy = next(metric for metric in evaluation["metrics"] if metric["name"] == "accuracy")
        assert accuracy["value"] > 0.8
        assert dave.get(f"explanations/{explanations[name]}/")["admitted"] is True
        audit = dave.get(f"audits/{audits[name]}/")
        statuses = {check["id"]: check["status"] for check in audit["checks"]}
        assert "error" not in statuses.values(), audit["checks"]
        code = next(check for check in audit["checks"] if check["id"] == "ART-01")
        assert code["status"] == "passed"
        assert "erin released" in code["reason"]
    assert Event.objects.filter(name="version.released", actor="erin").count() == len(FRAMEWORKS)
