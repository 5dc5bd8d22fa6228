"""SavedModel and TorchScript in the jobs: held back until accepted, then evaluated, explained and audited."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine import audit, explanation
from tests import tiny_models
from tests.workers.artifacts.saved_models import packed, tensorflow
from tests.workers.graph_models import GRAPHS, copy_of, scores_of, upload
from tests.workers.job_folders import job, write_table
from tests.workers.loaded_models import rows
from workers import evaluation
from workers.artifacts import job as inspection_job

X = rows(120, 2)
CLASSES = ["no", "yes"]
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "left": {"role": "feature", "type": "float"},
        "right": {"role": "feature", "type": "float"},
        "label": {"role": "target", "type": "category"},
    },
}


@pytest.fixture(params=list(GRAPHS))
def graph(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def stated(kind: str = "probabilities", **changes: Any) -> dict[str, Any]:
    return tiny_models.signature(kind=kind, classes=CLASSES, columns=["left", "right"], **changes)


def inspected(folder: Path, path: Path, *, signature: dict[str, Any] | None, accepted: bool = True) -> dict[str, Any]:
    parameters = {
        "filename": path.name,
        "stated_signature": signature,
        "stated_recipe": None,
        "accepted": [GRAPHS[path.name][1]] if accepted else [],
    }
    context = job(folder / "job", kind="model_inspection", inputs={"artifact": path}, parameters=parameters)
    return inspection_job.run(context)


def test_without_a_word_it_is_held_back_and_not_loaded(
    graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(inspection_job, "try_to_load")
    value = inspected(tmp_path, upload(tmp_path / graph), signature=stated(), accepted=False)
    assert (value["verdict"], value["rewritten"], value["signature"]) == ("quarantined", None, None)
    (finding,) = value["findings"]
    assert (finding["id"], finding["severity"]) == (GRAPHS[graph][1], "medium")
    assert "cannot be retrained" in finding["detail"]


def test_once_accepted_it_is_registered_with_its_facts(graph: str, tmp_path: Path) -> None:
    value = inspected(tmp_path, upload(tmp_path / graph, softmax=True), signature=stated())
    assert (value["verdict"], value["framework"]) == ("registered", GRAPHS[graph][0])
    assert value["rewritten"] == f"rewritten.{value['format']}"
    assert value["parameter_count"] == 6
    assert value["signature"]["outputs"][0]["kind"] == "probabilities"
    assert value["signature"]["outputs"][0]["classes"] == CLASSES
    assert value["signature"]["inputs"][0]["columns"] == ["left", "right"]
    assert value["recipe"] is None


def test_a_saved_model_states_its_signature_and_a_script_does_not(graph: str, tmp_path: Path) -> None:
    value = inspected(tmp_path, upload(tmp_path / graph), signature=None)
    if graph == "model.zip":
        assert value["verdict"] == "registered"
        assert value["signature"]["inputs"][0]["shape"] == [-1, 2]
    else:
        assert value["verdict"] == "rejected"
        assert [finding["id"] for finding in value["findings"]] == ["ART-03.torchscript", "SIG-01.signature"]
        assert "state the signature" in value["reason"]


@pytest.mark.parametrize(
    ("signature", "words"), [(stated("logits"), "gives probabilities"), (stated(outputs=2, inputs=3), "")]
)
def test_a_stated_signature_that_differs_is_rejected(
    graph: str, signature: dict[str, Any], words: str, tmp_path: Path
) -> None:
    value = inspected(tmp_path, upload(tmp_path / graph, softmax=True), signature=signature)
    assert (value["verdict"], value["rewritten"]) == ("rejected", None)
    assert value["findings"][-1]["id"] in ("SIG-01.signature", "SIG-01.load")
    assert words in value["reason"]


def table(folder: Path) -> Path:
    labels = np.array(CLASSES)[scores_of(X).argmax(1)]
    return write_table(folder / "table.parquet", {"left": X[:, 0], "right": X[:, 1], "label": labels})


def parameters(graph: str) -> dict[str, Any]:
    return {"framework": GRAPHS[graph][0], "signature": stated(), "schema": SCHEMA, "task": "classification"}


def test_it_is_evaluated(graph: str, tmp_path: Path) -> None:
    inputs = {"model": copy_of(upload(tmp_path / graph, softmax=True)), "dataset": table(tmp_path)}
    known = {**parameters(graph), "slices": [], "split": None}
    value = evaluation.run(job(tmp_path / "job", kind="evaluation", inputs=inputs, parameters=known))
    accuracy = next(entry for entry in value["metrics"] if entry["name"] == "accuracy")
    assert (accuracy["value"], accuracy["n"]) == (1.0, 120)


def test_it_is_explained(graph: str, tmp_path: Path) -> None:
    data = table(tmp_path)
    inputs = {"model": copy_of(upload(tmp_path / graph, softmax=True)), "dataset": data, "background": data}
    known = {**parameters(graph), "rows": 4, "background_rows": 8, "seed": 1}
    value = explanation.run(job(tmp_path / "job", kind="explanation", inputs=inputs, parameters=known))
    assert value["quality"]["additivity_residual"] < 1e-4


def test_it_is_audited_to_the_end(graph: str, tmp_path: Path) -> None:
    data = table(tmp_path)
    inputs = {"model": copy_of(upload(tmp_path / graph, softmax=True)), "dataset": data}
    checks = ("PER-01", "ROB-01", "CAL-01", "EXP-01")
    known = {**parameters(graph), "criteria": {"checks": {name: {} for name in checks}}, "facts": {}}
    value = audit.run(job(tmp_path / "job", kind="audit", inputs=inputs, parameters=known))
    statuses = {result["id"]: result["status"] for result in value["checks"]}
    assert set(statuses) == set(checks)
    assert set(statuses.values()) <= {"passed", "failed", "not_applicable"}, value
    assert statuses["PER-01"] == "passed"


def test_a_model_of_texts_is_registered_with_its_vocabulary(tmp_path: Path) -> None:
    tensorflow()
    import keras

    vectorization = keras.layers.TextVectorization(max_tokens=20, output_sequence_length=4)
    vectorization.adapt(["a b c", "d e"])
    model = keras.Sequential(
        [
            keras.Input((1,), dtype="string"),
            vectorization,
            keras.layers.Embedding(20, 4),
            keras.layers.GlobalAveragePooling1D(),
            keras.layers.Dense(2),
        ]
    )
    model.export(str(tmp_path / "model"), verbose=False)
    value = inspected(tmp_path, packed(tmp_path / "model", tmp_path / "model.zip"), signature=None)
    assert value["verdict"] == "registered"
    assert value["signature"]["inputs"][0]["dtype"] == "string"
