"""Where data comes from and what became of it, as a row of things and acts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import F
from django.http import HttpRequest
from django.urls import reverse

from governance.models import DatasetVersion, ModelVersion
from governance.presentation.numbers import day, plural
from validators.lineage import datasets_behind
from validators.models import Cleaning, Restoration, Split, Validation

#: More data sets than this are drawn as the first, the last two, and how many lie between.
MOST_DATASETS = 3
#: As many model versions are drawn behind a data set version; the graph has all.
MOST_MODELS = 3


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


def section(version: DatasetVersion, request: HttpRequest) -> dict[str, Any]:  # noqa: ARG001 - every section gets both
    """Return the row from the upload to this version and to the models that were trained on it."""
    row = row_of(datasets_behind(version), here=version)
    made = list(ModelVersion.objects.filter(training_data=version).select_related("model").order_by("pk"))
    if made:
        row.append(Act("training", plural(len(made), "model version")))
    for number, model in enumerate(made[:MOST_MODELS]):
        if number:
            row.append(Act("and"))
        row.append(
            Thing(
                kind="model version",
                name=model.ref,
                digest=model.digest,
                address=reverse("version", args=[model.model.name, model.number]),
            )
        )
    return {"lineage": row, "more_models": max(0, len(made) - MOST_MODELS)}


def row_of(chain: Sequence[DatasetVersion], *, here: DatasetVersion | None = None) -> list[Thing | Act]:
    """Return the row of a chain of data set versions, with the act that led to each."""
    ids = [found.pk for found in chain]
    acts = _acts(ids)
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
            between = len(chain) - len(shown) if place == 1 else 0
            row.append(Act(plural(between, "more step"), "then the last two") if between else acts[dataset.pk])
        found = validations.get(dataset.pk)
        row.append(
            Thing(
                kind="data set",
                name=dataset.ref,
                digest=dataset.content_digest,
                address=reverse("dataset-version", args=[dataset.dataset.name, dataset.number]),
                hanging=(_validation(found),),
                is_here=dataset == here,
            )
        )
    return row


def _acts(ids: Sequence[int]) -> dict[int | None, Act]:
    """Return what was done to make each of these versions."""
    acts: dict[int | None, Act] = {**dict.fromkeys(ids, Act("cleaning"))}
    for cleaning in Cleaning.objects.filter(cleaned_to__in=ids):
        left = int(cleaning.report.get("rows_quarantined", 0))
        acts[cleaning.cleaned_to_id] = Act(f"cleaning {cleaning.pk}", f"{plural(left, 'row')} out")
    for restoration in Restoration.objects.filter(restored_to__in=ids):
        back = f"{plural(len(restoration.rows), 'row')} back"
        acts[restoration.restored_to_id] = Act(f"restoration {restoration.pk}", back)
    for split in Split.objects.filter(split_to__in=ids):
        parts = [f"{entry['rows']:,} {entry['part']}" for entry in split.report.get("parts", [])]
        acts[split.split_to_id] = Act(f"split {split.pk}", ", ".join(parts))
    return acts


def _validation(validation: Validation | None) -> Hanging:
    if validation is None:
        return Hanging("not validated", state="none")
    state = "queued" if validation.success is None else "passed" if validation.success else "failed"
    return Hanging(f"validation {validation.pk}", state=state)
