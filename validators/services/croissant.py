"""Describe a data set version as Croissant 1.1 (MLCommons), out of the record alone: no file is opened.

The document names the canonical table by the SHA-256 of its bytes and the content by its own digest, as an identifier:
the same rows have the same identifier, whatever file they came in. What nobody answered in the datasheet is left out.
"""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from governance.exceptions import StateConflict
from governance.models import DatasetState, DatasetVersion
from governance.services.provenance import instant
from validators.services.datasheets import newest_datasheet
from workers.datasets.schema import Column, Schema

CONTENT_TYPE = "application/ld+json"
CONFORMS_TO = "http://mlcommons.org/croissant/1.1"
TABLE = "table.parquet"

#: The context of Croissant 1.1, as the format states it.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        word: f"cr:{word}"
        for word in (
            "arrayShape", "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty",
            "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5", "parentField",
            "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
            "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip

_TYPES = {
    "float": "sc:Float",
    "decimal": "sc:Float",
    "integer": "sc:Integer",
    "boolean": "sc:Boolean",
    "category": "sc:Text",
    "string": "sc:Text",
    "text": "sc:Text",
    "date": "sc:Date",
    "datetime": "sc:DateTime",
    "image": "sc:Float",
    "tokens": "sc:Integer",
}
#: Answers of the datasheet that Croissant has a property of its own for; the last three are of its RAI vocabulary.
_FROM_DATASHEET = {
    "license": "license",
    "citation": "citeAs",
    "purpose": "rai:dataUseCases",
    "acquisition": "rai:dataCollection",
    "errors": "rai:dataLimitations",
}


def croissant_of(version: DatasetVersion) -> dict[str, Any]:
    """Return the JSON-LD of a ready version.

    Raises:
        StateConflict: the version is not ready, so that there is nothing to describe.
    """
    schema = version.read_schema()
    if version.state != DatasetState.READY or schema is None or version.table is None:
        raise StateConflict(f"{version.ref} is {version.get_state_display()}; only a ready version is described.")
    datasheet = newest_datasheet(version.dataset)
    answers = {} if datasheet is None else datasheet.answers
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": version.dataset.name,
        "description": _description(version, schema),
        "version": f"{version.number}.0.0",
        "identifier": version.content_digest,
        "url": reverse("dataset-version", args=[version.dataset.name, version.number]),
        "creator": {"@type": "sc:Person", "name": version.dataset.owner.get_username()},
        "datePublished": instant(version.created_at),
        "isLiveDataset": False,
        **{word: answers[key] for key, word in _FROM_DATASHEET.items() if answers.get(key)},
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "table",
                "name": "table",
                "description": "The canonical table: one row a record, in order.",
                "contentUrl": reverse("file", args=[version.table.digest, TABLE]),
                "contentSize": f"{version.table.size_bytes} B",
                "encodingFormat": "application/x-parquet",
                "sha256": version.table.digest.removeprefix("sha256:"),
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "rows",
                "name": "rows",
                "description": f"{version.row_count} rows of the modality {schema.modality}.",
                **_key(schema, version),
                "field": [_field(number, name, column) for number, (name, column) in enumerate(schema.columns.items())],
            }
        ],
    }


def _description(version: DatasetVersion, schema: Schema) -> str:
    said = version.dataset.description.strip() or f"The data set {version.dataset.name}."
    origin = version.made_from
    came = f"uploaded as {version.filename}" if origin is None else f"made from {origin.ref}"
    return f"{said} Version {version.number}: {schema.modality}, {version.row_count} rows, {came}."


def _key(schema: Schema, version: DatasetVersion) -> dict[str, Any]:
    """Name the id column as the key, where the profile says that it is one."""
    ids = [
        number
        for number, (name, column) in enumerate(schema.columns.items())
        if column.role == "id" and (version.profile.get(name) or {}).get("distinct") == version.row_count
    ]
    return {"key": {"@id": f"rows/{ids[0]}"}} if len(ids) == 1 else {}


def _field(number: int, name: str, column: Column) -> dict[str, Any]:
    """Describe a column; ids are numbers, since the name of a column may be anything."""
    field: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"rows/{number}",
        "name": name,
        "description": f"role {column.role}, type {column.type}",
        "dataType": ["sc:Text", "cr:Split"] if column.role == "split" else _TYPES[column.type],
        "source": {"fileObject": {"@id": "table"}, "extract": {"column": name}},
    }
    if column.shape:
        field |= {"isArray": True, "arrayShape": ",".join(map(str, column.shape))}
    return field
