"""Whatever is done to a file, the inspection answers with a verdict, in bounded time.

``python -m tests.corpus.fuzz`` runs the same for as long as one likes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.corpus.fuzz import SECONDS, bases, inspect_bytes
from tests.corpus.mutations import mutate
from workers.artifacts.inspection import READERS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def changed_files(samples: Path, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[Path]]:
    return bases(tmp_path_factory.mktemp("bases"), samples)


@pytest.mark.parametrize("name", READERS)
def test_changed_files_are_a_verdict_and_never_an_exception(
    name: str, changed_files: Mapping[str, list[Path]], tmp_path: Path
) -> None:
    contents = [(path.read_bytes(), path.suffix) for path in changed_files[name]]

    @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(base=st.sampled_from(contents), rng=st.randoms(use_true_random=False))
    def check(base: tuple[bytes, str], rng: Random) -> None:
        content, suffix = base
        changed = mutate(content, rng)
        began = time.monotonic()
        inspect_bytes(changed, suffix, tmp_path)
        assert time.monotonic() - began < SECONDS

    check()


def test_the_command_runs_and_counts(samples: Path, tmp_path: Path) -> None:
    """A short run by chance, in its own process with limited memory, finds nothing and says how much it tried."""
    options = ["--minutes", "0.05", "--format", "pt2", "--by-chance", "--samples", str(samples)]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.corpus.fuzz", *options],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "pt2" in ended.stdout
    assert "inputs" in ended.stdout


@pytest.mark.parametrize("seed", range(5))
def test_a_change_is_the_same_for_the_same_seed(seed: int, samples: Path) -> None:
    for name in ("model.keras", "model.pt2", "model.weights.h5"):
        content = (samples / name).read_bytes()
        assert mutate(content, Random(seed)) == mutate(content, Random(seed)) != content
