"""Where a version comes from: raw data, data sets, training, version, audit, as a row of things and acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db.models import F
from django.urls import reverse

from audits.models import Audit, Explanation
from governance.models import DatasetVersion, ModelVersion, Training
from governance.presentation.numbers import day, plural
from validators.models import Cleaning, Validation

#: More data sets than this are drawn as the first, the last two, and how many lie between.
MOST_DATASETS = 3


@dataclass(frozen=True)
class Hanging:
    """Something that hangs under a thing: a mark with words, and where it leads."""

    words: str
    state: str = ""
    address: str = ""


@dataclass(frozen=True)
class Thing:
    """A box of the row."""

    kind: str
    name: str
    digest: str = ""
    address: str = ""
    hanging: tuple[Hanging, ...] = field(default=())
    is_here: bool = False
    is_act: bool = False


@dataclass(frozen=True)
class Act:
    """An arrow of the row: what was done above it, how much below it."""

    above: str
    below: str = ""
    is_act: bool = True


def lineage_of(
    version: ModelVersion,
    *,
    training: Training | None,
    audit: Audit | None,
    explanation: Explanation | None,
) -> list[Thing | Act]:
    """Return the row from raw data to audit; four queries, however long the chain is."""
    row: list[Thing | Act] = []
    chain = _datasets_behind(version.training_data)
    if chain:
        row += _data(chain)
        row.append(_making(version, training))
    else:
        row += [
            Thing(kind="raw artefact", name=version.filename, digest=version.digest),
            Act("upload", day(version.created_at)),
        ]
    row.append(
        Thing(
            kind="model version",
            name=version.ref,
            digest=version.digest,
            hanging=_of_version(version, explanation),
            is_here=True,
        )
    )
    if audit is not None:
        row.append(Act(f"audit {audit.pk}", _measured(audit)))
        row.append(
            Thing(
                kind="report",
                name=f"audit {audit.pk}",
                digest=audit.digest,
                address=reverse("audit", args=[audit.pk]),
                hanging=(
                    Hanging(audit.get_verdict_display() or "no verdict yet", state=audit.verdict or audit.job.state),
                    Hanging(f"on {audit.dataset.ref}"),
                ),
            )
        )
    return row


def _measured(audit: Audit) -> str:
    """Say how many rows an audit measured: those of the split that its job was given, counted by the profile."""
    split = (audit.job.spec.get("parameters") or {}).get("split")
    if split is None:
        return plural(audit.dataset.row_count or 0, "row")
    schema = audit.dataset.read_schema()
    column = next((name for name, kept in schema.columns.items() if kept.role == "split"), "") if schema else ""
    values = (audit.dataset.profile.get(column) or {}).get("values") or []
    counts = [entry["count"] for entry in values if entry.get("value") == split]
    return plural(counts[0], f"{split} row") if counts else f"{split} rows"


def _datasets_behind(dataset: DatasetVersion | None) -> list[DatasetVersion]:
    """Return the data set versions from the upload to this one, read at once and walked here."""
    if dataset is None:
        return []
    known = {
        found.pk: found for found in DatasetVersion.objects.filter(dataset=dataset.dataset_id).select_related("dataset")
    }
    chain: list[DatasetVersion] = []
    step: int | None = dataset.pk
    while step is not None and step in known:
        chain.append(known.pop(step))
        step = chain[-1].cleaned_from_id
    return chain[::-1]


def _data(chain: Sequence[DatasetVersion]) -> list[Thing | Act]:
    ids = [found.pk for found in chain]
    cleanings = {cleaning.cleaned_to_id: cleaning for cleaning in Cleaning.objects.filter(cleaned_to__in=ids)}
    validations: dict[int, Validation] = {}
    for validation in Validation.objects.filter(dataset__in=ids, dataset_digest=F("dataset__content_digest")).order_by(
        "pk"
    ):
        validations[validation.dataset_id] = validation
    first = chain[0]
    row: list[Thing | Act] = []
    if first.filename:
        row.append(
            Thing(
                kind="raw data",
                name=first.filename,
                digest=first.upload_id or "",
                hanging=(Hanging(plural(first.row_count or 0, "row")),),
            )
        )
        row.append(Act("upload", day(first.created_at)))
    shown = list(chain) if len(chain) <= MOST_DATASETS else [chain[0], *chain[-2:]]
    for place, dataset in enumerate(shown):
        if place:
            row.append(_cleaning(cleanings.get(dataset.pk), len(chain) - len(shown) if place == 1 else 0))
        found = validations.get(dataset.pk)
        row.append(
            Thing(
                kind="data set",
                name=dataset.ref,
                digest=dataset.content_digest,
                address=reverse("dataset-version", args=[dataset.dataset.name, dataset.number]),
                hanging=(_validation(found),),
            )
        )
    return row


def _cleaning(cleaning: Cleaning | None, between: int) -> Act:
    if between:
        return Act(f"{between} more cleaning{'s' * (between != 1)}", "then the last two")
    if cleaning is None:
        return Act("cleaning")
    left = int(cleaning.report.get("rows_quarantined", 0)) + int(cleaning.report.get("rows_dropped", 0))
    return Act(f"cleaning {cleaning.pk}", f"{plural(left, 'row')} out")


def _validation(validation: Validation | None) -> Hanging:
    if validation is None:
        return Hanging("not validated", state="none")
    state = "queued" if validation.success is None else "passed" if validation.success else "failed"
    return Hanging(f"validation {validation.pk}", state=state)


def _making(version: ModelVersion, training: Training | None) -> Act:
    if training is None:
        return Act("trained elsewhere", f"uploaded {day(version.created_at)}")
    rows = training.summary.get("rows") if isinstance(training.summary, dict) else None
    return Act(f"training {training.pk}", plural(rows, "row") if isinstance(rows, int) else day(training.created_at))


def _of_version(version: ModelVersion, explanation: Explanation | None) -> tuple[Hanging, ...]:
    hanging = [Hanging("inspection", state="passed" if version.state == "registered" else version.state)]
    if explanation is not None:
        state = explanation.job.state
        if explanation.admitted is not None:
            state = "admitted" if explanation.admitted else "not_admitted"
        hanging.append(
            Hanging(f"explanation {explanation.pk}", state=state, address=reverse("explanation", args=[explanation.pk]))
        )
    if version.retrained_from is not None:
        hanging.append(Hanging(f"from {version.retrained_from.ref}"))
    return tuple(hanging)
