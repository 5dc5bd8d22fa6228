"""ART-01 and DAT-04 judge what the record knows: nothing known is never a pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from audits.engine.checks.base import CheckResult
from tests.audits.engine.cases import rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel

DIGEST = "sha256:aa"


def run(check_id: str, folder: Path, facts: dict[str, Any], **settings: Any) -> CheckResult:
    model = NumpyModel([[1.0, 0.0]], columns=["x"])
    rows = rows_of(model, schema_of(x="feature float", y="target integer"), {"x": [1.0], "y": [0]})
    return run_check(check_id, folder, model, rows, facts=facts, **settings)


def finding(identifier: str, severity: str = "critical") -> dict[str, Any]:
    return {
        "id": identifier,
        "severity": severity,
        "title": "A pickle",
        "detail": "Opcode.",
        "place": "data.pkl",
        "references": [],
    }


def test_no_inspection_is_an_error(tmp_path: Path) -> None:
    for facts in ({}, {"inspection": None}):
        result = run("ART-01", tmp_path, facts)
        assert result.status == "error"
        assert "no inspection" in result.reason


def test_an_inspection_without_code_passes_and_names_its_other_findings(tmp_path: Path) -> None:
    inspection = {"verdict": "registered", "findings": [finding("ART-03.extra_files", "low")]}
    result = run("ART-01", tmp_path, {"inspection": inspection, "artifact_digest": DIGEST})
    assert result.status == "passed"
    assert result.severity == ""
    assert result.metrics[0].value == 0
    assert result.detail["other_findings"] == ["ART-03.extra_files"]
    assert not result.findings


def test_code_in_the_artefact_fails_with_its_place_and_severity(tmp_path: Path) -> None:
    inspection = {
        "verdict": "quarantined",
        "findings": [finding("ART-01.pickle"), finding("ART-01.keras_class", "high")],
    }
    result = run("ART-01", tmp_path, {"inspection": inspection})
    assert (result.status, result.severity) == ("failed", "critical")
    assert result.metrics[0].value == 2
    assert [draft.severity for draft in result.findings] == ["critical", "high"]
    assert "data.pkl" in result.findings[0].detail


@pytest.mark.parametrize(
    ("who", "words"),
    [
        ({"by": "erin", "reason": "Read both sources."}, "erin released it with ART-03.package: Read both sources."),
        ({"policy": "lenient/2"}, "The policy lenient/2 accepts ART-03.package."),
    ],
)
def test_code_that_was_accepted_by_name_passes_and_says_who_accepted_it(
    tmp_path: Path, who: dict[str, str], words: str
) -> None:
    inspection = {
        "verdict": "registered",
        "findings": [finding("ART-03.package", "medium")],
        "sources": {"model.py": DIGEST},
        "accepted": {"ids": ["ART-03.package"], **who},
    }
    result = run("ART-01", tmp_path, {"inspection": inspection})
    assert (result.status, result.metrics[0].value) == ("passed", 0)
    assert words in result.reason
    assert (result.detail["accepted"], result.detail["sources"]) == (inspection["accepted"], {"model.py": DIGEST})


def validation(status: str, digest: str = DIGEST, **more: Any) -> dict[str, Any]:
    known = {"id": 12, "status": status, "suite": "clinic/1", "dataset_digest": digest, **more}
    return {"validation": known, "training_dataset_digest": DIGEST}


def test_a_passed_validation_of_the_same_digest_passes(tmp_path: Path) -> None:
    result = run("DAT-04", tmp_path, validation("passed"))
    assert result.status == "passed"
    assert "Validation 12 against clinic/1" in result.reason


@pytest.mark.parametrize(
    ("facts", "severity", "told"),
    [
        (validation("failed"), "high", "failed on the training data"),
        (validation("passed", digest="sha256:bb"), "high", "was made on sha256:bb, not on sha256:aa"),
        (validation("none", reason="No suite is required."), "high", "No suite is required."),
        ({"validation": None, "training_dataset_digest": DIGEST}, "high", "have not been validated"),
        ({"validation": None, "training_dataset_digest": None}, "high", "does not say on which data"),
        (validation("unheard of"), "high", "unknown state 'unheard of'"),
        (
            validation("waived", waiver={"reason": "two blank rows", "expires_at": "2027-01-01"}),
            "medium",
            "waived until 2027-01-01: two blank rows",
        ),
    ],
)
def test_what_is_not_a_pass_fails_and_says_why(tmp_path: Path, facts: dict[str, Any], severity: str, told: str) -> None:
    result = run("DAT-04", tmp_path, facts)
    assert (result.status, result.severity) == ("failed", severity)
    assert told in result.reason
    assert result.findings[0].severity == severity


def test_a_policy_may_accept_waivers_and_then_not_those_of_other_content(tmp_path: Path) -> None:
    condition = {"accepts": ["passed", "waived"]}
    waived = validation("waived", waiver={"reason": "two blank rows"})
    assert run("DAT-04", tmp_path, waived, condition=condition).status == "passed"
    other = validation("waived", digest="sha256:bb", waiver={"reason": "two blank rows"})
    assert run("DAT-04", tmp_path, other, condition=condition).status == "failed"
