"""What the verbs demand of a version and of the data it meets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from governance.exceptions import InvalidInput, RefusedResult, StateConflict
from governance.models import DatasetState, DatasetVersion, ModelVersion, ModelVersionState, StoredFile
from workers.artifacts.formats import FORMATS
from workers.datasets.schema import Schema, SchemaError
from workers.recipe import Recipe, RecipeError
from workers.signature import Signature, SignatureError

_LONGEST_FILENAME = 255


def model_input(version: ModelVersion) -> tuple[str, StoredFile]:
    """Return the file that jobs load: the rewritten copy of a registered version, under its plain name.

    Raises:
        StateConflict: the version is not registered, or holds weights and no model.
    """
    if version.state != ModelVersionState.REGISTERED or version.rewritten is None:
        raise StateConflict(
            f"{version.ref} is {version.get_state_display()}; only a registered version can be loaded. "
            f"{version.state_reason}".rstrip()
        )
    demand_model(version)
    return FORMATS[version.format].input_name, version.rewritten


def demand_model(version: ModelVersion) -> None:
    """Refuse a version of weights alone, which nothing can be asked of before it was put into a model package."""
    if not version.holds_model:
        raise StateConflict(
            f"{version.ref} holds weights and no model; put them into a model package with the code that makes a "
            "model of them, and upload that as a version."
        )


def dataset_input(dataset: DatasetVersion) -> tuple[str, StoredFile]:
    """Return the canonical table of a ready data set version."""
    if dataset.state != DatasetState.READY or dataset.table is None:
        raise StateConflict(
            f"{dataset.ref} is {dataset.get_state_display()}; only a ready version can be used. "
            f"{dataset.state_reason}".rstrip()
        )
    return "table.parquet", dataset.table


def demand_fit(version: ModelVersion, dataset: DatasetVersion) -> tuple[Signature, Schema]:
    """Return signature and schema when the data set can feed the model.

    Raises:
        StateConflict: the version holds weights and no model, or has no signature.
        InvalidInput: with the names and shapes that do not fit.
    """
    demand_model(version)
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
            f"{dataset.ref} has no column of role `target`, so there is nothing to learn from or to measure against.",
            errors=[{"place": "dataset", "detail": f"Its columns are {', '.join(schema.columns)}."}],
        )


def split_or_all(schema: Schema, split: str) -> str | None:
    """Return the split to use: the one named where the data set has a split column, else all rows (None)."""
    return split if schema.split is not None else None


def read_signature(document: Any) -> Signature:
    """Return the signature that a person stated; what is wrong with it is an error of `signature`."""
    try:
        return Signature.from_json(document)
    except SignatureError as error:
        raise _invalid("signature", error) from error


def read_recipe(document: Any) -> Recipe:
    """Return the recipe that a person stated; what is wrong with it is an error of `recipe`."""
    try:
        return Recipe.from_json(document)
    except RecipeError as error:
        raise _invalid("recipe", error) from error


def read_schema(document: Any) -> Schema:
    """Return the schema that a person stated; what is wrong with it is an error of `schema`."""
    try:
        return Schema.from_json(document)
    except SchemaError as error:
        raise _invalid("schema", error) from error


def plain_filename(filename: str) -> str:
    """Return the last part of the name that an upload had, for people to read; it is never used as a path."""
    name = filename.replace("\\", "/").rpartition("/")[2].strip()
    if not name or len(name) > _LONGEST_FILENAME or not name.isprintable():
        raise InvalidInput(
            f"The file name {filename[:80]!r} cannot be kept.",
            errors=[{"place": "file", "detail": f"A name has 1 to {_LONGEST_FILENAME} printable characters."}],
        )
    return name


def kept_file(files: Mapping[str, StoredFile], name: str) -> StoredFile:
    """Return an output of a job that its result names; one that is not there makes the result a lie."""
    try:
        return files[name]
    except KeyError:
        raise RefusedResult(f"The result names the file {name!r}, which the job did not write.") from None


def charts_with_digests(charts: Sequence[Mapping[str, Any]], files: Mapping[str, StoredFile]) -> list[dict[str, Any]]:
    """Name the stored drawing and spec of each chart by digest."""
    return [
        {
            **chart,
            "svg_digest": kept_file(files, chart["svg"]).digest,
            "spec_digest": kept_file(files, chart["spec"]).digest,
        }
        for chart in charts
    ]


def _invalid(place: str, error: ValueError) -> InvalidInput:
    return InvalidInput(f"The {place} is not valid: {error}", errors=[{"place": place, "detail": str(error)}])
