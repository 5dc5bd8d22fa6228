"""Suggested suites through the API and a real worker: ask, read, accept, require, validate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from governance.models import Event
from tests.api.working import Person, work
from validators.models import ExpectationSuite, SuiteProposal

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice_at_work() -> Person:
    return Person("alice", "engineers")


def uploaded(person: Person, folder: Path) -> str:
    """Upload 400 rows of applicants, and return the reference of the version."""
    rng = np.random.default_rng(3)
    rows = 400
    table = pa.table(
        {
            "id": np.arange(rows) + 100,
            "age": np.clip(rng.normal(44, 16, rows), 18, 99).astype(np.int64),
            "income": rng.lognormal(10, 0.5, rows),
            "repaid": rng.integers(0, 2, rows),
        }
    )
    pq.write_table(table, folder / "applicants.parquet")
    person.post("datasets/", {"name": "applicants"}, status=201)
    person.upload("datasets/applicants/versions/", folder / "applicants.parquet")
    work()
    return "applicants/1"


def test_a_suite_is_suggested_accepted_required_and_passed_by_its_source(alice_at_work: Person, tmp_path: Path) -> None:
    alice = alice_at_work
    reference = uploaded(alice, tmp_path)

    asked = alice.post("suites/suggest/", {"dataset": reference})
    assert asked["suggestions"] == []
    early = alice.post(f"proposals/{asked['id']}/accept/", {"name": "applicants"}, status=409)
    assert "has no suggestions" in early["detail"]
    work()
    proposal = alice.get(f"proposals/{asked['id']}/")
    age = next(
        entry
        for entry in proposal["suggestions"]
        if entry["column"] == "age" and entry["type"] == "expect_column_values_to_be_between"
    )
    quantiles = next(entry for entry in proposal["suggestions"] if "quantile" in entry["type"])
    decisions = [
        {"id": age["id"], "decision": "edit", "kwargs": {**age["kwargs"], "max_value": 120}, "severity": "critical"},
        {"id": quantiles["id"], "decision": "drop"},
    ]
    assert not ExpectationSuite.objects.exists()
    suite = alice.post(f"proposals/{asked['id']}/accept/", {"name": "applicants", "decisions": decisions}, status=201)

    assert suite["ref"] == "applicants/1"
    assert len(suite["expectations"]) == proposal["suggestion_count"] - 1
    edited = next(entry for entry in suite["expectations"] if entry["kwargs"].get("max_value") == 120)
    assert edited["severity"] == "critical"
    assert edited["id"] != age["id"]
    assert quantiles["id"] not in [entry["id"] for entry in suite["expectations"]]
    alice.post("suites/applicants/1/require/", {"dataset": "applicants"}, status=200)
    validation = alice.post("validations/", {"dataset": reference, "suite": "applicants/1"})
    work()
    validated = alice.get(f"validations/{validation['id']}/")
    assert validated["success"] is True
    assert validated["statistics"]["passed"] == len(suite["expectations"])
    names = list(Event.objects.filter(name__startswith="proposal.").order_by("sequence").values_list("name", flat=True))
    assert names == ["proposal.requested", "proposal.ended", "proposal.accepted"]
    assert SuiteProposal.objects.get().suite == ExpectationSuite.objects.get()
