"""Images a second: decoded and measured from a zip, and imported whole; side by side with each step alone.

Three sizes of JPEG, as they are in data sets: 28, 96 and 224 pixels a side. The rounds alternate between the sizes and
the first is not counted; medians. "measured" is what an import does with a file (decode, luma, brightness, contrast,
blur, entropy, dHash, its place in the table's shape) in as many threads as the machine has processors; "decoded" is
Pillow alone, in one thread; "imported" is the job from the zip to the Parquet with its digest, profile and sheet. Peak
memory is that of a child process that imports, private memory apart from mapped files.

ASSAY_BENCH_IMAGES says how many images of each size there are. Each import pays once, whatever their number, for what
it loads (pandas, DuckDB) and for the sheet: about half a second, so that a few images import at a lower rate.
"""

from __future__ import annotations

import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np

ROUNDS = 3
COUNT = int(os.environ.get("ASSAY_BENCH_IMAGES", "2400"))
SIDES = (28, 96, 224)
OUTPUT = Path(__file__).resolve().parents[1] / ".bench" / "images.json"


def pictures(side: int, count: int) -> list[bytes]:
    """Return JPEGs with structure and some noise; fifty are different."""
    from PIL import Image

    generator = np.random.default_rng(side)
    different = []
    for _ in range(min(50, count)):
        coarse = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)).astype(np.int16)
        pixels = np.clip(smooth + generator.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG", quality=85)
        different.append(stream.getvalue())
    return [different[number % len(different)] for number in range(count)]


def decoded(files: list[bytes]) -> None:
    """Decode with Pillow alone."""
    from PIL import Image

    for content in files:
        np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


def measured(files: list[bytes]) -> None:
    """Do with each file what an import does."""
    from workers.datasets.images.columns import measured as measure
    from workers.datasets.images.decoding import shape_of

    shape = shape_of(files[0])
    parts = [files[start : start + 4] for start in range(0, len(files), 4)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for part in pool.map(lambda contents: measure(contents, shape, resize=False), parts):
            for found in part:
                if found.pixels is None:
                    raise SystemExit(found.problem)


def imported(path: Path) -> tuple[float, int]:
    """Import a zip in a child process; return its seconds without the start, and its peak of private bytes."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-m", "benchmarks.images", "import", str(path), folder],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).resolve().parents[1],
        )
    said = json.loads(run.stdout)
    return said["seconds"], said["peak_bytes"]


def import_here(path: Path, folder: Path) -> None:
    """Run the import in this process and say what it took; a thread looks at the private memory all the while."""
    from threading import Event, Thread

    from workers.context import JobContext
    from workers.datasets import importing
    from workers.protocol import INPUTS_FOLDER, InputFile, JobSpec, digest_of_file

    (folder / INPUTS_FOLDER).mkdir()
    target = folder / INPUTS_FOLDER / "upload.zip"
    target.write_bytes(path.read_bytes())
    file = InputFile(target.name, digest_of_file(target), target.stat().st_size)
    parameters: dict[str, Any] = {"filename": "upload.zip", "schema": None}
    spec = JobSpec("dataset_import", "", 1, 1, parameters=parameters, inputs={"upload": file}, devices=("cpu",))
    peak, ended = [0], Event()

    def watch() -> None:
        while not ended.wait(0.01):
            lines = Path("/proc/self/status").read_text().splitlines()
            peak[0] = max(peak[0], next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")))

    watcher = Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    importing.run(JobContext(spec, folder))
    seconds = time.perf_counter() - began
    ended.set()
    watcher.join()
    print(json.dumps({"seconds": seconds, "peak_bytes": peak[0] * 1024}))


def _seconds(work: Callable[[list[bytes]], None], files: list[bytes]) -> float:
    began = time.perf_counter()
    work(files)
    return time.perf_counter() - began


def measure(folder: Path) -> list[dict[str, Any]]:
    """Return a row for each size: images a second in each way, and the peak of an import."""
    sets = {side: pictures(side, COUNT) for side in SIDES}
    took: dict[int, dict[str, list[float]]] = {side: {"decoded": [], "measured": [], "imported": []} for side in SIDES}
    peaks = dict.fromkeys(SIDES, 0)
    for side, files in sets.items():
        with zipfile.ZipFile(folder / f"{side}.zip", "w") as archive:
            for number, content in enumerate(files):
                archive.writestr(f"{'ab'[number % 2]}/{number}.jpg", content)
    for turn in range(ROUNDS + 1):
        for side, files in sets.items():
            seconds, peak = imported(folder / f"{side}.zip")
            in_memory = {"decoded": _seconds(decoded, files), "measured": _seconds(measured, files)}
            for name, value in {**in_memory, "imported": seconds}.items() if turn else ():
                took[side][name].append(value)
                peaks[side] = max(peaks[side], peak)
    return [
        {
            "side": side,
            "images": len(files),
            **{name: len(files) / statistics.median(values) for name, values in took[side].items()},
            "peak_bytes": peaks[side],
        }
        for side, files in sets.items()
    ]


def main() -> int:
    if sys.argv[1:2] == ["import"]:
        import_here(Path(sys.argv[2]), Path(sys.argv[3]))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder))
    print(f"{os.cpu_count()} processors\n")
    print("| JPEG | images | decoded/s | measured/s | imported/s | peak MiB |\n|---|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(f"{row[name]:,.0f}" for name in ("images", "decoded", "measured", "imported"))
        print(f"| {row['side']} x {row['side']} | {figures} | {row['peak_bytes'] / 1024**2:,.0f} |")
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"rounds": ROUNDS, "rows": rows}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
