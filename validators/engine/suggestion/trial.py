"""Try every proposed rule on the rows that it was not made from; keep what holds there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from validators.engine.suggestion.candidate import Candidate
from validators.engine.suggestion.profile import Reader

_BLOCK = 48


def surviving(
    reader: Reader, candidates: Sequence[Candidate], progress: Callable[[int, int], None]
) -> Iterator[Candidate]:
    """Yield the rules that hold on both parts of the rows, in their order, with what was counted as evidence."""
    for start in range(0, len(candidates), _BLOCK):
        progress(start, len(candidates))
        block = candidates[start : start + _BLOCK]
        counts = iter(_counted(reader, block))
        for candidate in block:
            tried = candidate if candidate.test is None else _tried(candidate, *next(counts))
            if tried.holds:
                yield tried


def _counted(reader: Reader, block: Sequence[Candidate]) -> list[tuple[int, int, int, int]]:
    """Return for each rule that is tried by rows: rows and failing rows of the rows for making rules, of the others."""
    tests = [candidate.test for candidate in block if candidate.test is not None]
    if not tests:
        return []
    expressions = [f"count(*) FILTER (WHERE {test.about} AND {test.fails})" for test in tests]
    expressions += [f"count(*) FILTER (WHERE {test.about})" for test in tests]
    fit, others = reader.by_part(expressions, [value for test in tests for value in test.values])
    return [
        (fit[place + len(tests)] or 0, fit[place] or 0, others[place + len(tests)] or 0, others[place] or 0)
        for place in range(len(tests))
    ]


def _tried(candidate: Candidate, rows: int, failed: int, others: int, others_failed: int) -> Candidate:
    holds = _is_met(candidate.mostly, rows, failed) and _is_met(candidate.mostly, others, others_failed)
    evidence = {
        **candidate.evidence,
        "fit": {"rows": rows, "failed": failed},
        "holdout": {"rows": others, "failed": others_failed},
    }
    return replace(candidate, evidence=evidence, holds=candidate.holds and holds)


def _is_met(mostly: float, rows: int, failed: int) -> bool:
    return failed == 0 or (rows - failed) / rows >= mostly
