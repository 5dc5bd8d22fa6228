"""The bill of materials of a version: CycloneDX 1.6 with a model card, checked against the official schema.

The library has no model card yet, so the document is built here and held against its strict validator, whose schemas
come with it. The same record gives the same document: no time of asking, no random serial number.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from packageurl import PackageURL

from governance.exceptions import IntegrityFailure
from governance.models import DatasetVersion, Evaluation, ModelVersion, Training
from governance.services.provenance import instant

if TYPE_CHECKING:
    from cyclonedx.validation.json import JsonStrictValidator

CONTENT_TYPE = "application/vnd.cyclonedx+json; version=1.6"

#: Names in which serial numbers are made from digests.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:assay:bom:1")
#: How libraries are named in a package registry, where that differs from their module.
_PACKAGES = {"sklearn": "scikit-learn", "great_expectations": "great-expectations"}


def bill_of_materials(version: ModelVersion, *, until: datetime | None = None) -> dict[str, Any]:
    """Return the BOM of a version: the model with its card, its data, the libraries that its job ran with.

    Args:
        until: leave out evaluations that ended later.

    Raises:
        IntegrityFailure: what the record holds makes no valid document.
    """
    evaluation = newest_evaluation(version, until=until)
    data = datasets_of(version, evaluation)
    libraries = list(_libraries(version))
    model = _reference(version)
    components = [*map(_data_component, data), *libraries]
    document = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(_NAMESPACE, f'{version.ref} {version.digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": instant(version.created_at),
            "tools": {"components": [{"type": "application", "name": "Assay"}]},
            "component": _model_component(version, evaluation, data),
        },
        "components": components,
        "dependencies": [
            {"ref": model, "dependsOn": sorted(component["bom-ref"] for component in components)},
            *({"ref": component["bom-ref"]} for component in components),
        ],
    }
    problem = _validator().validate_str(json.dumps(document))
    if problem is not None:
        raise IntegrityFailure(f"The BOM of {version.ref} would not be valid: {str(problem.data.message)[:500]}")
    return document


@lru_cache(maxsize=1)
def _validator() -> JsonStrictValidator:
    # With the reader of JSON schemas below it, more than a web process needs before somebody asks for a BOM.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6)


def newest_evaluation(version: ModelVersion, *, until: datetime | None = None) -> Evaluation | None:
    """Return the evaluation whose numbers the card shows: the last that has ended."""
    ended = Evaluation.objects.filter(version=version).exclude(digest="").select_related("dataset__dataset")
    if until is not None:
        ended = ended.filter(job__finished_at__lte=until)
    return ended.order_by("-pk").first()


def datasets_of(version: ModelVersion, evaluation: Evaluation | None) -> list[DatasetVersion]:
    """Return the data sets that the version was trained and last evaluated on, each once."""
    named = [version.training_data, evaluation.dataset if evaluation else None]
    return list({dataset.pk: dataset for dataset in named if dataset is not None}.values())


def _model_component(
    version: ModelVersion, evaluation: Evaluation | None, data: list[DatasetVersion]
) -> dict[str, Any]:
    properties = {
        "assay:state": version.state,
        "assay:framework": version.framework,
        "assay:format": version.format,
        "assay:rewritten": version.rewritten_id or "",
        "assay:weights": version.weights_digest,
        "assay:retrained_from": version.retrained_from.ref if version.retrained_from else "",
        "assay:model_signature": version.model_signature_state,
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": _reference(version),
        "name": version.model.name,
        "version": str(version.number),
        "description": version.model.intended_use,
        "hashes": [_hash(version.digest)],
        "modelCard": {
            "modelParameters": _parameters(version, data),
            **({"quantitativeAnalysis": _analysis(evaluation)} if evaluation else {}),
            "considerations": {
                "useCases": [version.model.intended_use],
                **({"technicalLimitations": [limits]} if (limits := version.model.limitations) else {}),
            },
        },
        "properties": [{"name": name, "value": value} for name, value in properties.items() if value],
    }


def _parameters(version: ModelVersion, data: list[DatasetVersion]) -> dict[str, Any]:
    signature = version.read_signature()
    card: dict[str, Any] = {
        "approach": {"type": "supervised"},
        "task": version.model.task,
        "datasets": [{"ref": _reference(entry)} for entry in data],
    }
    if version.layers:
        # The architecture as far as the inspection read it: which kinds of layers, in their order.
        card["modelArchitecture"] = ", ".join(str(layer["kind"]) for layer in version.layers)
    if signature is not None:
        card["inputs"] = [{"format": f"{entry.dtype} {list(entry.shape)}"} for entry in signature.inputs]
        card["outputs"] = [
            {"format": f"{entry.dtype} {list(entry.shape)}, {entry.kind}"} for entry in signature.outputs
        ]
    return card


def _analysis(evaluation: Evaluation) -> dict[str, Any]:
    return {
        "performanceMetrics": [
            {
                "type": str(metric["name"]),
                "value": _number(metric["value"]),
                **({"slice": str(metric["slice"])} if metric.get("slice") else {}),
                **(
                    {
                        "confidenceInterval": {
                            "lowerBound": _number(metric["low"]),
                            "upperBound": _number(metric["high"]),
                        }
                    }
                    if metric.get("low") is not None and metric.get("high") is not None
                    else {}
                ),
            }
            for metric in evaluation.metrics
        ]
    }


def _data_component(dataset: DatasetVersion) -> dict[str, Any]:
    properties = {"assay:content_digest": dataset.content_digest, "assay:rows": str(dataset.row_count)}
    return {
        "type": "data",
        "bom-ref": _reference(dataset),
        "name": dataset.dataset.name,
        "version": str(dataset.number),
        **({"hashes": [_hash(dataset.table_id)]} if dataset.table_id else {}),
        "data": [
            {
                "type": "dataset",
                "name": dataset.ref,
                "description": dataset.dataset.description or "A data set version.",
            }
        ],
        "properties": [{"name": name, "value": value} for name, value in properties.items()],
    }


def _libraries(version: ModelVersion) -> Iterator[dict[str, Any]]:
    """Yield the libraries of the job that inspected or trained the version, with the versions that it named."""
    training = Training.objects.filter(produced=version).select_related("job").first()
    job = training.job if training else version.job
    packages = job.environment.get("packages", {}) if job else {}
    for module, number in sorted(packages.items()):
        name = _PACKAGES.get(module, module)
        purl = PackageURL("pypi", name=name, version=number).to_string()
        yield {"type": "framework", "bom-ref": purl, "name": name, "version": number, "purl": purl}


def _reference(thing: ModelVersion | DatasetVersion) -> str:
    kind = "model" if isinstance(thing, ModelVersion) else "data"
    return f"{kind}:{thing.ref}"


def _hash(digest: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.removeprefix("sha256:")}


def _number(value: Any) -> str:
    return "not measured" if value is None else repr(value)
