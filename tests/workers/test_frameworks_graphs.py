"""SavedModel and TorchScript are used like any model: what they give is worked out by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.graph_models import BIAS, GRAPHS, WEIGHTS, copy_of, scores_of, upload
from tests.workers.loaded_models import rows, softmax
from workers.frameworks.base import Model, TrainingRows
from workers.frameworks.loading import load_model
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature

X = rows(5, 2)
NAMES = {"model.zip": ("weights", "bias"), "model.pt": ("answer.weight", "answer.bias")}


def load(name: str, folder: Path, *, is_softmax: bool = False, signature: dict[str, Any] | None = None) -> Model:
    stated = signature or tiny_models.signature(kind="probabilities" if is_softmax else "logits")
    return load_model(
        copy_of(upload(folder / name, softmax=is_softmax)),
        framework=GRAPHS[name][0],
        signature=Signature.from_json(stated),
        device="cpu",
        seed=0,
    )


@pytest.fixture(params=list(GRAPHS))
def graph(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_output_is_worked_out_by_hand(graph: str, tmp_path: Path) -> None:
    model = load(graph, tmp_path)
    np.testing.assert_allclose(model.forward({"features": X}), scores_of(X), rtol=1e-5)
    np.testing.assert_allclose(model.logits({"features": X}), scores_of(X), rtol=1e-5)
    assert model.forward({"features": X[:0]}).shape == (0, 2)


def test_logits_of_probabilities_are_their_logarithms(graph: str, tmp_path: Path) -> None:
    model = load(graph, tmp_path, is_softmax=True)
    np.testing.assert_allclose(model.forward({"features": X}), softmax(scores_of(X)), rtol=1e-5)
    np.testing.assert_allclose(model.logits({"features": X}), np.log(softmax(scores_of(X))), rtol=1e-4)


def test_gradients_are_the_weights(graph: str, tmp_path: Path) -> None:
    model = load(graph, tmp_path)
    values, gradients = model.logits_gradient({"features": X}, 1)
    np.testing.assert_allclose(values, scores_of(X)[:, 1], rtol=1e-5)
    np.testing.assert_allclose(gradients["features"], np.tile(WEIGHTS[:, 1], (5, 1)), rtol=1e-5)


def test_the_gradient_of_the_loss_is_worked_out_by_hand(graph: str, tmp_path: Path) -> None:
    model = load(graph, tmp_path, is_softmax=True)
    labels = np.array([0, 1, 0, 1, 1])
    losses, gradients = model.loss_gradient({"features": X}, labels)
    probabilities = softmax(scores_of(X))
    np.testing.assert_allclose(losses, -np.log(probabilities[np.arange(5), labels]), rtol=1e-4)
    expected = (probabilities - np.eye(2)[labels]) @ WEIGHTS.T
    np.testing.assert_allclose(gradients["features"], expected, rtol=1e-3, atol=1e-5)


def test_weights_are_read_and_replaced(graph: str, tmp_path: Path) -> None:
    model = load(graph, tmp_path)
    kernel, bias = NAMES[graph]
    before = model.weights()
    assert set(before) == {kernel, bias}
    np.testing.assert_array_equal(before[bias], BIAS)
    model.set_weights({kernel: np.zeros_like(before[kernel])})
    np.testing.assert_allclose(model.forward({"features": X}), np.tile(BIAS, (5, 1)))
    with pytest.raises(KeyError, match="no weights named 'other'"):
        model.set_weights({"other": BIAS})
    assert sum(layer["parameter_count"] for layer in model.layers()) == 6


def test_what_a_graph_does_not_have_is_said(graph: str, tmp_path: Path) -> None:
    model = load(graph, tmp_path)
    with pytest.raises(JobError) as told:
        model.features({"features": X})
    assert told.value.code == "no_features"
    recipe = Recipe.from_json({"loss": "cross_entropy", "epochs": 1})
    with pytest.raises(JobError) as told:
        model.fit(TrainingRows({"features": X}, np.zeros(5, int)), recipe, on_epoch=print)
    assert told.value.code == "format_does_not_train"
    with pytest.raises(JobError) as told:
        model.save(tmp_path / "again")
    assert told.value.code == "format_does_not_train"


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        (tiny_models.signature(outputs=3), "[-1, 3]"),
        (tiny_models.signature(kind="logits"), "gives probabilities"),
    ],
)
def test_another_signature_is_refused(graph: str, stated: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(JobError) as told:
        load(graph, tmp_path, is_softmax=True, signature=stated)
    assert told.value.code == "signature_does_not_fit"
    assert words in told.value.detail


def test_rows_that_a_script_does_not_take_are_refused_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(JobError, match="does not run on rows of the stated signature") as told:
        load("model.pt", tmp_path, signature=tiny_models.signature(inputs=3))
    assert told.value.code == "model_does_not_load"


def test_a_script_that_was_traced_for_one_batch_is_refused(tmp_path: Path) -> None:
    import torch

    from tests.workers.artifacts.scripts import saved, traced

    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(1, 4)[:, :2]

    path = copy_of(saved(traced(Fixed(), torch.zeros(2, 2)), tmp_path / "model.pt"))
    signature = Signature.from_json(tiny_models.signature())
    with pytest.raises(JobError, match=r"2 rows went into the script, and the outputs have the shapes \[1, 2\]"):
        load_model(path, framework="pytorch", signature=signature, device="cpu", seed=0)


def cut_upload(path: Path) -> Path:
    """Write a model whose output is cut off from its inputs as far as gradients go."""
    if path.suffix == ".zip":
        from tests.workers.artifacts.saved_models import exported, tensorflow

        tf = tensorflow()
        return exported(path, lambda scores: tf.stop_gradient(scores))
    import torch

    from tests.workers.artifacts.scripts import saved, traced

    class Cut(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.detach() * 2

    return saved(traced(Cut(), torch.zeros(2, 2)), path)


def test_an_output_without_a_gradient_is_said_so_and_not_taken_for_flat(graph: str, tmp_path: Path) -> None:
    path = copy_of(cut_upload(tmp_path / graph))
    signature = Signature.from_json(tiny_models.signature())
    model = load_model(path, framework=GRAPHS[graph][0], signature=signature, device="cpu", seed=0)
    assert model.forward({"features": X}).shape == (5, 2)
    with pytest.raises(JobError) as told:
        model.logits_gradient({"features": X}, 0)
    assert told.value.code == "no_gradient"


def test_a_signature_is_chosen_or_told(tmp_path: Path) -> None:
    from tests.workers.artifacts.saved_models import packed, tensorflow

    tf = tensorflow()
    module = tf.Module()
    specification = tf.TensorSpec([None, 2], tf.float32, name="x")
    module.one = tf.function(lambda x: x + 1, input_signature=[specification])
    module.two = tf.function(lambda x: x + 2, input_signature=[specification])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"one": module.one, "two": module.two})
    path = copy_of(packed(tmp_path / "model", tmp_path / "model.zip"))
    with pytest.raises(JobError, match=r"has the signatures 'one', 'two'; one of them has to be 'serving_default'"):
        load_model(path, framework="keras", signature=None, device="cpu", seed=0)
