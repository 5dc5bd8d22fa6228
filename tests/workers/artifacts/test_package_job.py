"""The inspection job on model packages: sources to review, facts of its own, and no code that runs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import packages, tiny_models
from tests.workers.job_folders import job
from workers.artifacts import job as inspection
from workers.frameworks.weights import digest_of_weights
from workers.protocol import digest_of_bytes

ACCEPTED = ["ART-03.package", "ART-03.package_import"]
SOURCES = {
    "layers.py": digest_of_bytes(packages.LAYERS.encode()),
    "model.py": digest_of_bytes(packages.MODEL.encode()),
}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[dict[str, Any], Path]]:
    """Inspect the PyTorch package in this process; keywords change what is stated or its entries."""

    def inspect(
        *,
        accepted: list[str] = ACCEPTED,
        stated: Any = None,
        signature: Any = None,
        sources: Any = None,
        **changes: Any,
    ) -> Any:
        context = job(
            tmp_path / "job",
            kind="model_inspection",
            inputs={"artifact": packages.pytorch(tmp_path / "package.zip", **changes)},
            parameters={
                "filename": "package.zip",
                "stated_recipe": stated,
                "stated_signature": signature,
                "accepted": accepted,
                "sources": sources,
            },
        )
        return inspection.run(context), context.folder / "outputs"

    return inspect


def test_a_quarantined_package_leaves_its_sources_to_read_and_nothing_to_load(run: Any) -> None:
    value, outputs = run(accepted=[])
    assert (value["verdict"], value["sources"]) == ("quarantined", SOURCES)
    left = {path.name: path.read_text() for path in outputs.iterdir()}
    assert left == {"source_1.txt": packages.LAYERS, "source_2.txt": packages.MODEL}
    assert (value["signature"], value["weights_digest"]) == (None, "")


def test_an_accepted_package_is_measured_and_not_loaded(run: Any) -> None:
    value, outputs = run(model=packages.MODEL + "\nraise SystemExit('the code ran')\n")
    assert (value["verdict"], value["rewritten"]) == ("registered", "rewritten.package")
    assert {path.name for path in outputs.iterdir()} == {"source_1.txt", "source_2.txt", "rewritten.package"}
    assert value["parameter_count"] == 6
    weights = {"answer.weight": tiny_models.LINEAR_WEIGHTS, "answer.bias": tiny_models.LINEAR_BIAS}
    assert value["weights_digest"] == digest_of_weights(weights)
    assert value["layers"] == []
    assert value["signature"]["inputs"][0]["columns"] == packages.COLUMNS
    assert value["signature"]["outputs"][0]["classes"] == packages.CLASSES
    assert (value["recipe"]["loss"], value["recipe"]["epochs"]) == ("model:loss", 2)
    assert not [name for name in sys.modules if name.startswith("assay_package")]


def test_a_stated_signature_may_not_contradict_the_one_of_the_package(run: Any) -> None:
    value, outputs = run(signature=tiny_models.signature(inputs=3))
    assert (value["verdict"], value["rewritten"]) == ("rejected", None)
    assert "has shape [-1, 2] in the artefact, 'features' has [-1, 3] as stated" in value["reason"]
    assert not (outputs / "rewritten.package").exists()


def test_what_is_stated_beside_a_package_may_not_contradict_it(run: Any) -> None:
    value, _ = run(stated={"loss": "cross_entropy"})
    assert value["verdict"] == "rejected"
    assert "compiled with the loss model:loss; the stated recipe says cross_entropy" in value["reason"]


def test_a_stated_loss_has_to_be_in_the_package(run: Any) -> None:
    value, _ = run(assay=packages.PYTORCH_TOML.partition("[recipe]")[0], stated={"loss": "model:missing"})
    assert value["verdict"] == "rejected"
    assert "model:missing is a package's own, and the file is no package that defines it" in value["reason"]


def test_a_model_without_a_package_has_no_loss_of_its_own(tmp_path: Path, pt2_file: Path) -> None:
    context = job(
        tmp_path / "job",
        kind="model_inspection",
        inputs={"artifact": pt2_file},
        parameters={"filename": "model.pt2", "stated_recipe": {"loss": "model:loss"}},
    )
    value = inspection.run(context)
    assert [finding["id"] for finding in value["findings"]] == ["SIG-01.recipe"]


@pytest.mark.parametrize("change", [{"model.py": "sha256:" + "0" * 64}, {"more.py": SOURCES["model.py"]}])
def test_a_package_that_a_training_wrote_has_the_sources_that_were_released(run: Any, change: dict[str, str]) -> None:
    value, _ = run(sources={**SOURCES, **change})
    assert value["verdict"] == "rejected"
    assert "ART-01.changed_source" in {finding["id"] for finding in value["findings"]}


def test_the_sources_that_were_released_pass(run: Any) -> None:
    assert run(sources=SOURCES)[0]["verdict"] == "registered"


# ---------------------------------------------------------------------------------------------- of Keras
@pytest.fixture
def run_keras(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Inspect a Keras package around a ``.keras``; the code of the package is not needed for any of it."""

    def inspect(name: str, model: Path, *, signature: Any = None, **changes: Any) -> dict[str, Any]:
        path = packages.write(tmp_path / f"{name}.zip", packages.keras_entries(model, **changes))
        context = job(
            tmp_path / name,
            kind="model_inspection",
            inputs={"artifact": path},
            parameters={"filename": path.name, "stated_signature": signature, "accepted": ACCEPTED},
        )
        return inspection.run(context)

    return inspect


def test_a_keras_package_has_one_digest_for_the_same_weights(tmp_path: Path, run_keras: Any) -> None:
    from tests.workers.artifacts.test_keras import keras

    model = keras().saving.load_model(tiny_models.mlp(tmp_path / "model.keras", dropout=0.1), compile=False)
    model.compile("adam", "mse")
    digests = {}
    for name in ("first", "seeded", "trained", "changed"):
        if name == "seeded":
            for variable in model.non_trainable_variables + [v for v in model.variables if "seed" in v.path]:
                variable.assign(variable + 1)
        if name == "trained":
            model.optimizer.build(model.trainable_variables)
            model.optimizer.iterations.assign(9)
        if name == "changed":
            model.weights[0].assign(model.weights[0] + 1)
        model.save(tmp_path / f"{name}.keras")
        value = run_keras(name, tmp_path / f"{name}.keras", assay=packages.KERAS_TOML.partition("[[sig")[0])
        assert value["verdict"] == "registered", value["reason"]
        assert value["parameter_count"] == model.count_params()
        digests[name] = value["weights_digest"]
    assert digests["first"] == digests["seeded"] == digests["trained"] != digests["changed"]


def test_a_keras_package_without_a_signature_has_the_stated_one_or_none_yet(tmp_path: Path, run_keras: Any) -> None:
    model = packages.keras_model(tmp_path / "model.keras")
    without = packages.KERAS_TOML.partition("[[sig")[0]
    stated = tiny_models.signature()
    assert run_keras("none", model, assay=without)["signature"] is None
    assert run_keras("stated", model, assay=without, signature=stated)["signature"] == stated
