"""What putting a child into its sandbox costs: an interpreter as it is, and with each set of layers around it.

Run it with ``python -m benchmarks.sandbox``. Every round starts each of them once, one after the other, so that what
the machine does besides meets all alike; numbers are medians, ratios are those of the plain interpreter. The last two
are what a job gets: everything that the machine has, without and with bubblewrap.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from workers import sandbox
from workers.sandbox import bubblewrap

ROUNDS = 21
CHECKOUT = Path(__file__).parents[1]
OUTPUT = CHECKOUT / ".bench" / "sandbox.json"

#: What each child runs; all import what a sandbox is made of, so that only entering it differs.
IMPORTS = """
import sys
from pathlib import Path
from workers.protocol import Limits
from workers.sandbox import entering, files, kernel, namespaces, resources, system_calls
folder = Path(sys.argv[1])
"""
LAYERS = {
    "namespaces": "namespaces.enter()",
    "Landlock": "kernel.give_up_new_privileges(); files.restrict(folder=folder, packages=[])",
    "seccomp": "kernel.give_up_new_privileges(); system_calls.filter_system_calls(uses_gpu=False)",
    "limits and capabilities": "resources.limit(Limits(), uses_gpu=False); resources.drop_capabilities()",
}
EVERYTHING = """
entering.enter(folder=folder, limits=Limits(), packages=[], uses_gpu=False, parent_pid=None,
               surroundings=entering.Surroundings(bubblewrap={version!r}))
"""


def main() -> int:
    version = sandbox.probe(sandbox.BUBBLEWRAP).bubblewrap
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        folder = Path(name).resolve()
        (folder / "inputs").mkdir()
        commands = _commands(folder, version)
        seconds = _measure(commands)
    plain = statistics.median(seconds["plain"])
    rows = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"Starting and ending a child, medians of {ROUNDS} alternating rounds:")
    for name, median in rows.items():
        print(f"  {name:<28} {1000 * median:7.1f} ms  {median / plain:5.2f} of plain  {_signed(median - plain)}")
    if not version:
        print("  Bubblewrap is not there, or does not work on this machine.")
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {
        "rounds": ROUNDS,
        "bubblewrap": version,
        "layers": sandbox.probe().to_json(),
        "seconds": rows,
        "ratios": {name: median / plain for name, median in rows.items()},
    }
    OUTPUT.write_text(json.dumps(document, indent=2))
    return 0


def _commands(folder: Path, version: str) -> dict[str, list[str]]:
    def python(code: str) -> list[str]:
        return [sys.executable, "-P", "-c", IMPORTS + code, str(folder)]

    def wrapped(code: str) -> list[str]:
        return bubblewrap.command(python(code), folder=folder, packages=[CHECKOUT / "workers"])

    commands = {"plain": python(""), **{name: python(code) for name, code in LAYERS.items()}}
    commands["all, by namespaces"] = python(EVERYTHING.format(version=""))
    if version:
        commands["bubblewrap alone"] = wrapped("")
        commands["all, inside bubblewrap"] = wrapped(EVERYTHING.format(version=version))
    return commands


def _measure(commands: Mapping[str, Sequence[str]]) -> dict[str, list[float]]:
    """Return the seconds of each command; the first round, which fills caches, does not count."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    environment = {"PYTHONPATH": str(CHECKOUT), "PYTHONDONTWRITEBYTECODE": "1"}
    for round_number in range(ROUNDS + 1):
        for name, command in commands.items():
            began = time.monotonic()
            subprocess.run(command, check=True, env=environment)
            if round_number:
                seconds[name].append(time.monotonic() - began)
    return seconds


def _signed(seconds: float) -> str:
    return f"{1000 * seconds:+.1f} ms"


if __name__ == "__main__":
    sys.exit(main())
