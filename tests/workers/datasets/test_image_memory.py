"""Ten thousand images stream: memory does not grow with their number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.workers.datasets.pictures import archive, encoded, noise

#: Mapped files are not counted: the system takes their memory back when it needs it.
IMPORT = """
import json, sys, threading
from pathlib import Path
from tests.workers.job_folders import job
from workers.datasets import importing

def private_bytes():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))

def watch():
    while not ended.wait(0.02):
        peaks.append(private_bytes())

context = job(Path(sys.argv[2]), kind="dataset_import", inputs={"upload": Path(sys.argv[1])},
              parameters={"filename": "data.zip", "schema": None})
peaks, ended = [private_bytes()], threading.Event()
watcher = threading.Thread(target=watch)
watcher.start()
rows = importing.run(context)["row_count"]
ended.set()
watcher.join()
print(json.dumps({"rows": rows, "more_bytes": max(peaks) - peaks[0]}))
"""
COUNT, SIDE = 10_000, 128


def test_ten_thousand_images_take_less_memory_than_their_pixels(tmp_path: Path) -> None:
    patches = [noise(8, 8, 3, seed=seed).repeat(SIDE // 8, 0).repeat(SIDE // 8, 1) for seed in range(20)]
    pictures = [encoded(pixels, "JPEG") for pixels in patches]
    upload = archive(tmp_path / "data.zip", {f"cat/{number}.jpg": pictures[number % 20] for number in range(COUNT)})
    run = subprocess.run(
        [sys.executable, "-c", IMPORT, str(upload), str(tmp_path / "job")],
        cwd=Path(__file__).parents[3],
        env={"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    said = json.loads(run.stdout)
    assert said["rows"] == COUNT
    assert said["more_bytes"] < COUNT * SIDE * SIDE * 3 * 3 // 4
