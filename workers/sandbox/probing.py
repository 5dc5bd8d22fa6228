"""Which layers this machine gives to a child, found out by starting one."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path

from workers.sandbox import bubblewrap
from workers.sandbox.entering import Surroundings
from workers.sandbox.layers import AUTO, BUBBLEWRAP, NAMESPACES, Layers

_CHECKOUT = Path(__file__).parents[2]
_PACKAGE = Path(__file__).parents[1]
_MOST_SECONDS = 60


@cache
def probe(choice: str = AUTO) -> Layers:
    """Return the layers that a child gets on this machine; tried out in a process of its own, once.

    Where bubblewrap is there but does not work (a container that lets nobody mount /proc), what it would give does not
    count; with ``choice`` ``bubblewrap`` nothing else does either.
    """
    version = "" if choice == NAMESPACES else bubblewrap.version()
    layers = _try(version) if version else Layers()
    if layers.bubblewrap or choice == BUBBLEWRAP:
        return layers
    return _try("")


def _try(bubblewrap_version: str) -> Layers:
    """Start a child that enters the sandbox and says what it is made of.

    No layer counts where it does not come to that: the program cannot be run, ends with an error, or does not end.
    """
    # Children import this module, and have no use for them.
    import subprocess
    import tempfile

    surroundings = Surroundings(bubblewrap=bubblewrap_version)
    with tempfile.TemporaryDirectory(prefix="assay-probe-") as name:
        folder = Path(name).resolve()
        (folder / "inputs").mkdir()
        program = [sys.executable, "-P", "-m", "workers.sandbox", str(folder), json.dumps(surroundings.to_json())]
        if bubblewrap_version:
            program = bubblewrap.command(program, folder=folder, packages=[_PACKAGE])
        try:
            ended = subprocess.run(  # noqa: S603 - our own interpreter, our own module
                program,
                check=False,
                capture_output=True,
                cwd=_CHECKOUT,
                env={"PYTHONPATH": str(_CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1", "LANG": "C.UTF-8"},
                timeout=_MOST_SECONDS,
            )
        except (OSError, subprocess.TimeoutExpired):
            return Layers()
    return Layers.from_json(json.loads(ended.stdout)) if ended.returncode == 0 else Layers()
