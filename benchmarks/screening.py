"""How much of what is planted each detector finds, and how much it calls a fault where nothing is.

Every case plants one kind of fault in data of one source (generated tables and texts; the tumours, wines and digits of
scikit-learn) and runs one detector with its default parameters on it and on a clean twin. Rows are counted over all
trials: recall is the share of the planted that was found, the false-positive rate the share of the clean twin that was
called a fault, each with Wilson's 95 % interval. ``ASSAY_BENCH_TRIALS`` sets the trials (default 2).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path

TRIALS = int(os.environ.get("ASSAY_BENCH_TRIALS", "2"))
OUTPUT = Path(".bench/screening.json")


def main() -> int:
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from tests.validators.planted import CASES
    from tests.validators.screenings import measure

    warnings.simplefilter("error")
    print(f"{TRIALS} trials a case; planted n and clean n over all of them")
    head = f"{'detector':<20}{'planted fault':<24}{'source':<9}{'n':>6}  {'recall':<22}"
    print(f"{head}{'n':>7}  {'false positives':<24}{'s':>6}")
    measured = []
    for case in CASES:
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
            found = measure(case, Path(folder), seeds=range(100, 100 + TRIALS))
        seconds = (time.perf_counter() - began) / (2 * TRIALS)
        recall, wrong = found.recall, found.false_positives
        measured.append(
            {
                "detector": case.detector,
                "fault": case.plant_name,
                "source": case.source.__name__,
                "purpose": case.purpose,
                "unit": found.unit,
                "recall": recall.to_json(),
                "false_positives": wrong.to_json(),
                "seconds": seconds,
            }
        )
        print(
            f"{case.detector:<20}{case.plant_name:<24}{case.source.__name__:<9}{recall.n:>6}  "
            f"{f'{recall.value:.3f} ({recall.low:.3f} to {recall.high:.3f})':<22}{wrong.n:>7}  "
            f"{f'{wrong.value:.4f} ({wrong.low:.4f} to {wrong.high:.4f})':<24}{seconds:>6.2f}",
            flush=True,
        )
    OUTPUT.parent.mkdir(exist_ok=True)
    OUTPUT.write_text(json.dumps({"trials": TRIALS, "cases": measured}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
