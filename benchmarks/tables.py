"""Tables: the digest against plain SHA-256, imports against Arrow's own reader and writer, and memory by rows.

Run it with ``python -m benchmarks.tables`` (``ASSAY_BENCH_ROWS=50000000`` for the size that the limit on memory is
stated for). The digest of a table in memory is taken in turns with one SHA-256 over the same bytes. An import reads the
upload strictly, finds types, casts, writes canonical Parquet, digests and profiles; beside it, Arrow reads the same
file as it infers it and writes Parquet with the same compression. Each way runs in a process of its own, in turns;
medians of the times on the clock and the most memory (``VmHWM``) are printed, and the processor time too, since other
work on the machine changes the clock only. It fails when an import takes more than 2 GiB, or the digest hashes less
than 500 MiB in a second of one processor.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

ROUNDS = 3
MIB = 1024 * 1024
LIMIT_MIB = 2048
LIMIT_DIGEST = 500
DIGEST_ROWS = 1_000_000
IMPORT_ROWS = 300_000
CURVE = (100_000, 300_000, 1_000_000)
PIECE_ROWS = 250_000
OUTPUT = Path(__file__).parents[1] / ".bench" / "tables.json"


def piece(rows: int, seed: int) -> pa.Table:
    """Return 30 columns of the usual kinds: 12 floats, 8 integers, 6 categories, an id, a flag, a date, a moment."""
    random = np.random.default_rng(seed)
    columns: dict[str, Any] = {f"float {n}": np.round(random.normal(size=rows), 4) for n in range(9)}
    for n in range(3):
        columns[f"amount {n}"] = pa.array(np.round(random.gamma(2, 10, rows), 2), mask=random.random(rows) < 0.05)
    for n in range(8):
        columns[f"integer {n}"] = random.integers(0, 1000, rows)
    words = pa.array([f"category {n}" for n in range(20)])
    for n in range(6):
        columns[f"category {n}"] = words.take(pa.array(random.integers(0, 20, rows)))
    numbers = pa.array(np.arange(seed * rows, (seed + 1) * rows)).cast(pa.string())
    columns["id"] = pc.binary_join_element_wise(pa.scalar("user"), numbers, "-")
    columns["flag"] = random.random(rows) < 0.5
    columns["day"] = pa.array(random.integers(10_000, 20_000, rows, dtype=np.int32)).cast(pa.date32())
    columns["at"] = pa.array(random.integers(1_500_000_000, 1_700_000_000, rows)).cast(pa.timestamp("s"))
    return pa.table(columns)


def pieces(rows: int) -> Iterator[pa.Table]:
    count = max(1, rows // PIECE_ROWS)
    return (piece(rows // count, seed) for seed in range(count))


def write(folder: Path, rows: int, kind: str) -> Path:
    """Write the table as an upload, a piece at a time."""
    path = folder / f"{rows}.{kind}"
    schema = piece(1, 0).schema
    options = pyarrow.csv.WriteOptions(quoting_style="none")
    with (
        pq.ParquetWriter(path, schema, compression="snappy")
        if kind == "parquet"
        else pyarrow.csv.CSVWriter(path, schema, write_options=options) as writer
    ):
        for table in pieces(rows):
            writer.write_table(table)
    return path


# ------------------------------------------------------------------------------------------------- in children
def run_import(path: Path, folder: Path) -> int:
    """Import as a job does it, but for the sandbox."""
    from workers.context import JobContext
    from workers.datasets.importing import run
    from workers.protocol import InputFile, JobSpec

    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "upload").symlink_to(path)
    inputs = {"upload": InputFile("upload", "", path.stat().st_size)}
    parameters = {"filename": path.name, "schema": None}
    spec = JobSpec(kind="dataset_import", runner="", job_id=1, attempt=1, parameters=parameters, inputs=inputs)
    rows: int = run(JobContext(spec, folder))["row_count"]
    return rows


def run_arrow(path: Path, folder: Path) -> int:
    """Read and write with Arrow alone: types are guessed from the first block, nothing is checked or described."""
    folder.mkdir(parents=True)
    rows = 0
    if path.suffix == ".csv":
        reader = pyarrow.csv.open_csv(path)
        with pq.ParquetWriter(folder / "table.parquet", reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch, row_group_size=65_536)
                rows += batch.num_rows
        return rows
    file = pq.ParquetFile(path, pre_buffer=False)
    with pq.ParquetWriter(folder / "table.parquet", file.schema_arrow, compression="zstd") as writer:
        for batch in file.iter_batches(65_536):
            writer.write_batch(batch, row_group_size=65_536)
            rows += batch.num_rows
    return rows


WAYS = {"import": run_import, "arrow": run_arrow}


def child(way: str, path: str, folder: str) -> None:
    began = time.monotonic()
    rows = WAYS[way](Path(path), Path(folder))
    status = Path("/proc/self/status").read_text()
    print(
        json.dumps(
            {
                "rows": rows,
                "seconds": time.monotonic() - began,
                "processor_seconds": time.process_time(),
                "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
            }
        )
    )


def measured(way: str, path: Path) -> dict[str, float]:
    """Run one way in a process of its own, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="work-", dir=path.parent) as folder:
        arguments = [sys.executable, "-m", "benchmarks.tables", "--child", way, str(path), f"{folder}/job"]
        done = subprocess.run(arguments, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


# -------------------------------------------------------------------------------------------------- the tables
def measure_digest() -> dict[str, float]:
    """Return MiB/s of the digest of a table and of one SHA-256 over the bytes of its columns."""
    from workers.datasets.canonical import canonical_table, digest_tree

    table = canonical_table(pa.concat_tables(pieces(DIGEST_ROWS)))
    buffers = [buffer for column in table.columns for buffer in column.chunk(0).buffers() if buffer is not None]
    size = sum(buffer.size for buffer in buffers) / MIB
    seconds: dict[str, list[float]] = {"digest": [], "sha256": []}
    processor: list[float] = []
    digest_tree(table.slice(0, 1000))
    for _ in range(ROUNDS):
        began, spent = time.monotonic(), time.process_time()
        digest_tree(table)
        seconds["digest"].append(time.monotonic() - began)
        processor.append(time.process_time() - spent)
        began = time.monotonic()
        plain = hashlib.sha256()
        for buffer in buffers:
            plain.update(buffer)
        seconds["sha256"].append(time.monotonic() - began)
    rates = {way: size / statistics.median(times) for way, times in seconds.items()}
    return {"mib": size, **rates, "digest a processor": size / statistics.median(processor)}


def measure_imports(folder: Path) -> dict[str, dict[str, float]]:
    results: dict[str, dict[str, float]] = {}
    for kind in ("csv", "parquet"):
        path = write(folder, IMPORT_ROWS, kind)
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS):
            for way in WAYS:
                runs[way].append(measured(way, path))
        for way, found in runs.items():
            results[f"{kind}, {way}"] = {
                key: statistics.median(run[key] for run in found)
                for key in ("seconds", "processor_seconds", "peak_mib")
            }
        path.unlink()
    return results


def measure_curve(folder: Path) -> dict[int, dict[str, float]]:
    sizes = sorted({*CURVE, int(os.environ.get("ASSAY_BENCH_ROWS", CURVE[-1]))})
    curve = {}
    for rows in sizes:
        path = write(folder, rows, "parquet")
        curve[rows] = measured("import", path)
        path.unlink()
    return curve


def main() -> int:
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:])
        return 0
    digest = measure_digest()
    ratio = digest["digest"] / digest["sha256"]
    print(f"{digest['mib']:,.0f} MiB in memory: digest {digest['digest']:,.0f} MiB/s, ", end="")
    print(f"one SHA-256 {digest['sha256']:,.0f} MiB/s, ratio {ratio:.2f}; ", end="")
    print(f"{digest['digest a processor']:,.0f} MiB in a second of one processor")
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as name:
        imports = measure_imports(Path(name))
        print(f"\n{IMPORT_ROWS:,} rows x 30 columns, medians of {ROUNDS} alternating rounds:")
        print(f"{'':<18}{'rows/s':>12}{'processor s':>13}{'peak MiB':>10}")
        for way, entry in imports.items():
            rate, processor = IMPORT_ROWS / entry["seconds"], entry["processor_seconds"]
            print(f"{way:<18}{rate:>12,.0f}{processor:>13.2f}{entry['peak_mib']:>10,.0f}")
        curve = measure_curve(Path(name))
    print("\nParquet imports by rows, x 30 columns:")
    print(f"{'rows':>12}{'seconds':>10}{'rows/s':>12}{'processor s':>13}{'peak MiB':>10}")
    for rows, entry in curve.items():
        rate, processor = entry["rows"] / entry["seconds"], entry["processor_seconds"]
        print(f"{rows:>12,}{entry['seconds']:>10.1f}{rate:>12,.0f}{processor:>13.1f}{entry['peak_mib']:>10,.0f}")
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"digest": digest, "imports": imports, "curve": curve}, indent=2))
    too_much = max(entry["peak_mib"] for entry in (*imports.values(), *curve.values())) > LIMIT_MIB
    return 1 if too_much or digest["digest a processor"] < LIMIT_DIGEST else 0


if __name__ == "__main__":
    sys.exit(main())
