"""From the results of checks to one word: pure functions, so that a verdict can be given again under another policy."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from audits.models import CheckStatus, Severity, Verdict

#: Statuses that are no result: a gate takes them as a no.
WITHOUT_RESULT = (CheckStatus.ERROR, CheckStatus.SKIPPED)


@dataclass(frozen=True)
class JudgedCheck:
    """As much of a check's result as a verdict needs."""

    id: str
    status: str
    severity: str = ""


@dataclass(frozen=True)
class Judgement:
    """The verdict, a sentence that says why, and what stands in the way, worst first."""

    verdict: Verdict
    reason: str
    blocking: tuple[JudgedCheck, ...]


def judge(checks: Sequence[JudgedCheck], *, required: Iterable[str], blocks: Iterable[str]) -> Judgement:
    """Give the verdict of an audit.

    ``failed`` when a check failed at a severity that blocks; else ``inconclusive`` when a required check is missing,
    broke or was skipped; else ``passed``. A check that does not apply is neither.
    """
    blocking_severities = set(blocks)
    by_id = {check.id: check for check in checks}
    missing = [JudgedCheck(id=check_id, status=CheckStatus.SKIPPED) for check_id in required if check_id not in by_id]
    failed = [c for c in checks if c.status == CheckStatus.FAILED and c.severity in blocking_severities]
    failed.sort(key=lambda check: list(Severity.values).index(check.severity))
    no_result = [check for check in checks if check.status in WITHOUT_RESULT] + missing
    warned = sum(check.status == CheckStatus.FAILED for check in checks) - len(failed)
    blocking = (*failed, *no_result)
    if failed:
        reason = (
            f"{_count(len(failed), 'check')} did not meet {_their(len(failed))} condition at a severity that blocks"
        )
        if no_result:
            reason += f", and {_count(len(no_result), 'check')} gave no result"
        return Judgement(Verdict.FAILED, reason[0].upper() + reason[1:] + ".", blocking)
    if no_result:
        reason = f"{_count(len(no_result), 'check')} gave no result, and what was not measured cannot pass."
        return Judgement(Verdict.INCONCLUSIVE, reason[0].upper() + reason[1:], blocking)
    reason = "Every applicable check gave a result and none failed at a severity that blocks"
    if warned:
        reason += f"; {_count(warned, 'check')} failed without blocking"
    return Judgement(Verdict.PASSED, reason + ".", ())


def coverage(checks: Sequence[JudgedCheck]) -> dict[str, Any]:
    """Count what was selected, what applies, what gave a result, and each status."""
    by_status = {status: sum(check.status == status for check in checks) for status in CheckStatus.values}
    applicable = len(checks) - by_status[CheckStatus.NOT_APPLICABLE]
    without = sum(by_status[status] for status in WITHOUT_RESULT)
    return {
        "selected": len(checks),
        "applicable": applicable,
        "with_result": applicable - without,
        "by_status": by_status,
    }


def _count(number: int, noun: str) -> str:
    words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    return f"{words[number] if number < len(words) else number} {noun}{'s' * (number != 1)}"


def _their(number: int) -> str:
    return "its" if number == 1 else "their"
