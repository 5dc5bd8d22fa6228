"""DeepLIFT on both frameworks: what shap gives where shap is right, and a refusal by name where no rule is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from audits.engine.explainers.base import Attribution, Task
from audits.engine.explainers.deeplift import DeepLiftExplainer
from audits.engine.explainers.expected_gradients import ExpectedGradientsExplainer
from audits.engine.explainers.players import Players
from tests import packages, tiny_models
from tests.audits.engine.explained import all_outputs, flat_players
from tests.numpy_model import NumpyModel
from tests.workers.graph_models import GRAPHS, copy_of, upload
from tests.workers.loaded_models import FRAMEWORKS, load
from workers.frameworks.base import Model, TrainingRows
from workers.frameworks.loading import load_model
from workers.frameworks.paths import Paths, RescaledContributions
from workers.protocol import JobError
from workers.recipe import Recipe
from workers.signature import Signature

GENERATOR = np.random.default_rng(8)
ROWS, BACKGROUND = (GENERATOR.normal(size=(count, 6)).astype("float32") for count in (4, 9))
IMAGES, DARK = (GENERATOR.normal(size=(count, 1, 8, 8)).astype("float32") for count in (3, 5))


def explain(model: Model, rows: Any = ROWS, background: Any = BACKGROUND, **more: Any) -> Attribution:
    name = model.signature.inputs[0].name
    outputs = int(np.prod(model.signature.output.shape[1:]))
    count = int(np.prod(rows.shape[1:]))
    players = Players(
        tuple(map(str, range(count))), {name: np.arange(count).reshape(rows.shape[1:])}, grid=rows.shape[1:]
    )
    task = Task(
        model=model,
        rows={name: rows},
        background={name: background},
        players=players,
        outputs=all_outputs(len(rows), outputs),
        output_names=tuple(map(str, range(outputs))),
        seed=0,
        **more,
    )
    return DeepLiftExplainer().explain(task)


def exported(folder: Path, module: Any, sample: NDArray[Any] = ROWS) -> Model:
    import torch

    return load(tiny_models.export(folder / "model.pt2", module, (torch.from_numpy(sample[:2]),)))


def torch_module(forward: Callable[[Any, Any], Any], **layers: Any) -> Any:
    """Return a module whose ``forward`` is the function of the module and one input."""
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, layer in layers.items():
                setattr(self, name, layer)

        def forward(self, features: Any) -> Any:
            return forward(self, features)

    torch.manual_seed(0)
    return Network()


def of_shap(model: Any, background: Any, rows: Any) -> NDArray[Any]:
    import shap

    return np.asarray(shap.DeepExplainer(model, background).shap_values(rows, check_additivity=False))


class TestOnTorch:
    @pytest.mark.parametrize("activation", ["ReLU", "LeakyReLU", "ELU", "Tanh", "Sigmoid", "Softplus"])
    def test_a_network_of_layers_has_the_values_of_shap(self, activation: str, tmp_path: Path) -> None:
        import torch

        torch.manual_seed(0)
        kind = getattr(torch.nn, activation)
        module = torch.nn.Sequential(
            torch.nn.Linear(6, 12), kind(), torch.nn.Linear(12, 7), kind(), torch.nn.Linear(7, 3)
        )
        named = torch_module(lambda own, features: own.layers(features), layers=module)
        answer = explain(exported(tmp_path, named))
        expected = of_shap(module.eval(), torch.from_numpy(BACKGROUND), torch.from_numpy(ROWS))
        np.testing.assert_allclose(answer.values, expected, atol=2e-5)
        assert not answer.errors.any()

    def test_an_image_network_with_pooling_has_the_values_of_shap(self, tmp_path: Path) -> None:
        import torch

        nn = torch.nn
        torch.manual_seed(0)
        module = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 2), nn.ReLU(),
            nn.AvgPool2d(2), nn.Flatten(), nn.Linear(3, 2),
        )  # fmt: skip
        with torch.no_grad():
            module[1].running_mean.copy_(torch.tensor([0.1, -0.2, 0.3, 0.0]))
            module[1].running_var.copy_(torch.tensor([0.5, 1.5, 2.0, 0.7]))
        named = torch_module(lambda own, features: own.layers(features), layers=module)
        answer = explain(exported(tmp_path, named, IMAGES), IMAGES, DARK)
        torch.use_deterministic_algorithms(False)
        expected = of_shap(module.eval(), torch.from_numpy(DARK), torch.from_numpy(IMAGES))
        np.testing.assert_allclose(answer.values, expected, atol=2e-5)

    def test_a_function_or_a_layer_used_again_is_a_layer_of_its_own(self, tmp_path: Path) -> None:
        import torch

        nn, functional = torch.nn, torch.nn.functional
        torch.manual_seed(0)
        first, second, third = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        plain = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)
        expected = of_shap(plain.eval(), torch.from_numpy(BACKGROUND), torch.from_numpy(ROWS))
        once = {"first": first, "second": second, "third": third}
        again = torch_module(
            lambda own, x: own.third(own.relu(own.second(own.relu(own.first(x))))), relu=nn.ReLU(), **once
        )
        inside = torch_module(
            lambda own, x: own.third(own.relu(own.second(own.relu(own.first(x))))), relu=nn.ReLU(inplace=True), **once
        )
        called = torch_module(lambda own, x: own.third(functional.relu(own.second(torch.relu(own.first(x))))), **once)
        for module in (again, inside, called):
            np.testing.assert_allclose(explain(exported(tmp_path, module)).values, expected, atol=2e-5)

    def test_a_residual_adds_up_and_is_right(self, tmp_path: Path) -> None:
        import torch

        nn = torch.nn
        torch.manual_seed(0)
        inner, last = nn.Linear(6, 6), nn.Linear(6, 2)
        module = torch_module(lambda own, x: own.last(own.inner(x).relu_() + x), inner=inner, last=last)
        answer = explain(exported(tmp_path, module))
        before = [
            values @ inner.weight.detach().numpy().T + inner.bias.detach().numpy() for values in (ROWS, BACKGROUND)
        ]
        entered = before[0][:, None] - before[1][None]
        slopes = (np.maximum(before[0], 0)[:, None] - np.maximum(before[1], 0)[None]) / entered
        through = np.einsum("ko,rbo,oi->rbki", last.weight.detach().numpy(), slopes, inner.weight.detach().numpy())
        multipliers = through + last.weight.detach().numpy()
        expected = ((ROWS[:, None] - BACKGROUND[None])[:, :, None] * multipliers).mean(axis=1).swapaxes(1, 2)
        np.testing.assert_allclose(answer.values, expected, atol=1e-4)

    def test_a_softmax_at_the_end_is_taken_off(self, tmp_path: Path) -> None:
        for softmax in (False, True):
            kind = "probabilities" if softmax else "logits"
            path = tiny_models.mlp(tmp_path / f"{softmax}.pt2", inputs=6, softmax=softmax)
            model = load(path, tiny_models.signature(inputs=6, outputs=3, kind=kind))
            found = explain(model).values
            np.testing.assert_allclose(found, found if not softmax else logits, atol=1e-6)
            logits = found

    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("normalised", "layer_norm"),
            ("gated", "mul"),
            ("attending", "scaled_dot_product_attention"),
            ("softmax", "softmax"),
            ("recurrent", "lstm"),
            ("gated recurrent", "gru"),
            ("divided", "div"),
            ("two of one", "matmul"),
            ("largest", "amax"),
        ],
    )
    def test_what_has_no_rule_is_refused_by_name(self, name: str, kind: str, tmp_path: Path) -> None:
        import torch

        nn = torch.nn
        modules = {
            "normalised": lambda own, x: own.last(own.norm(x)),
            "gated": lambda own, x: own.last(torch.sigmoid(own.inner(x)) * x),
            "attending": lambda own, x: own.last(
                nn.functional.scaled_dot_product_attention(*[x.reshape(-1, 3, 2)] * 3).flatten(1)
            ),
            "softmax": lambda own, x: own.last(torch.softmax(own.inner(x), -1)),
            "recurrent": lambda own, x: own.last(own.lstm(x.reshape(-1, 3, 2))[0][:, -1]),
            "gated recurrent": lambda own, x: own.last(own.gru(x.reshape(-1, 3, 2))[0][:, -1]),
            "divided": lambda own, x: own.last(x / (1 + own.inner(x).abs())),
            "two of one": lambda own, x: own.last((x.reshape(-1, 3, 2) @ x.reshape(-1, 2, 3)).flatten(1)[:, :6]),
            "largest": lambda own, x: own.last(x - x.amax(1, keepdim=True)),
        }
        module = torch_module(
            modules[name],
            inner=nn.Linear(6, 6),
            last=nn.Linear(6, 2),
            norm=nn.LayerNorm(6),
            lstm=nn.LSTM(2, 6, batch_first=True),
            gru=nn.GRU(2, 6, batch_first=True),
        )
        assert kind in refusal(exported(tmp_path, module))

    @pytest.mark.parametrize("options", [{"kernel_size": 3, "stride": 2}, {"kernel_size": 2, "padding": 1}])
    def test_windows_that_overlap_or_are_padded_are_refused(self, options: dict[str, int], tmp_path: Path) -> None:
        import torch

        module = torch_module(lambda own, x: own.pool(x).flatten(1), pool=torch.nn.MaxPool2d(**options))
        assert "max_pool2d" in refusal(exported(tmp_path, module, IMAGES), IMAGES, DARK)

    def test_a_write_that_others_see_is_refused(self, tmp_path: Path) -> None:
        import torch

        def forward(own: Any, features: Any) -> Any:
            hidden = own.inner(features)
            seen = hidden.view(-1, 2, 3)
            hidden.relu_()
            return own.last(hidden + seen.flatten(1))

        module = torch_module(forward, inner=torch.nn.Linear(6, 6), last=torch.nn.Linear(6, 2))
        assert "writes to a tensor" in refusal(exported(tmp_path, module))

    def test_rows_along_another_axis_are_refused(self, tmp_path: Path) -> None:
        import torch

        module = torch_module(lambda own, x: own.last(torch.relu(x.T - 1).T), last=torch.nn.Linear(6, 2))
        assert "first axis" in refusal(exported(tmp_path, module))


class TestOnKeras:
    @pytest.fixture
    def keras(self) -> Any:
        return tiny_models.keras_module()

    def saved(self, keras: Any, folder: Path, entered: Any, answer: Any) -> tuple[Any, Model]:
        keras.utils.set_random_seed(3)
        model = keras.Model(entered, answer)
        generator = np.random.default_rng(0)
        model.set_weights([generator.uniform(0.1, 1, values.shape) * generator.choice([-1, 1], values.shape)
                           if "variance" not in weight.path else values
                           for values, weight in zip(model.get_weights(), model.weights, strict=True)])  # fmt: skip
        model.save(folder / "model.keras")
        return model, load(folder / "model.keras")

    def test_a_network_of_layers_has_the_values_of_shap(self, keras: Any, tmp_path: Path) -> None:
        layers = keras.layers
        entered = keras.Input((6,), name="features")
        hidden = layers.Dense(8, activation="relu")(entered)
        hidden = layers.Dropout(0.3)(hidden)
        hidden = layers.BatchNormalization()(hidden)
        theirs, model = self.saved(
            keras, tmp_path, entered, layers.Dense(3)(layers.Dense(7, activation="tanh")(hidden))
        )
        np.testing.assert_allclose(explain(model).values, of_shap(theirs, BACKGROUND, ROWS), atol=1e-4)

    def test_an_image_network_with_pooling_has_the_values_of_shap(self, keras: Any, tmp_path: Path) -> None:
        layers = keras.layers
        entered = keras.Input((8, 8, 1), name="image")
        hidden = layers.Conv2D(4, 3, activation="relu")(entered)
        hidden = layers.MaxPooling2D(3)(hidden)
        theirs, model = self.saved(keras, tmp_path, entered, layers.Dense(2)(layers.Flatten()(hidden)))
        rows, background = IMAGES.transpose(0, 2, 3, 1), DARK.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(
            explain(model, rows, background).values, of_shap(theirs, background, rows), atol=1e-4
        )

    def test_a_layer_called_again_is_a_layer_of_its_own(self, keras: Any, tmp_path: Path) -> None:
        layers = keras.layers
        entered = keras.Input((6,), name="features")
        once, relu = layers.Dense(6), layers.ReLU()
        hidden = layers.Add()([relu(once(entered)), entered])
        twice = keras.ops.gelu(relu(once(hidden)))
        _, model = self.saved(keras, tmp_path, entered, layers.Dense(2)(twice))
        answer = explain(model)
        weights = [np.asarray(values) for values in model.weights().values()]
        np.testing.assert_allclose(answer.scores, model.logits({"features": ROWS}), atol=1e-3)
        np.testing.assert_allclose(answer.values, self.unrolled(keras, tmp_path, weights), atol=1e-3)

    def unrolled(self, keras: Any, folder: Path, weights: list[NDArray[Any]]) -> NDArray[Any]:
        """Return the values of the same function, each use a layer with its own copy of the weights."""
        layers = keras.layers
        entered = keras.Input((6,), name="features")
        hidden = layers.Add()([layers.Dense(6, activation="relu")(entered), entered])
        hidden = layers.Activation("gelu")(layers.Dense(6, activation="relu")(hidden))
        model = keras.Model(entered, layers.Dense(2)(hidden))
        model.set_weights([*weights[:2], *weights[:2], *weights[2:]])
        model.save(folder / "unrolled.keras")
        return explain(load(folder / "unrolled.keras")).values

    def test_a_model_inside_a_model_is_walked_through(self, keras: Any, tmp_path: Path) -> None:
        layers = keras.layers
        entered = keras.Input((6,), name="features")
        inner = keras.Sequential([keras.Input((6,)), layers.Dense(5, activation="silu"), layers.Dense(4)])
        theirs, model = self.saved(keras, tmp_path, entered, layers.Dense(2)(layers.LeakyReLU()(inner(entered))))
        answer = explain(model)
        np.testing.assert_allclose(answer.scores, theirs(ROWS).numpy(), atol=1e-4)

    @pytest.mark.parametrize("kind", ["LayerNormalization", "LSTM", "GRU", "MultiHeadAttention", "Multiply", "Softmax"])
    def test_what_has_no_rule_is_refused_by_name(self, kind: str, keras: Any, tmp_path: Path) -> None:
        layers = keras.layers
        entered = keras.Input((6,), name="features")
        steps = layers.Reshape((3, 2))(entered)
        hidden = {
            "LayerNormalization": lambda: layers.LayerNormalization()(entered),
            "LSTM": lambda: layers.LSTM(4)(steps),
            "GRU": lambda: layers.GRU(4)(steps),
            "MultiHeadAttention": lambda: layers.Flatten()(layers.MultiHeadAttention(1, 2)(steps, steps)),
            "Multiply": lambda: layers.Multiply()([entered, layers.Dense(6, activation="sigmoid")(entered)]),
            "Softmax": lambda: layers.Softmax()(entered),
        }[kind]()
        keras.Model(entered, layers.Dense(2)(hidden)).save(tmp_path / "model.keras")
        assert kind in refusal(load(tmp_path / "model.keras"))

    @pytest.mark.parametrize("options", [{"pool_size": 3, "strides": 2}, {"pool_size": 3, "padding": "same"}])
    def test_windows_that_overlap_or_are_padded_are_refused(
        self, options: dict[str, Any], keras: Any, tmp_path: Path
    ) -> None:
        layers = keras.layers
        entered = keras.Input((8, 8, 1), name="image")
        pooled = layers.Flatten()(layers.MaxPooling2D(**options)(entered))
        keras.Model(entered, layers.Dense(2)(pooled)).save(tmp_path / "model.keras")
        model = load(tmp_path / "model.keras")
        assert "MaxPooling2D" in refusal(model, IMAGES.transpose(0, 2, 3, 1), DARK.transpose(0, 2, 3, 1))

    def test_rows_along_another_axis_are_refused(self, keras: Any, tmp_path: Path) -> None:
        entered = keras.Input((6,), name="features")
        turned = keras.ops.transpose(keras.ops.relu(keras.ops.transpose(entered)))
        keras.Model(entered, keras.layers.Dense(2)(keras.ops.reshape(turned, (-1, 6)))).save(tmp_path / "model.keras")
        assert "first axis" in refusal(load(tmp_path / "model.keras"))


class TestOnBoth:
    def test_the_same_weights_have_the_same_values(self, tmp_path: Path) -> None:
        answers = []
        for filename in FRAMEWORKS.values():
            path = tiny_models.mlp(tmp_path / filename, inputs=6, softmax=True, batch_normalisation=True)
            model = load(path, tiny_models.signature(inputs=6, outputs=3, kind="probabilities"))
            answers.append(explain(model))
        np.testing.assert_allclose(answers[0].values, answers[1].values, atol=1e-5)
        np.testing.assert_allclose(answers[0].scores, model.logits({"features": ROWS}), atol=1e-5)

    def test_of_a_linear_model_they_are_known_by_hand(self, model_path: Path) -> None:
        answer = explain(load(tiny_models.linear_classifier(model_path)), ROWS[:, :2], BACKGROUND[:, :2])
        expected = (ROWS[:, :2] - BACKGROUND[:, :2].mean(axis=0))[:, :, None] * tiny_models.LINEAR_WEIGHTS
        np.testing.assert_allclose(answer.values, expected, atol=1e-5)

    def test_tokens_are_explained_behind_their_embedding(self, model_path: Path) -> None:
        model = load(tiny_models.token_classifier(model_path, length=5))
        rows, background = (np.random.default_rng(2).integers(0, 64, (count, 5)).astype("int32") for count in (4, 9))
        answer = explain(model, rows, background)
        np.testing.assert_allclose(answer.scores, model.logits({model.signature.inputs[0].name: rows}), atol=1e-5)
        assert answer.values.shape == (4, 5, 2)

    def test_a_model_of_two_inputs(self, model_path: Path) -> None:
        model = load(tiny_models.two_inputs(model_path))
        left, right = ROWS[:, :2], ROWS[:, 2:3]
        players = Players(("a", "b", "c"), {"left": np.array([0, 1]), "right": np.array([2])}, grid=(3,))
        task = Task(
            model=model,
            rows={"left": left, "right": right},
            background={"left": BACKGROUND[:, :2], "right": BACKGROUND[:, 2:3]},
            players=players,
            outputs=all_outputs(4, 2),
            output_names=("0", "1"),
            seed=0,
        )
        weights = np.array([[1.0, 0.0], [0.0, 1.0], [2.0, -2.0]])
        expected = (ROWS[:, :3] - BACKGROUND[:, :3].mean(axis=0))[:, :, None] * weights
        np.testing.assert_allclose(DeepLiftExplainer().explain(task).values, expected, atol=1e-5)

    def test_an_output_of_its_own_for_each_row_and_a_part_to_go_on_from(
        self, model_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = load(tiny_models.mlp(model_path, inputs=6))
        every = explain(model)
        monkeypatch.setattr("audits.engine.explainers.gradients.MOST_ROWS_TOGETHER", 2)
        asked = np.array([[2], [0], [1], [2]])
        task = Task(
            model=model,
            rows={"features": ROWS},
            background={"features": BACKGROUND},
            players=flat_players(6),
            outputs=asked,
            output_names=("predicted",),
            seed=0,
        )
        parts = list(DeepLiftExplainer().parts(task))
        found = Attribution.joined(parts).values[..., 0]
        np.testing.assert_allclose(found, every.values[np.arange(4), :, asked[:, 0]], atol=1e-6)
        (last,) = DeepLiftExplainer().parts(task, first=2)
        np.testing.assert_array_equal(last.values, parts[1].values)

    def test_after_a_refusal_the_process_trains_and_explains(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path, inputs=6))
        before = explain(model).values
        refused = load(gated(model_path))
        assert "multiplies two activations" in refusal(refused)
        np.testing.assert_array_equal(explain(model).values, before)
        recipe = Recipe.from_json({"loss": "cross_entropy", "epochs": 2, "seed": 1, "optimizer": {"name": "sgd"}})
        for trained in (model, refused):
            labels = np.arange(9) % 2
            history = trained.fit(TrainingRows({"features": BACKGROUND}, labels), recipe, on_epoch=lambda _: None)
            assert np.isfinite(history.epochs[-1].loss)
        assert not np.array_equal(explain(model).values, before), "new weights have new values"
        task = Task(
            model=refused,
            rows={"features": ROWS},
            background={"features": BACKGROUND},
            players=flat_players(6),
            outputs=all_outputs(4, 2),
            output_names=("0", "1"),
            seed=0,
        )
        assert np.isfinite(ExpectedGradientsExplainer().explain(task).values).all()


class TestRefusals:
    @pytest.mark.parametrize("name", list(GRAPHS))
    def test_a_format_that_shows_no_layers(self, name: str, tmp_path: Path) -> None:
        path = copy_of(upload(tmp_path / name))
        stated = Signature.from_json(tiny_models.signature())
        model = load_model(path, framework=GRAPHS[name][0], signature=stated, device="cpu", seed=0)
        assert "does not show its layers" in refusal(model, ROWS[:, :2], BACKGROUND[:, :2])

    def test_a_layer_that_code_of_a_package_makes(self, tmp_path: Path) -> None:
        path = packages.keras(tmp_path / "model.package")
        model = load_model(path, framework="keras", signature=None, device="cpu", seed=0)
        assert "no rule is known" in refusal(model, ROWS[:, :2], BACKGROUND[:, :2])

    def test_probabilities(self) -> None:
        with pytest.raises(JobError, match="explains logits only") as caught:
            explain(NumpyModel(np.ones((6, 2))), scale="probabilities")
        assert caught.value.code == "scale_not_supported"

    def test_values_that_do_not_add_up(self) -> None:
        class Wrong(NumpyModel):
            def rescaled_contributions(self, paths: Paths) -> RescaledContributions:
                return lambda rows, outputs: np.full((len(rows), paths.feature_count, outputs.shape[1]), 0.5)

        with pytest.raises(JobError, match="row 0 miss its score.*'permutation'") as caught:
            explain(Wrong(np.ones((6, 2))))
        assert caught.value.code == "contributions_do_not_add_up"

    def test_it_says_that_it_gives_no_shapley_values(self) -> None:
        assert "not Shapley values" in DeepLiftExplainer.estimand


def refusal(model: Model, rows: Any = ROWS, background: Any = BACKGROUND) -> str:
    """Return the sentence by which a model is refused."""
    with pytest.raises(JobError, match="Use 'permutation'") as caught:
        explain(model, rows, background)
    assert caught.value.code == "layer_not_supported"
    return str(caught.value)


def gated(path: Path) -> Path:
    """Write a network that multiplies two activations, in the format of the path."""
    if path.suffix == ".pt2":
        import torch

        nn = torch.nn
        module = torch_module(
            lambda own, x: own.last(own.inner(x).tanh() * x), inner=nn.Linear(6, 6), last=nn.Linear(6, 2)
        )
        return tiny_models.export(path.with_name("gated.pt2"), module, (torch.from_numpy(ROWS[:2]),))
    keras = tiny_models.keras_module()
    entered = keras.Input((6,), name="features")
    hidden = keras.layers.Multiply()([entered, keras.layers.Dense(6, activation="tanh")(entered)])
    target = path.with_name("gated.keras")
    keras.Model(entered, keras.layers.Dense(2)(hidden)).save(target)
    return target
