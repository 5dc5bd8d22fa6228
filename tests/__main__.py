"""``python -m tests``: all tests on SQLite, then those that touch the database again on PostgreSQL.

What the machine lacks is named at the end with the one command that would add it; with ``ASSAY_TEST_EVERYTHING=1`` a
missing part fails the run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import parts

#: Tests whose behaviour hangs on the database.
ON_POSTGRESQL = ("tests/governance", "tests/api", "tests/faults", "tests/validators", "tests/audits")
#: What lies among them and is about the compute half, which never meets the database.
NOT_ON_POSTGRESQL = (
    "tests/api/test_media_job.py",
    "tests/api/test_packages.py",
    "tests/audits/engine",
    "tests/faults/test_contained_jobs.py",
    "tests/faults/test_escapes.py",
    "tests/faults/test_resumed_explanations.py",
    "tests/validators/engine",
    "tests/validators/test_suggestion_quality.py",
)


def run(title: str, *arguments: str, **environment: str) -> int:
    print(f"\n== {title}", flush=True)
    command = [sys.executable, "-m", "pytest", "-n", "2", "--dist", "worksteal", "-q", *arguments]
    return subprocess.run(command, check=False, env=os.environ | environment).returncode


def main() -> int:
    extra = sys.argv[1:]
    failed = run("SQLite", *extra)
    missing = [part for part in parts.PARTS if not part.is_there()]
    if parts.POSTGRESQL not in missing:
        paths = [path for path in ON_POSTGRESQL if Path(path).exists()]
        ignored = [f"--ignore={path}" for path in NOT_ON_POSTGRESQL]
        failed |= run("PostgreSQL", *paths, *ignored, *extra, ASSAY_TEST_DATABASE="postgresql")
    for part in missing:
        print(f"\nNot run: {part.title}. {part.remedy}")
    needed = [part for part in missing if part.is_needed_for_everything]
    if needed and os.environ.get("ASSAY_TEST_EVERYTHING") == "1":
        print("Everything was asked for, and that is not everything.")
        failed |= 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
