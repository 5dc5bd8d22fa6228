"""Each detector finds what is planted, and calls next to nothing a fault where nothing is: measured, with bounds.

The bounds are below what ``benchmarks/screening.py`` measures on more trials; a detector that breaks falls through
them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.validators.planted import CASES, Case
from tests.validators.screenings import measure
from validators.engine.screening.catalogue import ENTRIES

#: Recall at least, and false positives at most, where they are not 0.99 and 0.01.
BOUNDS: dict[str, tuple[float, float]] = {
    "iqr: far values in medical": (0.8, 0.05),
    "mad: far values in medical": (0.8, 0.05),
    "mad: far values in wine": (0.99, 0.03),
    "mahalanobis: broken pairs in table": (0.9, 0.01),
    "mahalanobis: far values in medical": (0.8, 0.06),
    "label_issues: wrong labels in table": (0.8, 0.01),
    "label_issues: wrong labels in machines": (0.75, 0.02),
    "label_issues: wrong labels in medical": (0.7, 0.02),
    "label_issues: wrong labels in wine": (0.7, 0.02),
    "label_issues: wrong labels in digits": (0.7, 0.01),
    "label_issues: wrong labels in texts": (0.7, 0.03),
    "near_duplicates: almost repeated rows in table": (0.95, 0.001),
    "near_duplicates: almost repeated rows in medical": (0.9, 0.001),
    "near_duplicates: almost repeated rows in digits": (0.9, 0.005),
    "near_duplicates: almost repeated rows in texts": (0.8, 0.005),
    "near_duplicates: almost leaked in table": (0.95, 0.001),
    "near_duplicates: almost leaked in digits": (0.9, 0.005),
    "near_duplicates: almost leaked in texts": (0.7, 0.005),
}


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_detector_finds_what_is_planted_and_little_else(case: Case, tmp_path: Path) -> None:
    recall, false_positives = BOUNDS.get(case.name, (0.99, 0.01))

    measured = measure(case, tmp_path, seeds=[0])

    assert measured.recall.value >= recall
    assert measured.false_positives.value <= false_positives


def test_every_detector_is_measured() -> None:
    assert {case.detector for case in CASES} == set(ENTRIES)
    assert set(BOUNDS) <= {case.name for case in CASES}
