"""The bill of materials: valid against the official schema, and saying what the record says."""

from __future__ import annotations

import json

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from governance.exceptions import IntegrityFailure
from governance.models import ModelVersion
from governance.services import bom
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def version() -> ModelVersion:
    """Return a retrained version with an evaluation on other data than its own."""
    job = factories.JobFactory(environment={"packages": {"torch": "2.13.0+cpu", "sklearn": "1.9.1"}})
    made = factories.ModelVersionFactory(
        model__name="credit-scorer",
        model__limitations="Adults only.",
        training_data=factories.DatasetVersionFactory(dataset__name="applicants"),
        retrained_from=factories.ModelVersionFactory(),
        layers=[{"name": "a", "kind": "linear"}, {"name": "b", "kind": "relu"}],
    )
    factories.TrainingFactory(produced=made, job=job)
    factories.EvaluationFactory(version=made, dataset=factories.DatasetVersionFactory(dataset__name="hold-out"))
    return made


def of_type(document: dict, kind: str) -> dict[str, dict]:
    return {entry["name"]: entry for entry in document["components"] if entry["type"] == kind}


def test_it_is_valid_against_the_official_schema(version):
    written = json.dumps(bom.bill_of_materials(version))

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(written) is None


def test_the_model_stands_with_its_digest_and_its_card(version):
    component = bom.bill_of_materials(version)["metadata"]["component"]
    card = component["modelCard"]

    assert component["type"] == "machine-learning-model"
    assert component["hashes"] == [{"alg": "SHA-256", "content": version.digest.removeprefix("sha256:")}]
    assert card["modelParameters"]["task"] == "classification"
    assert card["modelParameters"]["modelArchitecture"] == "linear, relu"
    assert card["modelParameters"]["inputs"] == [{"format": "float32 [-1, 2]"}]
    assert card["considerations"] == {
        "useCases": [version.model.intended_use],
        "technicalLimitations": ["Adults only."],
    }


def test_metrics_of_the_newest_evaluation_have_their_intervals(version):
    metrics = [
        {"name": "accuracy", "slice": "age=old", "value": 0.5, "low": 0.25, "high": 0.75, "n": 9},
        {"name": "auc", "slice": None, "value": None, "low": None, "high": None, "n": 0},
    ]
    factories.EvaluationFactory(version=version, metrics=metrics)

    card = bom.bill_of_materials(version)["metadata"]["component"]["modelCard"]

    assert card["quantitativeAnalysis"]["performanceMetrics"] == [
        {
            "type": "accuracy",
            "slice": "age=old",
            "value": "0.5",
            "confidenceInterval": {"lowerBound": "0.25", "upperBound": "0.75"},
        },
        {"type": "auc", "value": "not measured"},
    ]


def test_data_sets_and_libraries_stand_with_digest_and_version(version):
    document = bom.bill_of_materials(version)
    data, libraries = of_type(document, "data"), of_type(document, "framework")

    assert set(data) == {"applicants", "hold-out"}
    table = version.training_data.table_id.removeprefix("sha256:")
    assert data["applicants"]["hashes"] == [{"alg": "SHA-256", "content": table}]
    assert libraries["torch"]["purl"] == "pkg:pypi/torch@2.13.0%2Bcpu"
    assert libraries["scikit-learn"]["version"] == "1.9.1"


def test_the_model_depends_on_everything_that_is_named(version):
    document = bom.bill_of_materials(version)
    references = {entry["bom-ref"] for entry in document["components"]}

    assert document["dependencies"][0]["ref"] == "model:credit-scorer/1"
    assert set(document["dependencies"][0]["dependsOn"]) == references
    assert {entry["ref"] for entry in document["dependencies"][1:]} == references


def test_a_bare_upload_has_one_too():
    version = factories.ModelVersionFactory(job=factories.JobFactory())

    document = bom.bill_of_materials(version)

    assert document["components"] == []
    assert "quantitativeAnalysis" not in document["metadata"]["component"]["modelCard"]


def test_the_same_record_gives_the_same_document(version):
    assert bom.bill_of_materials(version) == bom.bill_of_materials(ModelVersion.objects.get(pk=version.pk))


def test_what_the_schema_does_not_allow_is_not_handed_out(version):
    version.artifact_id = "sha256:short"

    with pytest.raises(IntegrityFailure, match="would not be valid"):
        bom.bill_of_materials(version)


def test_it_is_downloaded_with_its_media_type(version, dave_api):
    response = dave_api.get("/api/v1/models/credit-scorer/versions/1/bom/")

    assert response["Content-Type"] == "application/vnd.cyclonedx+json; version=1.6"
    assert response["Content-Disposition"] == 'attachment; filename="credit-scorer-1.cdx.json"'
    assert response.json() == bom.bill_of_materials(version)
