"""Where a version comes from: raw data, data sets, training, version, audit, as a row of things and acts."""

from __future__ import annotations

from django.urls import reverse

from audits.models import Audit, Explanation
from governance.models import ModelVersion, Training
from governance.presentation.numbers import day, plural
from validators.lineage import datasets_behind
from validators.views.lineage import Act, Hanging, Thing, row_of


def lineage_of(
    version: ModelVersion,
    *,
    training: Training | None,
    audit: Audit | None,
    explanation: Explanation | None,
) -> list[Thing | Act]:
    """Return the row from raw data to audit; four queries, however long the chain is."""
    row: list[Thing | Act] = []
    chain = datasets_behind(version.training_data)
    if chain:
        row += row_of(chain)
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
