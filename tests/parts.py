"""Parts of the tests that need something a machine may lack."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests import postgresql
from workers import sandbox


@dataclass(frozen=True)
class Part:
    """Tests behind a marker: what they need, and how to get it."""

    marker: str
    title: str
    remedy: str
    is_there: Callable[[], bool]
    is_needed_for_everything: bool = True


BROWSER = Part(
    "browser",
    "pages in a real browser (Chromium)",
    "`apt-get install chromium` adds it.",
    lambda: shutil.which("chromium") is not None,
)
POSTGRESQL = Part(
    "postgresql",
    "the record on PostgreSQL",
    f"`{postgresql.INSTALL_COMMAND}` adds it.",
    lambda: postgresql.binaries() is not None,
)
GPU = Part(
    "gpu",
    "training and explaining on a CUDA device",
    "It needs a machine with an NVIDIA GPU and torch built for CUDA.",
    lambda: Path("/dev/nvidia0").exists(),
    is_needed_for_everything=False,
)
BUBBLEWRAP = Part(
    "bubblewrap",
    "children inside bubblewrap",
    "`apt-get install bubblewrap` adds it; a container has to allow user namespaces and to mount /proc.",
    lambda: bool(sandbox.probe(sandbox.BUBBLEWRAP).bubblewrap),
    is_needed_for_everything=False,
)
PARTS = (BROWSER, POSTGRESQL, GPU, BUBBLEWRAP)
