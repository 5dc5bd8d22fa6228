"""An empty job from submit to its stored result, phase by phase: what every job pays before and after its work.

Run it with ``python -m benchmarks.empty_job``. It uses a home of its own, one worker with one slot in this process,
and jobs that return an empty value; the numbers are medians over the jobs after the first.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

JOBS = 21
PHASES = {
    "queue": "waits until a worker claims it",
    "prepare": "the thread, the folder with inputs and spec",
    "start": "interpreter, sandbox, digests",
    "import": "the runner's module",
    "work": "the runner",
    "write": "outputs read and made durable",
    "exit": "result.json made durable, the end of the process group",
    "store": "checks of the result, outputs into the store",
}
OUTPUT = Path(__file__).parents[1] / ".bench" / "empty_job.json"


def nothing(context: Any) -> dict[str, Any]:  # noqa: ARG001 - what every runner gets
    """The empty job."""
    return {}


def keep_nothing(job: Any, value: Any, files: Any) -> None:
    """The record of the empty job."""


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as home:
        os.environ["ASSAY_HOME"] = home
        os.environ["ASSAY_LOG_LEVEL"] = "WARNING"
        os.environ["DJANGO_SETTINGS_MODULE"] = "governance.settings"
        os.environ.pop("ASSAY_DATABASE_URL", None)
        measured = _measure()
    floor = _bare_interpreter()
    total = statistics.median(entry["total"] for entry in measured)
    rows = [(name, statistics.median(entry["timings"][name] for entry in measured), PHASES[name]) for name in PHASES]
    # What the phases leave: the transaction of the end, and the caller's look at the row.
    rows.append(
        (
            "end",
            max(0.0, total - sum(seconds for _, seconds, _ in rows)),
            "the log into the store, the end in one transaction",
        )
    )
    print(f"An empty job, median of {len(measured)}:")
    for name, seconds, says in rows:
        print(f"  {name:<8} {1000 * seconds:8.1f} ms  {says}")
    print(
        f"  {'total':<8} {1000 * total:8.1f} ms  {total / floor:.1f} times a bare interpreter ({1000 * floor:.1f} ms)"
    )
    OUTPUT.parent.mkdir(exist_ok=True)
    document = {
        "jobs": len(measured),
        "total_seconds": total,
        "phases_seconds": {name: seconds for name, seconds, _ in rows},
        "bare_interpreter_seconds": floor,
        "ratio": total / floor,
    }
    OUTPUT.write_text(json.dumps(document, indent=2))
    return 0


def _measure() -> list[dict[str, Any]]:
    import django

    django.setup()
    from django.contrib.auth.models import User
    from django.core.management import call_command

    from governance import job_kinds
    from governance.dispatcher import Dispatcher
    from governance.models import Job, JobState
    from governance.services import jobs
    from workers.executors.local import LocalExecutor

    call_command("migrate", verbosity=0)
    job_kinds.register(
        job_kinds.JobKind(
            name="empty",
            title="Empty job",
            runner="benchmarks.empty_job:nothing",
            result_schema={"type": "object", "maxProperties": 0},
            record=keep_nothing,
        )
    )
    user = User.objects.create_user("bench")
    dispatcher = Dispatcher(executor=LocalExecutor(runner_packages=["benchmarks"]))
    worker = threading.Thread(target=dispatcher.run)
    worker.start()
    measured = []
    try:
        for _ in range(JOBS):
            began = time.monotonic()
            job = jobs.submit(kind="empty", parameters={}, inputs={}, subject="nothing", by=user)
            while not job.is_finished:
                time.sleep(0.002)
                job = Job.objects.get(pk=job.pk)
            if job.state != JobState.SUCCEEDED:
                raise SystemExit(f"The empty job did not succeed: {job.error}")
            measured.append({"total": time.monotonic() - began, "timings": job.timings})
    finally:
        dispatcher.stop()
        worker.join()
        dispatcher.close()
    return measured[1:]


def _bare_interpreter() -> float:
    """Return what starting and ending an interpreter that does nothing takes here."""
    seconds = []
    for _ in range(JOBS):
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", ""], check=True)
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


if __name__ == "__main__":
    sys.exit(main())
