"""An explanation whose worker is killed again and again gives the bytes of one that nobody disturbed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from governance.models import Event, Job, JobState
from governance.services import jobs
from governance.storage import store
from tests import factories, tiny_models
from tests.faults.conftest import Workers, eventually, state_of
from workers.protocol import CHECKPOINT_FOLDER

NAMES = ["income", "age", "debt", "rate", "term", "score"]
ROWS = 600


def submitted(folder: Path, subject: str) -> Job:
    """Leave an explanation of many rows in the queue."""
    generator = np.random.default_rng(0)
    table = folder / "table.parquet"
    pq.write_table(pa.table({name: generator.normal(size=ROWS).astype("float32") for name in NAMES}), table)
    model = tiny_models.mlp(folder / "model.pt2", inputs=6, hidden=16, classes=3)
    stored = {path.name: store().put([path.read_bytes()]) for path in (model, table)}
    columns = {name: {"role": "feature", "type": "float"} for name in NAMES}
    return jobs.submit(
        kind="explained",
        parameters={
            "framework": "pytorch",
            "signature": tiny_models.signature(inputs=6, outputs=3, columns=NAMES, classes=["a", "b", "c"]),
            "schema": {"modality": "tabular", "columns": columns},
            "rows": ROWS,
            "background_rows": 50,
            "tolerance": 0.0,
        },
        inputs={
            "model": ("model.pt2", stored["model.pt2"]),
            "dataset": ("table.parquet", stored["table.parquet"]),
            "background": ("background.parquet", stored["table.parquet"]),
        },
        subject=subject,
        by=factories.owner(),
        seed=3,
    )


def kept_bytes(job: Job, settings: Any) -> int:
    """Return how much of its values the running attempt has kept."""
    attempt = Job.objects.get(pk=job.pk).attempt
    path = settings.ASSAY_JOBS_FOLDER / str(job.pk) / str(attempt) / CHECKPOINT_FOLDER / "values"
    return path.stat().st_size if path.exists() else 0


def test_a_killed_explanation_goes_on_to_the_same_bytes(
    workers: Workers, tiny_kind: None, settings: Any, tmp_path: Path
) -> None:
    job = submitted(tmp_path, "the killed one")
    before = 0
    for _ in range(2):
        doomed = workers.start()
        eventually(lambda before=before: kept_bytes(job, settings) > before)
        doomed.send_signal(signal.SIGKILL)
        doomed.wait()
        before = kept_bytes(job, settings)
        assert 0 < before < 8 * ROWS * len(NAMES) * 3
    undisturbed = submitted(tmp_path, "the other one")
    workers.finish()
    assert (state_of(job), state_of(undisturbed)) == (JobState.SUCCEEDED, JobState.SUCCEEDED)
    digests = {event.subject: event.detail["files"] for event in Event.objects.filter(name="explained.recorded")}
    assert digests["the killed one"] == digests["the other one"]
    assert {"attributions.npz", "neighbours.npz"} <= set(digests["the killed one"])
    assert not list(settings.ASSAY_JOBS_FOLDER.glob("*/*"))
