"""Suggested suites, measured: a second clean sample keeps them, planted faults do not.

The benchmark ``benchmarks.suggestion`` does the same with more trials and prints shares with intervals.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binomtest

from tests.validators.sources import SOURCES
from tests.validators.suggestion_trials import Trial, run_trial

#: What the suggestions are built for: quiet on clean data, and faults found.
QUIET, FOUND = 0.95, 0.90
ROWS = 1_500


@pytest.mark.slow
def test_clean_samples_are_quiet_and_planted_faults_are_found(tmp_path: Path) -> None:
    trials = [run_trial(name, seed, rows=ROWS, folder=tmp_path) for seed, name in enumerate(SOURCES)]

    noisy = [trial for trial in trials if trial.false_alarms]
    planted = sum(len(trial.found) for trial in trials)
    found = sum(sum(trial.found.values()) for trial in trials)
    assert planted > 80, "so few faults would show nothing"
    assert binomtest(len(trials) - len(noisy), len(trials), QUIET, alternative="less").pvalue > 0.05, _told(trials)
    assert found >= FOUND * planted, _told(trials)


def _told(trials: list[Trial]) -> str:
    alarms = [f"{trial.source}: {sentence}" for trial in trials for sentence in trial.false_alarms]
    return "\n".join([*alarms, *(f"{trial.source}, missed {what}" for trial in trials for what in trial.missed)])
