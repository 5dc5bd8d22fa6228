"""All cases of all families."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

from tests.corpus import (
    arrays,
    bombs,
    checkpoints,
    containers,
    graphs,
    hdf5_files,
    keras_archives,
    keras_files,
    keras_training,
    legacy_models,
    masquerades,
    ordinary,
    packages,
    pt2_files,
    pt2_weights,
)
from tests.corpus.case import Benign, Case, Made, Unfit, Workshop

_MODULES = (
    checkpoints,
    containers,
    arrays,
    keras_files,
    keras_archives,
    keras_training,
    hdf5_files,
    legacy_models,
    pt2_files,
    pt2_weights,
    graphs,
    packages,
    bombs,
    masquerades,
    ordinary,
)

CASES: tuple[Case, ...] = tuple(case for module in _MODULES for case in module.CASES)
UNFIT: tuple[Unfit, ...] = tuple(case for module in _MODULES for case in getattr(module, "UNFIT", ()))
BENIGN: tuple[Benign, ...] = tuple(case for module in _MODULES for case in getattr(module, "BENIGN", ()))
#: Families in the order of the modules.
FAMILIES: tuple[str, ...] = tuple(dict.fromkeys(case.family for case in (*CASES, *BENIGN)))
SEEDS = (0, 1, 2)


def workshop(case: Made, seed: int, folder: Path, samples: Path) -> Workshop:
    """Return the place where a case is made, and its own chance: the same for the same id and seed."""
    inside = folder / case.id.replace("/", ".") / str(seed)
    inside.mkdir(parents=True)
    return Workshop(inside, samples, random.Random(f"{case.id}:{seed}"))


def make_all(cases: Iterable[Made], seeds: Iterable[int], folder: Path, samples: Path) -> dict[str, Path]:
    """Make files and return their paths by ``id#seed``."""
    return {f"{case.id}#{seed}": case.make(workshop(case, seed, folder, samples)) for case in cases for seed in seeds}
