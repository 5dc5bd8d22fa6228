"""Put back rows that a cleaning took out, for a reason, as a new version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.db import transaction

from governance import permissions
from governance.exceptions import InvalidInput, StateConflict
from governance.models import Dataset, DatasetState, DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs, provenance
from governance.services.datasets import TREE, next_number, parsed_schema, shown_media
from governance.services.subjects import dataset_input, kept_file
from validators.cleaned_rows import unknown_rows
from validators.models import Cleaning, Restoration

if TYPE_CHECKING:
    from django.contrib.auth.models import User

#: As many rows as one restoration puts back: each of them is somebody's decision.
MOST_ROWS = 10_000
LONGEST_REASON = 2_000
#: As many rows as an error names.
_NAMED = 20


def restore_rows(*, cleaning: Cleaning, rows: Sequence[int], reason: str, by: User) -> Restoration:
    """Start a job that makes a version with some rows back at their places, as they were before the cleaning.

    Rows that were restored before stay in: restorations of one cleaning build on each other. A version that has rows
    back is another content, so it has to be validated before it is used.

    Args:
        rows: numbers of rows in the version that was cleaned, as the quarantine names them.

    Raises:
        NotAllowed: neither the owner of the data, nor an auditor or an administrator asks.
        InvalidInput: no reason, no rows, too many, or rows that did not leave, by number.
        StateConflict: the cleaning made no version, some row is back already, or another restoration is under way.
    """
    permissions.require(by, Action.RESTORE_ROWS, cleaning)
    wanted = sorted(set(rows))
    _demand_said(wanted, reason)
    made = cleaning.cleaned_to
    if made is None or cleaning.quarantine is None:
        raise StateConflict(
            f"{str(cleaning).capitalize()} has made no version, so there is nothing to put rows back into."
        )
    unknown = unknown_rows(cleaning, wanted)
    if unknown:
        raise InvalidInput(
            f"{len(unknown):,} of the rows did not leave in {cleaning}: {_named(unknown)}.",
            errors=[{"place": "rows", "detail": f"Row {row} is not in the quarantine."} for row in unknown[:_NAMED]],
        )
    with transaction.atomic():
        # One after the other, so that each builds on what the last one made.
        Dataset.objects.select_for_update().get(pk=made.dataset_id)
        base, restored = _stand_of(cleaning, made)
        again = sorted(set(wanted) & restored)
        if again:
            raise StateConflict(
                f"Nobody restores a row twice, and these are back in {base.ref} already: {_named(again)}."
            )
        job = jobs.submit(
            kind="restoration",
            parameters={"rows": wanted, "restored": sorted(restored), "schema": base.schema},
            inputs={
                "base": dataset_input(base),
                "quarantine": ("quarantine.parquet", cleaning.quarantine),
            },
            subject=base.ref,
            by=by,
        )
        restoration = Restoration.objects.create(
            cleaning=cleaning, base=base, rows=wanted, reason=reason.strip(), job=job, created_by=by
        )
        events.record(
            name="restoration.requested",
            subject=base.ref,
            by=by,
            detail={
                "restoration": restoration.pk,
                "cleaning": cleaning.pk,
                "rows": len(wanted),
                "reason": restoration.reason,
            },
        )
    return restoration


def record_restoration(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Make the version with the rows back; runs in the transaction that ends the job."""
    restoration = Restoration.objects.select_related("base__dataset", "created_by").get(job=job)
    base, by = restoration.base, restoration.created_by
    restored = DatasetVersion.objects.create(
        dataset=base.dataset,
        number=next_number(base.dataset),
        state=DatasetState.READY,
        table=kept_file(files, "table.parquet"),
        tree=kept_file(files, TREE),
        content_digest=value["content_digest"],
        schema=parsed_schema(value["schema"]),
        row_count=value["row_count"],
        profile=value["profile"],
        media=shown_media(value["media"], files),
        cleaned_from=base,
        job=job,
        created_by=by,
    )
    restoration.restored_to = restored
    restoration.save(update_fields=["restored_to"])
    events.record(
        name="dataset.restored",
        subject=restored.ref,
        by=by,
        detail={
            "restoration": restoration.pk,
            "from": base.ref,
            "rows": len(restoration.rows),
            "digest": restored.content_digest,
        },
    )
    provenance.sign_dataset(restored, by=by)


def restored_rows(cleaning: Cleaning) -> set[int]:
    """Return the rows of a cleaning that are back in a version."""
    return {row for rows in cleaning.restorations.made().values_list("rows", flat=True) for row in rows}


def _stand_of(cleaning: Cleaning, made: DatasetVersion) -> tuple[DatasetVersion, set[int]]:
    """Return the version that rows go back into, and the rows of the cleaning that it has back."""
    pending = cleaning.restorations.pending().first()
    if pending is not None:
        raise StateConflict(
            f"{str(pending).capitalize()} is under way; ask again when its job {pending.job_id} has ended."
        )
    last = cleaning.restorations.made().select_related("restored_to__dataset", "restored_to__table").first()
    base = made if last is None or last.restored_to is None else last.restored_to
    return base, restored_rows(cleaning)


def _demand_said(rows: Sequence[int], reason: str) -> None:
    if not reason.strip() or len(reason) > LONGEST_REASON:
        raise InvalidInput(
            f"A restoration needs a reason of at most {LONGEST_REASON:,} characters.",
            errors=[{"place": "reason", "detail": "It is empty." if not reason.strip() else "It is too long."}],
        )
    if not 0 < len(rows) <= MOST_ROWS:
        raise InvalidInput(
            f"A restoration puts 1 to {MOST_ROWS:,} rows back, not {len(rows):,}.",
            errors=[{"place": "rows", "detail": "Name the rows by their numbers."}],
        )


def _named(rows: Sequence[int]) -> str:
    shown = ", ".join(str(row) for row in rows[:_NAMED])
    return shown + (f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else "")
