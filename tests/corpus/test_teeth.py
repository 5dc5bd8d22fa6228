"""Each hostile file does its harm where a framework loads it as it comes: the corpus tests something.

Everything is loaded in the sandbox of jobs, where a payload reaches nothing but the folder of the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.corpus.biting import FRAMEWORKS
from tests.corpus.cases import CASES, make_all

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
#: More than this share of the corpus may not be without a bite.
MAX_TOOTHLESS = 0.5


def bites(framework: str, paths: dict[str, Path]) -> dict[str, str]:
    """Load files unsafely; return what was said where nothing happened, and nothing where the payload ran."""
    loaders = {case.id: case.bite for case in CASES}
    requests = [
        {"id": name, "path": str(path), "loader": loaders[name.partition("#")[0]]} for name, path in paths.items()
    ]
    child = subprocess.run(
        [sys.executable, "-m", "tests.corpus.biting", framework],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    assert child.returncode == 0, child.stderr[-3000:]
    return json.loads(child.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("framework", sorted(FRAMEWORKS))
def test_each_hostile_file_bites_whoever_loads_it_as_it_comes(framework: str, samples: Path, tmp_path: Path) -> None:
    cases = [case for case in CASES if case.bite in FRAMEWORKS[framework]]
    assert cases
    paths = make_all(cases, (0,), tmp_path, samples)
    assert not list(tmp_path.glob("*/*/marker*")), "a payload ran while its file was made"
    outcome = bites(framework, paths)
    assert set(outcome) == set(paths)
    assert {name: said for name, said in outcome.items() if said} == {}


def test_a_harmless_file_bites_nobody(samples: Path, tmp_path: Path) -> None:
    """The proof of harm is the payload's: the same loader leaves no marker of a harmless file."""
    from tests.corpus import containers

    paths = make_all(containers.BENIGN, (0,), tmp_path, samples)
    (path,) = paths.values()
    assert bites("torch", {"zip/checksum#0": path})["zip/checksum#0"] == "it loaded, and nothing happened"


def test_what_has_no_bite_says_why_and_is_the_smaller_part() -> None:
    toothless = [case for case in CASES if case.bite is None]
    assert all(len(case.toothless) > 8 for case in toothless)
    by_loading = [
        case for case in CASES if case.family not in ("bomb", "masquerade", "safetensors", "hdf5", "keras_weights")
    ]
    assert sum(case.bite is None for case in by_loading) < MAX_TOOTHLESS * len(by_loading)
