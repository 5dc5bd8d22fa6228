"""The verdict of an audit: what fails it, what leaves it open, what lets it pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audits.models import CheckStatus, Severity, Verdict
from audits.services.verdict import JudgedCheck, coverage, judge

BLOCKS = ("critical", "high")


def check(check_id: str, status: str = "passed", severity: str = "") -> JudgedCheck:
    return JudgedCheck(id=check_id, status=status, severity=severity)


def test_all_passed_passes() -> None:
    judgement = judge([check("A"), check("B", "not_applicable")], required=["A", "B"], blocks=BLOCKS)

    assert judgement.verdict == Verdict.PASSED
    assert judgement.blocking == ()


def test_a_failure_that_blocks_fails_and_comes_before_what_gave_no_result() -> None:
    checks = [check("A", "error"), check("B", "failed", "high"), check("C", "failed", "critical")]

    judgement = judge(checks, required=["A", "B", "C"], blocks=BLOCKS)

    assert judgement.verdict == Verdict.FAILED
    assert [blocking.id for blocking in judgement.blocking] == ["C", "B", "A"]
    assert judgement.reason.startswith("Two checks did not meet their condition")
    assert "one check gave no result" in judgement.reason


def test_a_failure_that_does_not_block_is_told_and_passes() -> None:
    judgement = judge([check("A", "failed", "medium"), check("B")], required=["A", "B"], blocks=BLOCKS)

    assert judgement.verdict == Verdict.PASSED
    assert "one check failed without blocking" in judgement.reason


@pytest.mark.parametrize("status", ["error", "skipped"])
def test_no_result_is_inconclusive(status: str) -> None:
    assert judge([check("A"), check("B", status)], required=["A", "B"], blocks=BLOCKS).verdict == Verdict.INCONCLUSIVE


def test_a_required_check_that_is_missing_is_inconclusive_and_named() -> None:
    judgement = judge([check("A")], required=["A", "B"], blocks=BLOCKS)

    assert judgement.verdict == Verdict.INCONCLUSIVE
    assert [blocking.id for blocking in judgement.blocking] == ["B"]


@given(
    st.lists(st.tuples(st.sampled_from(CheckStatus.values), st.sampled_from(Severity.values)), min_size=1, max_size=12)
)
def test_a_pass_means_that_nothing_blocks_and_everything_gave_a_result(drawn: list[tuple[str, str]]) -> None:
    checks = [
        check(f"C-{i}", status, severity if status == "failed" else "") for i, (status, severity) in enumerate(drawn)
    ]

    verdict = judge(checks, required=[c.id for c in checks], blocks=BLOCKS).verdict

    blocked = any(status == "failed" and severity in BLOCKS for status, severity in drawn)
    unknown = any(status in ("error", "skipped") for status, _ in drawn)
    assert (verdict == Verdict.PASSED) == (not blocked and not unknown)
    assert (verdict == Verdict.FAILED) == blocked


def test_coverage_counts_what_applies_and_what_gave_a_result() -> None:
    counted = coverage([check("A"), check("B", "failed", "low"), check("C", "error"), check("D", "not_applicable")])

    assert counted["selected"] == 4
    assert counted["applicable"] == 3
    assert counted["with_result"] == 2
    assert counted["by_status"] == {"passed": 1, "failed": 1, "error": 1, "skipped": 0, "not_applicable": 1}
