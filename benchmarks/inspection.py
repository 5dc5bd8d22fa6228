"""Inspection against picklescan on the same files: milliseconds a file, and MB a second.

One process; every file is read by both in turn, in alternating order, after one round that is not counted; medians of
five rounds. Small files show what a file costs, large ones what a byte costs. The two do different work: picklescan
looks at the opcodes of pickles and at the first bytes of everything else; the inspection reads every byte, compares
every checksum and parses every structure to its end. A safetensors file has no checksums, so that both read no more
than its header.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

ROUNDS = 5
#: A dense layer of this many inputs and outputs has 196 MB of weights.
WIDE = 7_000
NARROW = 64
OUTPUT = Path(__file__).resolve().parents[1] / ".bench" / "inspection.json"


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the files and yield each with the format that it is of."""
    from tests import tiny_models
    from tests.corpus.arrays import tensors_file
    from tests.corpus.checkpoints import tensor, zip_entries
    from tests.corpus.pickles import plain
    from tests.corpus.zips import write_zip

    generator = np.random.default_rng(0)
    for size in (NARROW, WIDE):
        weights = generator.normal(size=(size, size)).astype("float32")
        layer = tiny_models.Dense(weights, np.zeros(size, "float32"))
        for suffix in ("pt2", "keras"):
            yield suffix, tiny_models.write_dense(folder / f"model-{size}.{suffix}", [layer])
        raw = weights.tobytes()
        entries = zip_entries(plain({"weight": tensor(count=size * size)}), Random(0), storage=raw)
        yield "state_dict", write_zip(folder / f"model-{size}.pt", entries)
        header = {"weight": {"dtype": "F32", "shape": [size, size], "data_offsets": [0, len(raw)]}}
        path = folder / f"model-{size}.safetensors"
        path.write_bytes(tensors_file(json.dumps(header), raw))
        yield "safetensors", path


def ours(path: Path) -> None:
    """Inspect a file, which has to be registered."""
    from workers.artifacts.inspection import inspect

    inspection = inspect(path, filename=path.name)
    if inspection.verdict != "registered":
        raise SystemExit(f"{path.name} is {inspection.verdict}: {inspection.reason}")


def theirs(path: Path) -> None:
    """Scan a file with picklescan as its command does."""
    from picklescan.scanner import scan_file_path

    scan_file_path(str(path))


def _seconds(read: Callable[[Path], None], path: Path) -> float:
    began = time.perf_counter()
    read(path)
    return time.perf_counter() - began


def measure(path: Path) -> dict[str, float]:
    """Return the median seconds of both on one file."""
    taken: dict[str, list[float]] = {"assay": [], "picklescan": []}
    for number in range(ROUNDS + 1):
        order = [("assay", ours), ("picklescan", theirs)]
        for name, read in order if number % 2 else reversed(order):
            seconds = _seconds(read, path)
            if number:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def main() -> int:
    from workers.artifacts.inspection import READERS

    logging.getLogger("picklescan").setLevel(logging.CRITICAL)
    rows = []
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        print(f"{'file':<24}{'MB':>8}{'Assay':>12}{'MB/s':>8}{'picklescan':>13}{'MB/s':>8}")
        for format_name, path in files(Path(folder)):
            if format_name not in READERS:
                continue
            megabytes = path.stat().st_size / 1e6
            medians = measure(path)
            rows.append({"file": path.name, "megabytes": megabytes, **medians})
            mine, other = medians["assay"], medians["picklescan"]
            print(
                f"{path.name:<24}{megabytes:>8.2f}{1000 * mine:>9.1f} ms{megabytes / mine:>8.0f}"
                f"{1000 * other:>10.1f} ms{megabytes / other:>8.0f}",
                flush=True,
            )
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {"rounds": ROUNDS, "files": rows}
    OUTPUT.write_text(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
