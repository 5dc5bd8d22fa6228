"""Run every benchmark in a process of its own, one after the other.

``ASSAY_BENCH_SECONDS`` bounds the whole: what does not fit is cut off or left out, and named. The slow ones come last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(__file__).parent
#: These take minutes each; where the time is bounded, the others are run first.
SLOW = ("explanation_memory", "large", "gradients", "explanations", "explanations_floor")


def main() -> int:
    bound = os.environ.get("ASSAY_BENCH_SECONDS")
    until = time.monotonic() + float(bound) if bound else None
    failed, cut_off = [], []
    for name in sys.argv[1:] or _all():
        print(f"\n== {name}", flush=True)
        left = None if until is None else until - time.monotonic()
        if left is not None and left <= 0:
            cut_off.append(name)
        else:
            try:
                code = subprocess.run(
                    [sys.executable, "-m", f"benchmarks.{name}"], check=False, timeout=left
                ).returncode
            except subprocess.TimeoutExpired:
                cut_off.append(name)
            else:
                failed += [name] if code else []
    if cut_off:
        print(f"\nNot run to their end within {bound} s: {', '.join(cut_off)}. `make bench` has no bound.")
    if failed:
        print(f"\nThese failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _all() -> list[str]:
    names = sorted(path.stem for path in FOLDER.glob("*.py") if not path.stem.startswith("_"))
    return [name for name in names if name not in SLOW] + [name for name in SLOW if name in names]


if __name__ == "__main__":
    sys.exit(main())
