"""Create data sets, take in their versions, and keep what their import found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import IntegrityError, transaction
from django.db.models import Max

from governance import permissions
from governance.exceptions import RefusedResult, StateConflict
from governance.models import Dataset, DatasetState, DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import events, jobs, provenance
from governance.services.subjects import kept_file, plain_filename, read_schema
from workers.datasets.schema import Schema, SchemaError
from workers.protocol import ErrorReport

if TYPE_CHECKING:
    from django.contrib.auth.models import User

TABLE = "table.parquet"
#: The digest tree of a table, as imports and cleanings write it.
TREE = "tree.json"


def create_dataset(*, name: str, by: User, description: str = "") -> Dataset:
    """Create a logical data set; who creates it owns it."""
    permissions.require(by, Action.CREATE_DATASET)
    dataset = Dataset(name=name, description=description, owner=by)
    dataset.clean_fields()
    try:
        with transaction.atomic():
            dataset.save(force_insert=True)
            events.record(name="dataset.created", subject=name, by=by)
    except IntegrityError as error:
        raise StateConflict(f"There is a data set {name!r} already.") from error
    return dataset


def upload_version(
    *, dataset: Dataset, file: StoredFile, filename: str, by: User, stated_schema: Any = None
) -> DatasetVersion:
    """Take in a stored upload as the next version, which is ready when the job that imports it has ended.

    Columns, roles and types come from the schema; without one they are inferred.
    """
    permissions.require(by, Action.UPLOAD_DATASET_VERSION, dataset)
    schema = None if stated_schema is None else read_schema(stated_schema).to_json()
    name = plain_filename(filename)
    with transaction.atomic():
        version = DatasetVersion(
            dataset=dataset,
            number=next_number(dataset),
            filename=name,
            upload=file,
            stated_schema=schema,
            created_by=by,
        )
        version.job = jobs.submit(
            kind="dataset_import",
            parameters={"filename": name, "schema": schema},
            inputs={"upload": ("upload", file)},
            subject=version.ref,
            by=by,
        )
        version.save(force_insert=True)
        events.record(name="dataset.uploaded", subject=version, by=by, detail={"digest": file.digest, "filename": name})
    return version


def next_number(dataset: Dataset) -> int:
    """Return the number of the next version, and hold the data set until the transaction ends so that it stays so."""
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    last: int | None = DatasetVersion.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"]
    return (last or 0) + 1


def record_import(job: Job, value: dict[str, Any], files: Mapping[str, StoredFile]) -> None:
    """Keep what the import found; in the transaction that ends the job."""
    version = DatasetVersion.objects.select_related("dataset").get(job=job, state=DatasetState.IMPORTING)
    changed = DatasetVersion.objects.filter(pk=version.pk, state=DatasetState.IMPORTING).update(
        state=DatasetState.READY,
        table=kept_file(files, TABLE),
        tree=files.get(TREE),
        content_digest=value["content_digest"],
        schema=parsed_schema(value["schema"]),
        row_count=value["row_count"],
        profile=value["profile"],
        media=shown_media(value.get("media", {}), files),
    )
    if not changed:
        raise StateConflict(f"{version.ref} is no longer {DatasetState.IMPORTING.label}.")
    events.record(
        name="dataset.imported",
        subject=version,
        by=job.created_by,
        detail={"content_digest": value["content_digest"], "row_count": value["row_count"]},
    )
    version.refresh_from_db()
    provenance.sign_dataset(version, by=job.created_by)


def record_failed_import(job: Job, error: ErrorReport) -> None:
    """Reject the version with the reason, so that nobody waits for it."""
    version = DatasetVersion.objects.select_related("dataset").get(job=job)
    place = f" ({error.place})" if error.place else ""
    DatasetVersion.objects.filter(pk=version.pk, state=DatasetState.IMPORTING).update(
        state=DatasetState.REJECTED, state_reason=f"{error.detail}{place}"
    )
    events.record(
        name="dataset.imported",
        subject=version,
        by=job.created_by,
        detail={"state": DatasetState.REJECTED, "code": error.code, "reason": error.detail, "place": error.place},
    )


def shown_media(media: Mapping[str, dict[str, Any]], files: Mapping[str, StoredFile]) -> dict[str, dict[str, Any]]:
    """Return what a page shows of images and texts with the digests of the pictures that it names."""
    return {
        name: {**entry, "digest": kept_file(files, entry["file"]).digest} if entry.get("file") else entry
        for name, entry in media.items()
    }


def parsed_schema(document: Any) -> dict[str, Any]:
    """Return the schema that a job answered with in its one form; what does not parse makes the result a lie."""
    try:
        return Schema.from_json(document).to_json()
    except SchemaError as error:
        raise RefusedResult(f"The job answered with a schema that is none: {error}") from error
