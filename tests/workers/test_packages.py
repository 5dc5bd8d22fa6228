"""The adapters of model packages: the package's code makes the model, and stays where it belongs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import packages, tiny_models
from tests.workers.loaded_models import load as load_tiny
from tests.workers.loaded_models import rows, softmax
from workers.artifacts.inspection import inspect
from workers.artifacts.rewrite import rewrite
from workers.frameworks.base import Model, TrainingRows
from workers.frameworks.loading import load_model
from workers.frameworks.weights import digest_of_weights
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature

FRAMEWORKS = ["pytorch", "keras"]
OWN_LOSS = {"pytorch": "model:loss", "keras": "custom_objects:loss"}
ACCEPTED = {"ART-03.package", "ART-03.package_import"}
X = rows(48, 2)
LABELS = (X[:, 0] > X[:, 1]).astype(int)


def load(path: Path, framework: str, signature: Signature | None = None) -> Model:
    """Inspect a package, write its copy, and load that."""
    inspection = inspect(path, filename=path.name, accepted=ACCEPTED)
    assert inspection.verdict == "registered", inspection.reason
    copy = path.with_suffix(".package")
    rewrite(path, inspection, copy)
    return load_model(copy, framework=framework, signature=signature, device="cpu", seed=0)


@pytest.fixture
def pytorch(tmp_path: Path) -> Callable[..., Model]:
    return lambda **changes: load(packages.pytorch(tmp_path / "package.zip", **changes), "pytorch")


def refusal(load: Callable[..., Model], **changes: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        load(**changes)
    assert caught.value.code == "model_does_not_load"
    return caught.value


def recipe(**changes: Any) -> Recipe:
    optimizer = {"name": "adam", "learning_rate": 0.05}
    return Recipe.from_json({"epochs": 3, "seed": 3, "metrics": ["accuracy"], "optimizer": optimizer, **changes})


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_package_is_the_model_that_the_same_numbers_make_without_one(framework: str, tmp_path: Path) -> None:
    model = load(packages.of_framework(framework, tmp_path / "package.zip"), framework)
    plain = load_tiny(tiny_models.linear_classifier(tmp_path / ("m.pt2" if framework == "pytorch" else "m.keras")))
    inputs = {"features": X}
    for answer in ("forward", "logits", "features"):
        assert np.allclose(getattr(model, answer)(inputs), getattr(plain, answer)(inputs), atol=1e-6), answer
    for ours, theirs in (
        (model.loss_gradient(inputs, LABELS), plain.loss_gradient(inputs, LABELS)),
        (model.logits_gradient(inputs, 1), plain.logits_gradient(inputs, 1)),
    ):
        assert np.allclose(ours[0], theirs[0], atol=1e-6)
        assert np.allclose(ours[1]["features"], theirs[1]["features"], atol=1e-6)
    (layer,) = [layer for layer in model.layers() if layer["parameter_count"]]
    assert (layer["kind"], layer["output_shape"], layer["parameter_count"]) == ("Affine", [-1, 2], 6)
    assert model.signature.inputs[0].columns == ("debt", "income")
    assert model.signature.output.classes == ("no", "yes")
    changed = {name: array * 2 for name, array in model.weights().items()}
    model.set_weights(changed)
    assert np.allclose(model.forward(inputs), 2 * plain.forward(inputs), atol=1e-5)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_package_trains_by_its_own_loss_to_the_same_weights_each_time(framework: str, tmp_path: Path) -> None:
    path = packages.of_framework(framework, tmp_path / "package.zip")
    digests, losses, saved = [], [], []
    for name, chosen in (("a", OWN_LOSS[framework]), ("b", OWN_LOSS[framework]), ("c", "cross_entropy")):
        model = load(path, framework)
        history = model.fit(
            TrainingRows({"features": X}, LABELS, {"features": X}, LABELS),
            recipe(loss=chosen),
            on_epoch=lambda _: None,
        )
        losses.append([record.loss for record in history.epochs])
        assert {"accuracy", "validation_accuracy"} == set(history.epochs[-1].metrics)
        digests.append(digest_of_weights(model.weights()))
        model.save(tmp_path / f"{name}.zip")
        saved.append(load(tmp_path / f"{name}.zip", framework))
    assert losses[0][-1] < losses[0][0]
    assert losses[0] == losses[1]
    if framework == "pytorch":  # its loss smooths the labels; that of the Keras package is the plain one
        assert losses[0] != losses[2]
        assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert digests[0] == digests[1]
    assert [digest_of_weights(model.weights()) for model in saved] == digests
    inspection = inspect(tmp_path / "a.zip", filename="a.zip", accepted=ACCEPTED)
    before = inspect(path, filename="package.zip", accepted=ACCEPTED)
    assert inspection.content.source_digests == before.content.source_digests  # type: ignore[union-attr]
    assert inspection.content.manifest.recipe["loss"] == OWN_LOSS[framework]  # type: ignore[union-attr]


@pytest.mark.parametrize("suffix", [".pt2", ".keras"])
def test_a_model_without_a_package_has_no_loss_of_its_own(suffix: str, tmp_path: Path) -> None:
    model = load_tiny(tiny_models.linear_classifier(tmp_path / f"m{suffix}"))
    with pytest.raises(JobError, match="model:loss is a package's own") as caught:
        model.fit(TrainingRows({"features": X}, LABELS), recipe(loss="model:loss"), on_epoch=lambda _: None)
    assert caught.value.code == "recipe_does_not_fit"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("raise ValueError('no such class')", r"model:loss breaks: ValueError: no such class \(model.py, line \d+\)"),
        ("return 3.0", "no tensor that depends on the outputs"),
        ("return scores.detach().sum()", "no tensor that depends on the outputs"),
    ],
)
def test_a_loss_that_breaks_or_gives_no_gradient_is_told(pytorch: Callable[..., Model], body: str, words: str) -> None:
    source = packages.MODEL.partition("    return torch.nn.functional")[0] + f"    {body}\n"
    with pytest.raises(JobError, match=words) as caught:
        pytorch(model=source).fit(
            TrainingRows({"features": X}, LABELS), recipe(loss="model:loss"), on_epoch=lambda _: None
        )
    assert caught.value.code == "recipe_does_not_fit"


# -------------------------------------------------------------------------------------- logits of any module
PROBABILITIES = packages.PYTORCH_TOML.replace('kind = "logits"', 'kind = "probabilities"')


@pytest.mark.parametrize(
    ("answer", "exact"),
    [
        ("torch.softmax(self.answer(features), -1)", True),
        ("torch.nn.functional.softmax(self.answer(features), dim=1)", True),
        ("torch.nn.Softmax(-1)(self.answer(features)).reshape(-1, 2).contiguous()", True),
        ("torch.exp(torch.log_softmax(self.answer(features), -1))", False),
    ],
)
def test_logits_are_what_goes_into_the_last_softmax_or_the_logarithm(
    pytorch: Callable[..., Model], answer: str, exact: bool
) -> None:
    model = pytorch(assay=PROBABILITIES, model=packages.MODEL.replace("self.answer(features)", answer))
    expected = X @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS
    logits = model.logits({"features": X})
    assert np.allclose(model.forward({"features": X}), softmax(expected), atol=1e-5)
    difference = logits - expected
    assert np.allclose(difference, difference[:, :1], atol=1e-4), "they differ by a constant a row at most"
    assert np.allclose(difference, 0, atol=1e-5) is exact


def test_training_mode_is_for_training_only(pytorch: Callable[..., Model]) -> None:
    dropped = "torch.nn.functional.dropout(self.answer(features), 0.5, self.training)"
    model = pytorch(model=packages.MODEL.replace("self.answer(features)", dropped))
    before = model.forward({"features": X})
    history = model.fit(TrainingRows({"features": X}, LABELS), recipe(loss="cross_entropy"), on_epoch=lambda _: None)
    assert len(history.epochs) == 3
    assert np.array_equal(model.forward({"features": X}), model.forward({"features": X}))
    assert not np.allclose(before, model.forward({"features": X}))


# ----------------------------------------------------------------------------------------- what goes wrong
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("    return Classifier(outputs)", "    raise ValueError('nine')", r"ValueError: nine (model.py, line "),
        ("    return Classifier(outputs)", "    raise SystemExit", "SystemExit (model.py, line "),
        ("    return Classifier(outputs)", "    return 3", "returns int; it has to return a torch.nn.Module"),
        ("def build(outputs)", "def build()", "TypeError: build() got an unexpected keyword argument 'outputs'"),
        ("import torch\n", "import torch\n1 / 0\n", "model.py cannot be imported: ZeroDivisionError"),
        ("import torch\n", "import torch\nimport not_there\n", "No module named 'not_there'"),
        ("return self.answer(features)", "return features @ features", "does not answer 7 rows of zeros"),
        ("return self.answer(features)", "return self.answer(features)[:, :1]", "float32 of shape [-1, 1]"),
        ("return self.answer(features)", "return self.answer(features).double()", "float64 of shape [-1, 2]"),
        ("return self.answer(features)", "return self.answer(features).sum(0)", "of shape [2] for 'answer'"),
        ("return self.answer(features)", "return None", "gives 0 tensors; the signature states 1"),
        ("return self.answer(features)", "return self.answer(features), features", "gives 2 tensors"),
        ("return self.answer(features)", "return self.answer(features).softmax(1)", "so it gives probabilities"),
        ("Affine(2, outputs)", "Affine(3, outputs)", "float32 [3, 2] in the module and float32 [2, 2] in the weights"),
        ("Affine(2, outputs)", "Affine(2, outputs).double()", "is float64 [2] in the module"),
        (
            "self.answer = ",
            "self.other = Affine(1, 1)\n        self.answer = ",
            "'other.bias', which the weights do not",
        ),
        ("self.answer = ", "self.result = ", "The weights have 'answer.bias', which the module does not have"),
    ],
)
def test_what_a_factory_does_wrong_is_told(pytorch: Callable[..., Model], old: str, new: str, words: str) -> None:
    changed = packages.MODEL.replace(old, new, 1)
    assert changed != packages.MODEL
    assert words in refusal(pytorch, model=changed).detail


def test_a_keras_package_whose_code_breaks_is_told(tmp_path: Path) -> None:
    source = packages.CUSTOM_OBJECTS.replace("self.units = units", "raise ValueError('nine')")
    error = refusal(lambda: load(packages.keras(tmp_path / "package.zip", custom_objects=source), "keras"))
    assert "nine" in error.detail


def test_weights_that_two_names_share_need_to_be_there_once(pytorch: Callable[..., Model], tmp_path: Path) -> None:
    source = packages.MODEL.replace(
        "self.answer = Affine(2, outputs)",
        "self.answer = Affine(2, outputs)\n        self.twin = Affine(2, outputs)\n"
        "        self.twin.weight = self.answer.weight",
    ).replace("return self.answer(features)", "return self.answer(features) + self.twin(features)")
    tensors = {"answer.weight": tiny_models.LINEAR_WEIGHTS, "answer.bias": tiny_models.LINEAR_BIAS}
    model = pytorch(model=source, weights=packages.weights({**tensors, "twin.bias": np.zeros(2)}))
    expected = 2 * (X @ tiny_models.LINEAR_WEIGHTS) + tiny_models.LINEAR_BIAS
    assert np.allclose(model.forward({"features": X}), expected, atol=1e-5)
    model.save(tmp_path / "again.zip")
    assert np.allclose(load(tmp_path / "again.zip", "pytorch").forward({"features": X}), expected, atol=1e-5)


# --------------------------------------------------------------------------------------- where the code stays
def test_the_code_leaves_nothing_behind(
    pytorch: Callable[..., Model], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    before = list(sys.path)
    source = "import os\nos.chdir('/')\nprint('hello')\n" + packages.MODEL
    model = pytorch(model=source)
    assert Path.cwd() == tmp_path
    assert "hello" in capsys.readouterr().out
    assert sys.path == before
    assert not sys.dont_write_bytecode
    assert "model" not in sys.modules
    (folder,) = tmp_path.glob("package-*")
    assert not list(folder.rglob("*.pyc"))
    named = [name for name in sys.modules if name.startswith("assay_package")]
    assert any(name.endswith(".layers") for name in named)
    del model
    gc.collect()
    assert not folder.exists()
    assert not set(named) & set(sys.modules)


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_two_packages_with_the_same_names_are_two(framework: str, tmp_path: Path) -> None:
    first = load(packages.of_framework(framework, tmp_path / "first.zip"), framework)
    if framework == "pytorch":
        changes = {"layers": packages.LAYERS.replace("+ self.bias", "- self.bias")}
        second = load(packages.pytorch(tmp_path / "second.zip", **changes), framework)
    else:
        source = packages.CUSTOM_OBJECTS.replace("+ self.bias", "- self.bias")
        second = load(packages.keras(tmp_path / "second.zip", custom_objects=source), framework)
    weighted = X @ tiny_models.LINEAR_WEIGHTS
    assert np.allclose(first.forward({"features": X}), weighted + tiny_models.LINEAR_BIAS, atol=1e-5)
    assert np.allclose(second.forward({"features": X}), weighted - tiny_models.LINEAR_BIAS, atol=1e-5)


def test_a_source_named_like_a_library_does_not_take_its_place(pytorch: Callable[..., Model]) -> None:
    import math

    source = packages.LAYERS.replace("import torch\n", "import torch\nfrom . import math as own\nassert own.marker\n")
    model = pytorch(**{"math.py": "marker = 1\n", "layers": source})
    assert model.forward({"features": X}).shape == (48, 2)
    assert sys.modules["math"] is math
    assert not hasattr(math, "marker")
