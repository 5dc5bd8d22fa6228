"""Each hostile file does its harm to whoever loads it as it comes: the corpus tests something.

Everything is loaded in the sandbox of jobs, where a payload reaches nothing but the folder of the test.
"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from tests.corpus.biting import NOTHING, bites
from tests.corpus.cases import CASES, make_all
from tests.corpus.trusting import LOADERS
from tests.corpus.trusting.loader import Framework, disagree
from tests.corpus.twins import twins

pytestmark = pytest.mark.slow

FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_each_hostile_file_bites_whoever_loads_it_as_it_comes(
    framework: Framework, samples: Path, tmp_path: Path
) -> None:
    cases = [case for case in CASES if LOADERS[case.bite].framework == framework]
    paths = make_all(cases, (0,), tmp_path, samples)
    assert not list(tmp_path.glob("*/*/marker*")), "a payload ran while its file was made"
    outcome = bites(framework, paths, {f"{case.id}#0": case.bite for case in cases})
    assert set(outcome) == set(paths) != set()
    assert {name: said for name, said in outcome.items() if said} == {}


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_same_loader_is_not_bitten_by_a_file_without_the_trick(
    framework: Framework, samples: Path, tmp_path: Path
) -> None:
    """The harm is the file's: its twin is loaded in the same way, with a quarter of the memory, and nothing happens."""
    chosen = {name: twin for name, twin in twins().items() if LOADERS[twin[1]].framework == framework}
    paths = make_all([twin for twin, _ in chosen.values()], (0,), tmp_path, samples)
    outcome = bites(framework, paths, {f"{twin.id}#0": loader for twin, loader in chosen.values()}, narrower=4)
    assert set(outcome) == set(paths) != set()
    assert {name: said for name, said in outcome.items() if said != NOTHING} == {}


def test_every_loader_is_bitten_by_something() -> None:
    assert {case.bite for case in CASES} == set(LOADERS)


def test_readers_that_all_refuse_a_file_do_not_disagree() -> None:
    assert not disagree({"one": "refused", "other": "refused"})
    assert disagree({"one": "refused", "other": {}})
