"""A child that lies is caught by the schema of its kind, before anything it says is stored."""

from __future__ import annotations

import jsonschema
import pytest

from governance import job_kinds
from tests.governance import results

pytestmark = pytest.mark.django_db


def check(kind: str, value: dict) -> None:
    jsonschema.Draft202012Validator(dict(job_kinds.get(kind).result_schema)).validate(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("model_inspection", results.inspection),
        ("model_loading", results.loading),
        ("dataset_import", results.dataset_import),
        ("training", results.training),
        ("evaluation", results.evaluation),
    ],
)
def test_what_a_kind_answers_follows_its_schema(kind, given):
    check(kind, given()[0])


def test_a_rejection_and_a_comparison_follow_their_schemas():
    check("model_inspection", results.inspection(verdict="rejected", reason="no", findings=[results.finding()])[0])
    check("model_inspection", results.inspection(verdict="rejected", reason="no", framework=None, format=None)[0])
    check("model_loading", results.loading(findings=[results.not_loaded()])[0])
    comparison = {"metrics": [results.difference()], "sentence": "Better by 0.1."}
    check("evaluation", results.evaluation(comparison=comparison)[0])


INSPECTION_LIES = {
    "a verdict that does not exist": {"verdict": "approved"},
    "registered with a critical finding": {"findings": [results.finding()]},
    "registered without a rewritten file": {"rewritten": None},
    "registered without a signature": {"signature": None},
    "registered without a digest of its weights": {"weights_digest": ""},
    "a digest that is none": {"weights_digest": "sha256:abc"},
    "a file by a path": {"rewritten": "../../etc/passwd"},
    "a framework that does not make this format": {"framework": "keras"},
    "a rewritten file of another format": {"rewritten": "rewritten.keras"},
    "a rejection without a reason": {"verdict": "rejected", "rewritten": None},
    "a field that nobody asked for": {"is_admin": True},
    "a severity that does not exist": {"findings": [results.finding(severity="harmless")]},
    "a negative count": {"parameter_count": -1},
}
PACKAGE = {"format": "package", "framework": "pytorch", "rewritten": "rewritten.package"}
PACKAGE_LIES = {
    "layers of a package that nobody has loaded": {**PACKAGE, "layers": [results.LAYER]},
    "a package without a digest of its weights": {**PACKAGE, "weights_digest": ""},
}
LOADING_LIES = {
    "loaded without a signature": {"signature": None},
    "a finding that a loader does not have": {
        **results.loading(findings=[results.finding(severity="high")])[0],
    },
    "a finding that rejects nothing": {**results.loading(findings=[results.not_loaded(severity="info")])[0]},
    "a finding without a reason": {**results.loading(findings=[results.not_loaded()])[0], "reason": ""},
    "a model that does not load and has layers": {
        **results.loading(findings=[results.not_loaded()])[0],
        "layers": [results.LAYER],
    },
    "a digest that it was not asked for": {"weights_digest": results.DIGEST},
    "a sentence without end": {"reason": "x" * 4001},
    "more layers than a model has": {"layers": [results.LAYER] * 20_001},
}
IMPORT_LIES = {
    "a digest that is none": {"content_digest": "abc"},
    "a negative count": {"row_count": -1},
    "no schema": {"schema": None},
    "a profile that is a list": {"profile": []},
}
TRAINING_LIES = {
    "no epoch": {"history": []},
    "an epoch 0": {"history": [{"epoch": 0, "loss": 1, "validation_loss": None, "metrics": {}, "seconds": 0}]},
    "a loss that is a text": {
        "history": [{"epoch": 1, "loss": "low", "validation_loss": None, "metrics": {}, "seconds": 0}]
    },
    "a file by a path": {"file": "/etc/passwd"},
    "a file of another format": {"file": "model.keras"},
    "a chart by a path": {"charts": [results.chart(svg="../x.svg")]},
    "a format that does not exist": {"format": "pickle"},
}
EVALUATION_LIES = {
    "no metric": {"metrics": []},
    "a metric without an n": {"metrics": [{key: value for key, value in results.metric().items() if key != "n"}]},
    "a metric without an interval": {"metrics": [{"name": "accuracy", "slice": "", "value": 1, "n": 3, "method": ""}]},
    "a value that is a text": {"metrics": [results.metric(value="high")]},
    "no rows": {"row_count": 0},
}
LIES = [
    (kind, given, lie, what)
    for kind, given, lies in (
        ("model_inspection", results.inspection, INSPECTION_LIES),
        ("model_inspection", results.inspection, PACKAGE_LIES),
        ("model_loading", results.loading, LOADING_LIES),
        ("dataset_import", results.dataset_import, IMPORT_LIES),
        ("training", results.training, TRAINING_LIES),
        ("evaluation", results.evaluation, EVALUATION_LIES),
    )
    for what, lie in lies.items()
]


@pytest.mark.parametrize(
    ("kind", "given", "lie"), [lie[:3] for lie in LIES], ids=[f"{lie[0]}: {lie[3]}" for lie in LIES]
)
def test_a_lie_does_not_follow_the_schema(kind, given, lie):
    value = {**given()[0], **lie}

    with pytest.raises(jsonschema.ValidationError):
        check(kind, value)
