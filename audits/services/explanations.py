"""Ask for attributions, and keep them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from audits.models import Explanation
from governance import permissions
from governance.models import DatasetVersion, Job, ModelVersion, StoredFile
from governance.permissions import Action
from governance.services import events, jobs
from governance.services.subjects import charts_with_digests, dataset_input, demand_fit, model_input, split_or_all
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DEFAULT_ROWS = 50
DEFAULT_BACKGROUND_ROWS = 100
DEFAULT_TOLERANCE = 0.05


def request_explanation(
    *,
    version: ModelVersion,
    dataset: DatasetVersion,
    by: User,
    background: DatasetVersion | None = None,
    method: str = "permutation",
    rows: int | Sequence[int] = DEFAULT_ROWS,
    outputs: str | Sequence[int] = "all",
    tolerance: float = DEFAULT_TOLERANCE,
    background_rows: int = DEFAULT_BACKGROUND_ROWS,
    seed: int = 0,
    bounds: Mapping[str, float] | None = None,
) -> Explanation:
    """Start a job that explains rows of a data set.

    The background defaults to the data that the version was trained on, else to the data set itself; where a data set
    has a split column, rows come from ``test`` and the background from ``train``.
    """
    permissions.require(by, Action.REQUEST_EXPLANATION, version)
    background = background or version.training_data or dataset
    signature, schema = demand_fit(version, dataset)
    _, background_schema = demand_fit(version, background)
    parameters = {
        "method": method,
        "rows": rows if isinstance(rows, int) else list(rows),
        "outputs": outputs if isinstance(outputs, str) else list(outputs),
        "tolerance": tolerance,
        "background_rows": background_rows,
        "seed": seed,
        "split": split_or_all(schema, "test"),
        "background_split": split_or_all(background_schema, "train"),
        "bounds": dict(bounds or {}),
    }
    with transaction.atomic():
        job = jobs.submit(
            kind="explanation",
            parameters={
                **parameters,
                "framework": version.framework,
                "signature": signature.to_json(),
                "schema": schema.to_json(),
                "background_schema": background_schema.to_json(),
            },
            inputs={
                "model": model_input(version),
                "dataset": dataset_input(dataset),
                "background": ("background.parquet", dataset_input(background)[1]),
            },
            subject=f"{version.ref} on {dataset.ref}",
            by=by,
            seed=seed,
        )
        explanation = Explanation.objects.create(
            version=version, dataset=dataset, background=background, parameters=parameters, job=job, created_by=by
        )
        events.record(
            name="explanation.requested",
            subject=version.ref,
            by=by,
            detail={"explanation": explanation.pk, "dataset": dataset.ref, "background": background.ref},
        )
    return explanation


def record_explanation(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the explanation job found; runs in the transaction that ends the job."""
    explanation = Explanation.objects.select_related("version__model", "dataset__dataset").get(job=job)
    explanation.quality = value["quality"]
    explanation.admitted = value["admitted"]
    explanation.reasons = value["reasons"]
    explanation.summary = value["summary"]
    explanation.files = {name: file.digest for name, file in files.items()}
    explanation.charts = charts_with_digests(value["charts"], files)
    explanation.digest = digest_of_json(
        {
            "version": explanation.version.digest,
            "dataset": explanation.dataset.digest,
            "value": value,
            "files": explanation.files,
        }
    )
    explanation.save()
    events.record(
        name="explanation.ended",
        subject=explanation.version.ref,
        by=job.created_by,
        detail={"explanation": explanation.pk, "admitted": explanation.admitted, "digest": explanation.digest},
    )
