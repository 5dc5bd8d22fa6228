"""What a file of the corpus is: how it is made, what the inspection has to say, and how a hostile one bites."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

_WORDS = ("encoder", "head", "block", "stem", "tower", "mixer", "gate", "probe", "router", "bridge", "fusion", "token")


@dataclass(frozen=True)
class Workshop:
    """Where one file is made, and by which chance.

    Attributes:
        folder: an empty folder of its own.
        samples: the folder of real exports (``samples.make``).
        rng: decides names, places, opcode forms and gadgets.
    """

    folder: Path
    samples: Path
    rng: random.Random

    @cached_property
    def marker(self) -> Path:
        """The file that exists after the payload ran, and never before."""
        return self.folder / "marker"

    @cached_property
    def decoy(self) -> Path:
        """A file of the host that the upload wants to read."""
        path = self.folder / "decoy"
        path.write_bytes(DECOY)
        return path

    def word(self) -> str:
        """Return a name that a layer, a tensor or an entry might have."""
        return f"{self.rng.choice(_WORDS)}_{self.rng.randrange(1000)}"

    def path(self, *suffixes: str) -> Path:
        """Return the path of the upload, with a name and one of the endings."""
        return self.folder / f"{self.word()}{self.rng.choice(suffixes)}"


#: What a file of the host holds that no upload may read. 32 bytes, eight float32 numbers.
DECOY = b"decoy of a secret of this host! "


@dataclass(frozen=True)
class Made:
    """A file of the corpus, of whichever group.

    Attributes:
        id: family and trick; the family is the part before the first slash.
        says: what the file does or is, as a sentence.
        make: writes the file and returns its path.
    """

    id: str
    says: str
    make: Callable[[Workshop], Path]

    @property
    def family(self) -> str:
        return self.id.partition("/")[0]


@dataclass(frozen=True)
class Case(Made):
    """A hostile file.

    Attributes:
        rules: the ids of which a finding that decides must be one.
        format: the format whose reader has to judge it; while that reader is missing, ``ART-03.format`` is as good.
        bite: what opens the file so that it does its harm: a name of ``trusting.LOADERS``.
        verdict: ``quarantined`` where the file is what only somebody's word lets in, and nothing in it decides.
    """

    rules: tuple[str, ...]
    format: str
    bite: str
    verdict: Literal["rejected", "quarantined"] = "rejected"


@dataclass(frozen=True)
class Unfit(Made):
    """A file that does no harm and is no model either: damaged, incomplete, or of values that no loader takes.

    It is refused as a hostile one is, so that its owner learns what is wrong and where; it is not counted among them.

    Attributes:
        rules: the ids of which a finding that decides must be one.
        format: the format whose reader has to judge it.
    """

    rules: tuple[str, ...]
    format: str
    verdict: Literal["rejected"] = "rejected"


@dataclass(frozen=True)
class Benign(Made):
    """A harmless file, often one step away from a hostile one.

    Attributes:
        verdict: ``quarantined`` for what only somebody's word lets in, whoever made it (code, TorchScript).
    """

    format: str
    verdict: Literal["registered", "quarantined"] = "registered"
