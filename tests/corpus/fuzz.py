"""``python -m tests.corpus.fuzz --minutes N``: changed files against every reader, for as long as one likes.

Each reader runs in a process of its own with limited memory; an input that ends in an exception, takes longer than 5 s
or needs more than 512 MiB is kept and printed as a command that repeats it. Where atheris is installed, libFuzzer
chooses by the coverage of the readers; elsewhere chance does. The seed decides everything either way.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.corpus import samples
from tests.corpus.case import Benign, Case, Unfit
from tests.corpus.cases import BENIGN, CASES, UNFIT, make_all
from tests.corpus.inspecting import MEMORY_BYTES
from tests.corpus.mutations import mutate

SECONDS = 5
_ROOT = Path(__file__).parents[2]
_KEPT = _ROOT / ".fuzz"
#: Larger files are bombs, whose size is their point.
_LARGEST_BASE = 256 * 1024


def bases(folder: Path, exports: Path) -> dict[str, list[Path]]:
    """Write the files that are changed: all of the corpus, by format."""
    found: dict[str, list[Path]] = {}
    cases: list[Case | Unfit | Benign] = [case for case in (*BENIGN, *UNFIT, *CASES) if case.format]
    formats = {case.id: case.format for case in cases}
    for name, path in make_all(cases, (0,), folder, exports).items():
        if path.stat().st_size <= _LARGEST_BASE:
            found.setdefault(formats[name.partition("#")[0]], []).append(path)
    return found


def inspect_bytes(content: bytes, suffix: str, folder: Path) -> None:
    """Inspect an input; whatever it is, the answer is a verdict."""
    from workers.artifacts.inspection import inspect

    path = folder / f"input{suffix}"
    path.write_bytes(content)
    verdict = inspect(path, filename=path.name).verdict
    if verdict not in ("registered", "quarantined", "rejected"):
        raise AssertionError(f"{verdict!r} is no verdict.")


def _by_chance(paths: list[Path], seconds: float, seed: int, folder: Path) -> None:
    """Change files until the time is over; a slow input ends the process."""
    ends, round_number = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        rng = random.Random(f"{seed}:{round_number}")
        base = rng.choice(paths)
        content = mutate(base.read_bytes(), rng)
        for before in folder.glob("input*"):
            before.unlink()
        signal.alarm(SECONDS)
        inspect_bytes(content, base.suffix, folder)
        signal.alarm(0)
        round_number += 1
    print(f"{round_number:,} inputs")


def _by_coverage(paths: list[Path], seconds: float, seed: int, folder: Path) -> None:
    """Let libFuzzer choose; it ends the process itself."""
    import atheris

    suffix = max((path.suffix for path in paths), key=[path.suffix for path in paths].count)
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, path in enumerate(paths):
        (corpus / str(number)).write_bytes(path.read_bytes())
    with atheris.instrument_imports(include=["workers.artifacts"]):
        from workers.artifacts import inspection  # noqa: F401 - instrumented while it is imported

    def change(content: bytes, largest: int, number: int) -> bytes:
        return mutate(content, random.Random(number))[:largest]

    def one_input(content: bytes) -> None:
        inspect_bytes(content, suffix, folder)

    options = [f"-max_total_time={int(seconds)}", f"-timeout={SECONDS}", f"-seed={seed + 1}", "-rss_limit_mb=0",
               f"-max_len={_LARGEST_BASE}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *options, str(corpus)], one_input, custom_mutator=change)
    atheris.Fuzz()


def _child(format_name: str, folder: Path, seconds: float, seed: int, *, guided: bool) -> None:
    paths = [Path(line) for line in (folder / f"{format_name}.txt").read_text().splitlines()]
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    (_by_coverage if guided else _by_chance)(paths, seconds, seed, folder)


def _run(format_name: str, folder: Path, seconds: float, seed: int, *, guided: bool) -> str:
    """Run one child; return the command that repeats what it found, or nothing."""
    command = [sys.executable, "-m", "tests.corpus.fuzz", "--child", format_name, "--folder", str(folder)]
    command += ["--seconds", str(seconds), "--seed", str(seed), *([] if guided else ["--by-chance"])]
    child = subprocess.run(command, capture_output=True, text=True, check=False, cwd=_ROOT)
    lines = (child.stdout + child.stderr).strip().splitlines()
    counted = [line for line in lines if line.endswith(" inputs") or "number_of_executed_units" in line]
    print(f"{format_name:12} {counted[-1].strip() if counted else ''}", flush=True)
    if child.returncode == 0:
        return ""
    tail = "\n    ".join(lines[-12:])
    inputs = sorted(folder.glob("input*"))
    if not inputs:
        return f"{format_name} ended with {child.returncode} before its first input:\n    {tail}"
    content, suffix = inputs[0].read_bytes(), inputs[0].suffix
    _KEPT.mkdir(exist_ok=True)
    kept = _KEPT / f"{format_name}-{hashlib.sha256(content).hexdigest()[:12]}{suffix}"
    kept.write_bytes(content)
    return f"{format_name} ended with {child.returncode}:\n    {tail}\n  python -m workers.artifacts inspect {kept}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.corpus.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0, help="all readers together")
    parser.add_argument("--format", action="append", help="one reader; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--samples", type=Path, help="a folder of `python -m tests.corpus.samples`, instead of new ones"
    )
    parser.add_argument("--by-chance", action="store_true", help="do not use atheris")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    options: Any = parser.parse_args()
    guided = importlib.util.find_spec("atheris") is not None and not options.by_chance
    if options.child:
        _child(options.child, options.folder, options.seconds, options.seed, guided=guided)
        return 0
    found = []
    with tempfile.TemporaryDirectory(prefix="assay-fuzz-") as name:
        folder = Path(name)
        exports = options.samples or folder / "samples"
        if options.samples is None:
            exports.mkdir()
            samples.make(exports)
        made = bases(folder / "files", exports)
        wanted = options.format or sorted(made)
        for format_name in wanted:
            own = folder / format_name
            own.mkdir()
            (own / f"{format_name}.txt").write_text("\n".join(map(str, made[format_name])))
            seconds = 60 * options.minutes / len(wanted)
            if problem := _run(format_name, own, seconds, options.seed, guided=guided):
                found.append(problem)
                print(problem, flush=True)
    return 1 if found else 0


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    sys.exit(main())
