"""No hostile file of the corpus is registered, each is refused for what is wrong with it, and no benign one is lost.

Time and memory of every inspection are bounded, whatever the file says of itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.corpus.case import Case, Unfit
from tests.corpus.cases import BENIGN, CASES, FAMILIES, SEEDS, UNFIT, make_all
from tests.corpus.inspecting import MEMORY_BYTES, Seen, inspect_all
from workers.artifacts.inspection import READERS
from workers.artifacts.second_opinion import Opinion, ask

pytestmark = pytest.mark.slow

MAX_SECONDS = 5
#: Said of a format while nothing reads it.
NOT_TAKEN = "ART-03.format"


def complaints(case: Case | Unfit, seen: Seen) -> list[str]:
    """Return what is wrong with how a file that is to be refused was judged."""
    wrong = []
    verdict: str = case.verdict
    rules = case.rules
    if case.format and case.format not in READERS:
        verdict, rules = "rejected", (*rules, NOT_TAKEN)
    if seen.verdict != verdict:
        wrong.append(f"it is {seen.verdict} and not {verdict}")
    found = [place for identifier, place in seen.deciding if identifier in rules]
    if not found:
        wrong.append(f"none of {', '.join(rules)} is among {[identifier for identifier, _ in seen.deciding]}")
    elif not any(found) and "ART-02.too_large" not in rules:
        wrong.append("its finding names no place")
    if seen.seconds > MAX_SECONDS:
        wrong.append(f"it took {seen.seconds:.1f} s")
    if seen.peak_bytes > MEMORY_BYTES:
        wrong.append(f"memory rose to {seen.peak_bytes:,} bytes")
    return wrong


def _wrong(cases: Sequence[Case | Unfit], samples: Path, folder: Path) -> dict[str, tuple[list[str], str]]:
    """Make and inspect files that are to be refused; return what is wrong, and the reason that was given."""
    seen = inspect_all(make_all(cases, SEEDS, folder, samples))
    return {
        f"{case.id}#{seed}": (problems, seen[f"{case.id}#{seed}"].reason)
        for case in cases
        for seed in SEEDS
        if (problems := complaints(case, seen[f"{case.id}#{seed}"]))
    }


@pytest.mark.parametrize("family", [family for family in FAMILIES if any(case.family == family for case in CASES)])
def test_every_hostile_file_is_refused_for_what_is_wrong_with_it(family: str, samples: Path, tmp_path: Path) -> None:
    assert not _wrong([case for case in CASES if case.family == family], samples, tmp_path)
    assert not list(tmp_path.glob("*/*/marker*")), "the inspection ran code of an upload"


def test_every_unfit_file_is_refused_for_what_is_wrong_with_it(samples: Path, tmp_path: Path) -> None:
    assert not _wrong(UNFIT, samples, tmp_path)


def test_no_benign_file_is_refused(samples: Path, tmp_path: Path) -> None:
    read = [case for case in BENIGN if case.format in READERS]
    seen = inspect_all(make_all(read, SEEDS, tmp_path, samples))
    wrong = {
        f"{case.id}#{seed}": (outcome.verdict, outcome.reason)
        for case in read
        for seed in SEEDS
        if (outcome := seen[f"{case.id}#{seed}"]).verdict != case.verdict
    }
    assert not wrong


def test_picklescan_finds_nothing_in_what_is_benign(samples: Path, tmp_path: Path) -> None:
    opinions = {name: ask(path, filename=path.name) for name, path in make_all(BENIGN, (0,), tmp_path, samples).items()}
    assert {name: opinion for name, opinion in opinions.items() if opinion != Opinion()} == {}


def test_the_corpus_is_as_large_as_it_says() -> None:
    identifiers = [case.id for case in (*CASES, *UNFIT, *BENIGN)]
    assert len(set(identifiers)) == len(identifiers)
    assert len(CASES) >= 365
    assert len(FAMILIES) >= 12
