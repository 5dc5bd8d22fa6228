"""Cleaning over REST by a worker, in its sandbox: the proof opens the gate, a replay agrees, a row comes back."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from governance.models import DatasetVersion
from tests.api.working import Person, work
from validators.gates import data_validated

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

SUITE = [
    {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "age", "min_value": 0, "max_value": 120},
        "meta": {"clean": {"action": "quarantine"}},
    },
    {
        "type": "expect_column_values_to_be_unique",
        "kwargs": {"column": "id"},
        "meta": {"clean": {"action": "dedupe"}},
    },
    {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "age"},
        "meta": {"clean": {"action": "impute"}},
    },
]
ROWS = ["p0,30", "p1,400", "p2,", "p3,50", "p3,50", *(f"p{number},{number}" for number in range(5, 25))]


def ended(person: Person, path: str) -> Any:
    work()
    found = person.get(path)
    assert found["job"]["state"] == "succeeded", found["job"]
    return found


def test_a_cleaning_proves_itself_and_a_row_comes_back(tmp_path: Path) -> None:
    alice, dave = Person("alice", "engineers"), Person("dave", "auditors")
    alice.post("datasets/", {"name": "people"}, status=201)
    file = tmp_path / "people.csv"
    file.write_text("\n".join(["id,age", *ROWS]))
    alice.upload("datasets/people/versions/", file)
    suite = alice.post("suites/", {"name": "people-suite", "expectations": SUITE}, status=201)["ref"]
    work()

    started = alice.post("cleanings/", {"dataset": "people/1", "suite": suite})
    cleaning = ended(alice, f"cleanings/{started['id']}/")
    report = cleaning["report"]
    assert (report["rows_in"], report["rows_out"], report["rows_quarantined"]) == (25, 23, 2)
    assert report["rules_not_met"] == {"before": 3, "after": 0}
    assert set(cleaning["files"]) == {"quarantine", "changes", "flags", "report"}
    clean = DatasetVersion.objects.get(dataset__name="people", number=2)
    assert data_validated(dataset=clean) == []
    assert alice.get(f"validations/{cleaning['validation']}/")["dataset_digest"] == clean.content_digest

    replay = dave.post(f"cleanings/{cleaning['id']}/replay/", {})
    replay = ended(dave, f"cleanings/{replay['id']}/")
    assert (replay["agrees"], replay["replay_of"], replay["cleaned_to"]) == (True, cleaning["id"], None)
    assert replay["report"] == report
    assert replay["files"] == cleaning["files"]

    removed = dave.get(f"cleanings/{cleaning['id']}/removed/")["results"]
    assert [(line["row"], line["action"]) for line in removed] == [(1, "quarantine"), (4, "dedupe")]
    restoration = alice.post(f"cleanings/{cleaning['id']}/restore/", {"rows": [1], "reason": "She is that old."})
    restoration = ended(alice, f"restorations/{restoration['id']}/")
    assert restoration["restored_to"] == "people/3"
    restored = DatasetVersion.objects.get(dataset__name="people", number=3)
    assert (restored.row_count, restored.cleaned_from) == (24, clean)
    assert data_validated(dataset=restored) != []
    table = pq.read_table(io.BytesIO(dave.download(f"cleanings/{cleaning['id']}/files/quarantine/")))
    assert table["age"].to_pylist() == [400, 50]

    # A rule that has to hold ends the job, and nothing is made.
    must = [{**SUITE[0], "meta": {"clean": {"action": "fail"}}}, SUITE[1]]
    strict = alice.post("suites/", {"name": "strict", "expectations": must}, status=201)["ref"]
    failed = alice.post("cleanings/", {"dataset": "people/1", "suite": strict})
    work()
    failed = alice.get(f"cleanings/{failed['id']}/")
    assert (failed["job"]["state"], failed["job"]["error"]["code"]) == ("failed", "rule_not_met")
    assert "row 1: 400" in failed["job"]["error"]["detail"]
    assert DatasetVersion.objects.filter(dataset__name="people").count() == 3
