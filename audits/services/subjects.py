"""What explanations and audits both demand of a version and the data it meets."""

from __future__ import annotations

from governance.exceptions import InvalidInput, StateConflict
from governance.models import DatasetState, DatasetVersion, ModelVersion, ModelVersionState, StoredFile
from workers.datasets.schema import Schema
from workers.signature import Signature


def model_input(version: ModelVersion) -> tuple[str, StoredFile]:
    """Return the file that jobs load: the rewritten copy of a registered version, under its plain name."""
    if version.state != ModelVersionState.REGISTERED or version.rewritten is None:
        raise StateConflict(f"{version.ref} is {version.get_state_display()}; only a registered version can be loaded.")
    return f"model.{version.format}", version.rewritten


def dataset_input(dataset: DatasetVersion) -> tuple[str, StoredFile]:
    """Return the canonical table of a ready data set version."""
    if dataset.state != DatasetState.READY or dataset.table is None:
        raise StateConflict(f"{dataset.ref} is {dataset.get_state_display()}; only a ready version can be used.")
    return "table.parquet", dataset.table


def demand_fit(version: ModelVersion, dataset: DatasetVersion) -> tuple[Signature, Schema]:
    """Return signature and schema when the data set can feed the model.

    Raises:
        InvalidInput: with the names and shapes that do not fit.
    """
    signature, schema = version.read_signature(), dataset.read_schema()
    if signature is None or schema is None:
        raise StateConflict(f"{version.ref} has no signature, or {dataset.ref} has no schema, to compare.")
    misfits = signature.misfits(schema)
    if misfits:
        raise InvalidInput(
            f"{dataset.ref} cannot feed {version.ref}: {misfits[0]}",
            errors=[{"place": "dataset", "detail": sentence} for sentence in misfits],
        )
    return signature, schema


def demand_target(dataset: DatasetVersion, schema: Schema) -> None:
    """Refuse a data set that has no column of role target."""
    if schema.target is None:
        raise InvalidInput(
            f"{dataset.ref} has no column of role `target`, so nothing can be measured against it.",
            errors=[{"place": "dataset", "detail": f"Its columns are {', '.join(schema.columns)}."}],
        )


def split_or_all(schema: Schema, split: str) -> str | None:
    """Return the split to use: the one named where the data set has a split column, else all rows (None)."""
    return split if schema.split is not None else None
