"""Ask for attributions, and for more of them, keep them, and talk about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from audits.engine.methods import METHODS
from audits.explained.figures import FIGURES
from audits.models import Explanation, ExplanationComment
from audits.services import admission
from governance import permissions
from governance.exceptions import InvalidInput, RefusedResult
from governance.models import DatasetVersion, Job, JobState, ModelVersion, StoredFile
from governance.permissions import Action
from governance.services import events, jobs
from governance.services.subjects import charts_with_digests, dataset_input, demand_fit, model_input, split_or_all
from workers.datasets.schema import Schema
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User

DEFAULT_ROWS = 50
DEFAULT_BACKGROUND_ROWS = 100
DEFAULT_TOLERANCE = 0.05
#: Ends of a job that has explained nothing.
_WITHOUT_RESULT = (JobState.FAILED, JobState.CANCELLED, JobState.TIMED_OUT, JobState.LOST)


def request_explanation(
    *,
    version: ModelVersion,
    dataset: DatasetVersion,
    by: User,
    background: DatasetVersion | None = None,
    method: str = "permutation",
    rows: int | Sequence[int] = DEFAULT_ROWS,
    slice: Mapping[str, Any] | None = None,
    outputs: str | Sequence[int] = "all",
    scale: str = "logits",
    tolerance: float = DEFAULT_TOLERANCE,
    background_rows: int | Sequence[int] = DEFAULT_BACKGROUND_ROWS,
    background_method: str | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    patch: int | None = None,
    memory_bytes: int | None = None,
    maximum_coalitions: int | None = None,
    maximum_sweeps: int | None = None,
    seed: int = 0,
    bounds: Mapping[str, float | None] | None = None,
) -> Explanation:
    """Start a job that explains rows of a data set.

    The background defaults to the data that the version was trained on, else to the data set itself; where a data set
    has a split column, rows come from ``test`` and the background from ``train``. The bounds are those of the newest
    policy of the model's tier; ``bounds`` may make some of them stricter. A budget that ends the work on a row early
    leaves its error as it is, and those bounds decide whether that is good enough.

    Raises:
        InvalidInput: with the field that the model, the data or the policy does not let be so.
        StateConflict: when the version is not registered or a data set not ready.
    """
    permissions.require(by, Action.REQUEST_EXPLANATION, version)
    background = background or version.training_data or dataset
    schema = demand_fit(version, dataset)[1]
    background_schema = demand_fit(version, background)[1]
    _demand_columns(dataset, schema, slice, groups or {})
    policy = admission.policy_of(version)
    parameters = {
        "method": method,
        "rows": rows if isinstance(rows, int) else list(rows),
        "slice": None if slice is None else dict(slice),
        "outputs": outputs if isinstance(outputs, str) else list(outputs),
        "scale": scale,
        "tolerance": tolerance,
        "background_rows": background_rows if isinstance(background_rows, int) else list(background_rows),
        "background_method": background_method or ("sample" if isinstance(background_rows, int) else "rows"),
        "groups": {name: list(columns) for name, columns in (groups or {}).items()},
        "patch": patch,
        "memory_bytes": memory_bytes,
        **_budgets(method, {"maximum_coalitions": maximum_coalitions, "maximum_sweeps": maximum_sweeps}),
        "seed": seed,
        "split": split_or_all(schema, "test"),
        "background_split": split_or_all(background_schema, "train"),
        "bounds": admission.locked_bounds(policy, bounds).to_json(),
        "policy": None if policy is None else policy.ref,
    }
    _demand_background_choice(parameters)
    with transaction.atomic():
        return _submit(version=version, dataset=dataset, background=background, parameters=parameters, by=by)


def request_more_rows(*, explanation: Explanation, rows: int | Sequence[int], by: User) -> Explanation:
    """Start a job that explains other rows of the same data set by the same parameters and background.

    Rows that are drawn go on in the random order of the seed, where the explanations of the same family ended; rows
    that are named must not be among those. A job that failed has explained nothing.

    Raises:
        StateConflict: as `request_explanation`.
    """
    permissions.require(by, Action.REQUEST_EXPLANATION, explanation.version)
    with transaction.atomic():
        # The lock keeps two requests at the same moment from drawing the same rows.
        first = Explanation.objects.select_for_update(of=("self",)).get(pk=explanation.extends_id or explanation.pk)
        family = Explanation.objects.filter(Q(pk=first.pk) | Q(extends=first)).exclude(job__state__in=_WITHOUT_RESULT)
        parameters = {
            **first.parameters,
            "rows": rows if isinstance(rows, int) else list(rows),
            "earlier": _taken(family),
        }
        return _submit(
            version=first.version,
            dataset=first.dataset,
            background=first.background,
            parameters=parameters,
            by=by,
            extends=first,
        )


def comment_on_explanation(
    *, explanation: Explanation, text: str, by: User, row: int | None = None, chart: str = ""
) -> ExplanationComment:
    """Say something about an explanation, or about one of its rows or charts."""
    permissions.require(by, Action.COMMENT, explanation)
    if not text.strip():
        raise InvalidInput("A comment says something.", errors=[{"place": "text", "detail": "It is empty."}])
    if row is not None and chart:
        raise InvalidInput(
            "A comment is about a row or about a chart.",
            errors=[{"place": "anchor", "detail": "It names both; say it twice."}],
        )
    if row is not None and row >= (explanation.dataset.row_count or 0):
        raise InvalidInput(
            f"{explanation.dataset.ref} has no row {row}.",
            errors=[{"place": "anchor.row", "detail": f"It has {explanation.dataset.row_count or 0:,} rows, from 0."}],
        )
    known = list(dict.fromkeys([*(entry["id"] for entry in explanation.charts), *FIGURES]))
    if chart and chart not in known:
        raise InvalidInput(
            f"{str(explanation).capitalize()} has no chart {chart!r}.",
            errors=[{"place": "anchor.chart", "detail": f"Its charts are {', '.join(known)}."}],
        )
    with transaction.atomic():
        comment = ExplanationComment.objects.create(explanation=explanation, text=text, row=row, chart=chart, by=by)
        events.record(
            name="explanation.commented",
            subject=explanation.version.ref,
            by=by,
            detail={"explanation": explanation.pk, "row": row, "chart": chart},
        )
    return comment


def record_explanation(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the explanation job found; runs in the transaction that ends the job.

    Raises:
        RefusedResult: when the job admits what its own measures do not by the bounds that were locked.
    """
    explanation = Explanation.objects.select_related("version__model", "dataset__dataset").get(job=job)
    missed = admission.reasons_of(
        value["summary"], explanation.parameters["bounds"], method=explanation.parameters["method"]
    )
    if value["admitted"] and missed:
        raise RefusedResult(f"The result admits an explanation that is outside its bounds. {missed[0]}")
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


def _submit(
    *,
    version: ModelVersion,
    dataset: DatasetVersion,
    background: DatasetVersion,
    parameters: Mapping[str, Any],
    by: User,
    extends: Explanation | None = None,
) -> Explanation:
    """Leave the job and what it will fill in; in the transaction of the caller."""
    signature, schema = demand_fit(version, dataset)
    _, background_schema = demand_fit(version, background)
    job = jobs.submit(
        kind="explanation",
        parameters={
            **parameters,
            "framework": version.framework,
            "signature": signature.to_json(),
            "schema": schema.to_json(),
            "background_schema": background_schema.to_json(),
            "memory_bytes": parameters.get("memory_bytes") or settings.ASSAY_EXPLANATION_MEMORY_BYTES,
        },
        inputs={
            "model": model_input(version),
            "dataset": dataset_input(dataset),
            "background": ("background.parquet", dataset_input(background)[1]),
        },
        subject=f"{version.ref} on {dataset.ref}",
        by=by,
        seed=parameters["seed"],
    )
    explanation = Explanation.objects.create(
        version=version,
        dataset=dataset,
        background=background,
        extends=extends,
        parameters=parameters,
        job=job,
        created_by=by,
    )
    events.record(
        name="explanation.requested",
        subject=version.ref,
        by=by,
        detail={
            "explanation": explanation.pk,
            "dataset": dataset.ref,
            "background": background.ref,
            "extends": None if extends is None else extends.pk,
        },
    )
    return explanation


def _taken(family: QuerySet[Explanation]) -> dict[str, Any]:
    """Return which rows explanations took: how far they went in the random order, and which were named."""
    drawn, named = 0, set()
    for parameters in family.values_list("parameters", flat=True):
        if isinstance(parameters["rows"], int):
            drawn = max(drawn, parameters.get("earlier", {}).get("drawn", 0) + parameters["rows"])
        else:
            named.update(parameters["rows"])
    return {"drawn": drawn, "named": sorted(named)}


def _demand_columns(
    dataset: DatasetVersion, schema: Schema, part: Mapping[str, Any] | None, groups: Mapping[str, Sequence[str]]
) -> None:
    """Refuse a slice or a group by columns that the data set does not have."""
    asked = [("slice", part["column"])] if part is not None else []
    asked += [(f"groups.{name}", column) for name, columns in groups.items() for column in columns]
    errors = [
        {"place": place, "detail": f"There is no column {column!r}."}
        for place, column in asked
        if column not in schema.columns
    ]
    if errors:
        raise InvalidInput(f"{dataset.ref} cannot be cut so: {errors[0]['detail']}", errors=errors)


def _budgets(method: str, asked: Mapping[str, int | None]) -> dict[str, int]:
    """Return the budgets that were asked for, and refuse those that the method does not have."""
    given = {name: value for name, value in asked.items() if value is not None}
    errors = [
        {"place": name, "detail": f"{METHODS[method].title} has no such budget."}
        for name in given
        if method in METHODS and name not in METHODS[method].budgets
    ]
    if errors:
        raise InvalidInput(f"The method {method!r} cannot be limited so.", errors=errors)
    return given


def _demand_background_choice(parameters: Mapping[str, Any]) -> None:
    """Refuse a list of background rows with a method that chooses them itself, and a number with ``rows``."""
    is_number = isinstance(parameters["background_rows"], int)
    if is_number == (parameters["background_method"] == "rows"):
        raise InvalidInput(
            "`background_rows` is a list of row numbers with the method `rows`, and a number with the others.",
            errors=[{"place": "background_rows", "detail": f"The method is {parameters['background_method']!r}."}],
        )
