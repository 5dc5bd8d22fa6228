"""Both adapters against answers worked out by hand, and against each other on the same weights."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import tiny_models
from tests.workers.loaded_models import FRAMEWORKS, framework_of, load, rows, softmax
from workers.artifacts.formats import FORMATS
from workers.frameworks import loading
from workers.frameworks.base import TrainingRows
from workers.frameworks.loading import framework_named, framework_names
from workers.frameworks.rows import CHUNK_ROWS
from workers.frameworks.weights import digest_of_weights
from workers.protocol import JobError
from workers.recipe import Recipe


class TestLinear:
    """Logits are ``x @ W + b``; everything else follows from that by hand."""

    x = rows(7, 2)
    expected = x @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS

    def test_forward_and_logits(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path))
        np.testing.assert_allclose(model.forward({"features": self.x}), self.expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.logits({"features": self.x}), self.expected, rtol=1e-5, atol=1e-6)
        assert model.forward({"features": self.x}).dtype == np.float32

    def test_logits_before_a_softmax(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path, activation="softmax"))
        assert model.signature.output.kind == "probabilities"
        np.testing.assert_allclose(model.forward({"features": self.x}), softmax(self.expected), rtol=1e-5)
        np.testing.assert_allclose(model.logits({"features": self.x}), self.expected, rtol=1e-5, atol=1e-6)

    def test_logits_of_a_saturated_softmax_are_exact(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path, activation="softmax"))
        far = {"features": np.array([[400.0, 0.0]])}
        np.testing.assert_allclose(model.logits(far), [[400.25, -400.5]])

    def test_logit_before_a_sigmoid(self, model_path: Path) -> None:
        model = load(tiny_models.binary_classifier(model_path))
        expected = self.x @ np.array([[1.5], [-2.0]]) + 0.1
        np.testing.assert_allclose(model.logits({"features": self.x}), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(model.forward({"features": self.x}), 1 / (1 + np.exp(-expected)), rtol=1e-5)

    def test_gradient_of_cross_entropy(self, model_path: Path) -> None:
        targets = np.array([0, 1, 1, 0, 1, 0, 0])
        for activation in ("linear", "softmax"):
            model = load(tiny_models.linear_classifier(model_path, activation=activation))
            loss, gradient = model.loss_gradient({"features": self.x}, targets)
            probabilities = softmax(self.expected)
            by_hand = (probabilities - np.eye(2)[targets]) @ tiny_models.LINEAR_WEIGHTS.T
            np.testing.assert_allclose(loss, -np.log(probabilities[np.arange(7), targets]), rtol=1e-4)
            np.testing.assert_allclose(gradient["features"], by_hand, rtol=1e-4, atol=1e-6)

    def test_gradient_of_binary_cross_entropy(self, model_path: Path) -> None:
        model = load(tiny_models.binary_classifier(model_path))
        targets = np.array([0, 1, 1, 0, 1, 0, 0])
        loss, gradient = model.loss_gradient({"features": self.x}, targets)
        probability = 1 / (1 + np.exp(-(self.x @ [1.5, -2.0] + 0.1)))
        np.testing.assert_allclose(loss, -np.log(np.where(targets == 1, probability, 1 - probability)), rtol=1e-4)
        np.testing.assert_allclose(gradient["features"], np.outer(probability - targets, [1.5, -2.0]), rtol=1e-4)

    def test_gradient_of_squared_error(self, model_path: Path) -> None:
        model = load(tiny_models.regression(model_path))
        x, targets = rows(5, 3), np.arange(5.0)
        error = (x @ tiny_models.REGRESSION_WEIGHTS + tiny_models.REGRESSION_BIAS)[:, 0] - targets
        loss, gradient = model.loss_gradient({"features": x}, targets)
        np.testing.assert_allclose(loss, error**2, rtol=1e-4)
        by_hand = 2 * error[:, None] * tiny_models.REGRESSION_WEIGHTS.T
        np.testing.assert_allclose(gradient["features"], by_hand, rtol=1e-4, atol=1e-5)

    def test_gradient_of_a_logit_is_its_weights(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path, activation="softmax"))
        for output in (0, 1):
            value, gradient = model.logits_gradient({"features": self.x}, output)
            np.testing.assert_allclose(value, self.expected[:, output], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(gradient["features"], np.tile(tiny_models.LINEAR_WEIGHTS[:, output], (7, 1)))

    def test_set_weights_and_back(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path))
        kept = model.weights()
        model.set_weights({name: np.zeros_like(array) for name, array in kept.items()})
        assert not model.forward({"features": self.x}).any()
        model.set_weights(kept)
        np.testing.assert_allclose(model.forward({"features": self.x}), self.expected, rtol=1e-5, atol=1e-6)
        with pytest.raises(KeyError, match="elsewhere"):
            model.set_weights({"elsewhere": np.zeros(2)})

    def test_weights_are_copies(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path))
        for array in model.weights().values():
            array[...] = 99
        np.testing.assert_allclose(model.forward({"features": self.x}), self.expected, rtol=1e-5, atol=1e-6)


class TestRows:
    def test_chunks_give_what_one_pass_gives(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path))
        x = rows(2 * CHUNK_ROWS + 3, 4)
        whole = model.forward({"features": x})
        assert whole.shape == (len(x), 3)
        np.testing.assert_allclose(whole[-3:], model.forward({"features": x[-3:]}), rtol=1e-4, atol=1e-6)
        first, second, third, fourth = tiny_models.mlp_weights()
        by_hand = np.maximum(x @ first + second, 0) @ third + fourth
        np.testing.assert_allclose(whole, by_hand, rtol=1e-3, atol=1e-4)
        loss, gradient = model.loss_gradient({"features": x}, np.zeros(len(x), int))
        assert loss.shape == (len(x),)
        _, last = model.loss_gradient({"features": x[-2:]}, np.zeros(2, int))
        np.testing.assert_allclose(gradient["features"][-2:], last["features"], rtol=1e-4, atol=1e-6)

    def test_no_rows_give_no_rows(self, model_path: Path) -> None:
        assert load(tiny_models.mlp(model_path)).logits({"features": rows(0, 4)}).shape == (0, 3)

    def test_rows_are_cast_and_left_alone(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path))
        x = np.array([[1, 2], [3, 4]])
        np.testing.assert_allclose(model.forward({"features": x})[0], [1 + 1 + 0.25, -1 + 4 - 0.5])
        assert x.tolist() == [[1, 2], [3, 4]]

    def test_two_inputs_are_taken_by_name(self, model_path: Path) -> None:
        model = load(tiny_models.two_inputs(model_path))
        left, right = rows(4, 2), rows(4, 1, seed=2)
        expected = left + right * [2.0, -2.0] + [0.0, 0.5]
        np.testing.assert_allclose(model.forward({"right": right, "left": left}), expected, rtol=1e-5, atol=1e-6)
        _, gradient = model.logits_gradient({"left": left, "right": right}, 1)
        np.testing.assert_allclose(gradient["left"], np.tile([0.0, 1.0], (4, 1)), atol=1e-6)
        np.testing.assert_allclose(gradient["right"], np.full((4, 1), -2.0))

    def test_a_stated_signature_renames_inputs_by_position(self, model_path: Path) -> None:
        stated = tiny_models.signature(name="applicant", classes=["no", "yes"])
        model = load(tiny_models.linear_classifier(model_path), stated)
        assert model.forward({"applicant": rows(3, 2)}).shape == (3, 2)
        assert model.signature.output.classes == ("no", "yes")

    @pytest.mark.parametrize(
        ("inputs", "words"),
        [
            ({"others": rows(2, 2)}, "has an input 'features'; the rows come with 'others'"),
            ({"features": rows(2, 5)}, r"takes rows of shape \[2\]; these have \[5\]"),
        ],
    )
    def test_rows_that_do_not_fit_name_the_input(self, model_path: Path, inputs: Any, words: str) -> None:
        model = load(tiny_models.linear_classifier(model_path))
        with pytest.raises(JobError, match=words) as told:
            model.forward(inputs)
        assert (told.value.code, told.value.place) == ("inputs_do_not_fit", "features")

    def test_different_row_counts_are_told(self, model_path: Path) -> None:
        model = load(tiny_models.two_inputs(model_path))
        with pytest.raises(JobError, match="left 3, right 2"):
            model.forward({"left": rows(3, 2), "right": rows(2, 1)})

    def test_a_label_outside_the_classes_names_value_and_row(self, model_path: Path) -> None:
        model = load(tiny_models.linear_classifier(model_path))
        with pytest.raises(JobError, match="Row 1 has the label 2") as told:
            model.loss_gradient({"features": rows(2, 2)}, np.array([0, 2]))
        assert (told.value.code, told.value.place) == ("label_outside_classes", "row 1")


class TestModes:
    def test_inference_is_deterministic_and_changes_nothing(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path, dropout=0.5, batch_normalisation=True, softmax=True))
        x, before = {"features": rows(64, 4)}, digest_of_weights(model.weights())
        first = model.forward(x)
        np.testing.assert_array_equal(model.forward(x), first)
        model.loss_gradient(x, np.zeros(64, int))
        model.features(x)
        assert digest_of_weights(model.weights()) == before

    def test_inference_uses_running_statistics(self, model_path: Path) -> None:
        # Fresh running statistics are mean 0 and variance 1: the layer divides by sqrt(1 + epsilon) and no more.
        model = load(tiny_models.mlp(model_path, dropout=0.5, batch_normalisation=True))
        x = rows(6, 4)
        first, first_bias, second, second_bias = tiny_models.mlp_weights()
        by_hand = np.maximum(x @ first + first_bias, 0) / np.sqrt(1 + 1e-5) @ second + second_bias
        np.testing.assert_allclose(model.forward({"features": x}), by_hand, rtol=1e-4, atol=1e-5)

    def test_features_enter_the_last_layer(self, model_path: Path) -> None:
        model = load(tiny_models.mlp(model_path, softmax=True))
        x = rows(5, 4)
        first, bias, *_ = tiny_models.mlp_weights()
        np.testing.assert_allclose(
            model.features({"features": x}), np.maximum(x @ first + bias, 0), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("softmax_last", [False, True])
@pytest.mark.parametrize("build", [tiny_models.mlp, tiny_models.cnn], ids=["mlp", "cnn"])
def test_the_same_weights_mean_the_same_in_both_frameworks(tmp_path: Path, build: Any, softmax_last: bool) -> None:
    ours, theirs = (load(build(tmp_path / name, softmax=softmax_last)) for name in FRAMEWORKS.values())
    spec = ours.signature.inputs[0]
    assert spec == theirs.signature.inputs[0]
    inputs, targets = {spec.name: rows(20, *spec.row_shape)}, np.arange(20) % 3
    close = {"rtol": 1e-3, "atol": 1e-5}
    np.testing.assert_allclose(ours.forward(inputs), theirs.forward(inputs), **close)
    np.testing.assert_allclose(ours.logits(inputs), theirs.logits(inputs), **close)
    np.testing.assert_allclose(ours.features(inputs), theirs.features(inputs), **close)
    for first, second in (
        (ours.loss_gradient(inputs, targets), theirs.loss_gradient(inputs, targets)),
        (ours.logits_gradient(inputs, 1), theirs.logits_gradient(inputs, 1)),
    ):
        np.testing.assert_allclose(first[0], second[0], **close)
        np.testing.assert_allclose(first[1][spec.name], second[1][spec.name], **close)


class TestFiles:
    def test_save_and_load_again(self, model_path: Path, tmp_path: Path) -> None:
        model = load(tiny_models.mlp(model_path, dropout=0.2, batch_normalisation=True))
        model.set_weights({name: array + 1 for name, array in model.weights().items()})
        again = tmp_path / f"again{model_path.suffix}"
        model.save(again)
        loaded = load(again)
        assert digest_of_weights(loaded.weights()) == digest_of_weights(model.weights())
        x = {"features": rows(9, 4)}
        np.testing.assert_array_equal(loaded.forward(x), model.forward(x))
        assert loaded.signature == model.signature

    def test_layers_are_described_in_order(self, model_path: Path) -> None:
        layers = load(tiny_models.mlp(model_path, softmax=True)).layers()
        assert [layer["parameter_count"] for layer in layers if layer["parameter_count"]] == [4 * 8 + 8, 8 * 3 + 3]
        assert layers[0]["output_shape"] == [-1, 8]
        assert {"name", "kind", "output_shape", "parameter_count"} == set(layers[-1])

    def test_signature_is_read_from_the_artefact(self, model_path: Path) -> None:
        signature = load(tiny_models.cnn(model_path)).signature
        assert (signature.inputs[0].name, signature.inputs[0].shape) == ("image", (-1, 8, 8))
        assert (signature.output.shape, signature.output.dtype, signature.output.kind) == ((-1, 4), "float32", "logits")
        assert load(tiny_models.regression(model_path)).signature.output.kind == "value"

    def test_a_signature_that_differs_is_told_with_both_shapes(self, model_path: Path) -> None:
        with pytest.raises(JobError, match=r"\[-1, 2\] in the artefact.*\[-1, 5\] as stated") as told:
            load(tiny_models.linear_classifier(model_path), tiny_models.signature(inputs=5))
        assert told.value.code == "signature_does_not_fit"

    def test_probabilities_that_are_said_to_be_logits_are_refused(self, model_path: Path) -> None:
        tiny_models.linear_classifier(model_path, activation="softmax")
        with pytest.raises(JobError, match="ends in a softmax or sigmoid") as told:
            load(model_path, tiny_models.signature(kind="logits"))
        assert told.value.code == "signature_does_not_fit"

    def test_a_file_that_is_no_model_is_told(self, model_path: Path) -> None:
        model_path.write_bytes(b"PK\x03\x04 and then nothing")
        with pytest.raises(JobError, match=f"does not load {model_path.name}") as told:
            load(model_path)
        assert told.value.code == "model_does_not_load"

    def test_environment_names_the_versions(self, model_path: Path) -> None:
        framework = framework_named(framework_of(model_path))
        environment = framework.environment()
        assert environment["deterministic"] is True
        assert {"tensorflow", "keras"} <= set(environment) or "torch" in environment

    def test_a_device_that_is_not_there_is_told(self, model_path: Path) -> None:
        tiny_models.linear_classifier(model_path)
        framework = framework_named(framework_of(model_path))
        with pytest.raises(JobError, match="cuda:63") as told:
            framework.load(model_path, signature=None, device="cuda:63", seed=0)
        assert told.value.code == "device_missing"


class TestPyTorch:
    def test_same_weights_same_bytes_whatever_the_name(self, tmp_path: Path) -> None:
        model = load(tiny_models.mlp(tmp_path / "model.pt2"))
        model.save(tmp_path / "one.pt2")
        load(tmp_path / "one.pt2").save(tmp_path / "two.pt2")
        assert (tmp_path / "one.pt2").read_bytes() == (tmp_path / "two.pt2").read_bytes()

    def test_a_fixed_batch_is_refused(self, tmp_path: Path) -> None:
        import torch

        program = torch.export.export(torch.nn.Linear(3, 2), (torch.zeros(4, 3),))
        torch.export.save(program, tmp_path / "model.pt2")
        with pytest.raises(JobError, match="fixed batch of 4"):
            load(tmp_path / "model.pt2")

    @pytest.mark.filterwarnings("ignore:The tensor attributes self.recurrent:UserWarning")
    def test_attention_and_recurrence_switch_modes(self, tmp_path: Path) -> None:
        import torch

        class Sequence(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.recurrent = torch.nn.LSTM(3, 4, num_layers=2, dropout=0.5, batch_first=True)
                self.attention = torch.nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
                self.answer = torch.nn.Linear(4, 2)

            def forward(self, steps: Any) -> Any:
                hidden, _ = self.recurrent(steps)
                hidden, _ = self.attention(hidden, hidden, hidden, need_weights=False)
                return self.answer(hidden.mean(1))

        source = Sequence()
        model = load(tiny_models.export(tmp_path / "model.pt2", source, (torch.zeros(2, 5, 3),)))
        x = rows(6, 5, 3)
        with torch.no_grad():
            expected = source.eval()(torch.tensor(x)).numpy()
        np.testing.assert_allclose(model.forward({"steps": x}), expected, rtol=1e-4, atol=1e-6)

    def test_casts_inside_the_model_do_not_stop_bfloat16(self, tmp_path: Path) -> None:
        import torch

        class Casting(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.first, self.answer = torch.nn.Linear(2, 4), torch.nn.Linear(4, 2)

            def forward(self, features: Any) -> Any:
                return self.answer(torch.relu(self.first(features)).to(torch.float32))

        model = load(tiny_models.export(tmp_path / "model.pt2", Casting(), (torch.zeros(2, 2),)))
        recipe = Recipe.from_json({"loss": "cross_entropy", "epochs": 1, "precision": "bfloat16"})
        training = TrainingRows({"features": rows(8, 2)}, np.arange(8) % 2)
        assert len(model.fit(training, recipe, on_epoch=lambda _record: None).epochs) == 1

    def test_in_place_operators_leave_the_rows_alone(self, tmp_path: Path) -> None:
        import torch

        class InPlace(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.answer = torch.nn.Linear(2, 2)

            def forward(self, features: Any) -> Any:
                return self.answer(torch.relu_(features))

        model = load(tiny_models.export(tmp_path / "model.pt2", InPlace(), (torch.zeros(2, 2),)))
        x = np.array([[-1.0, 2.0]], dtype="float32")
        model.forward({"features": x})
        _, gradient = model.logits_gradient({"features": x}, 0)
        assert x.tolist() == [[-1.0, 2.0]]
        assert gradient["features"][0, 0] == 0

    def test_a_model_of_whole_numbers_has_no_gradient(self, tmp_path: Path) -> None:
        import torch

        module = torch.nn.Sequential(torch.nn.Embedding(5, 3), torch.nn.Flatten(), torch.nn.Linear(6, 2))
        model = load(tiny_models.export(tmp_path / "model.pt2", module, (torch.zeros(2, 2, dtype=torch.int64),)))
        inputs = {model.signature.inputs[0].name: np.array([[1, 2], [3, 4]])}
        assert model.logits(inputs).shape == (2, 2)
        assert model.features(inputs).shape == (2, 6)
        with pytest.raises(JobError, match="no gradient to take") as told:
            model.logits_gradient(inputs, 0)
        assert told.value.code == "no_gradient"


class TestKeras:
    def test_softmax_as_a_layer_in_a_nested_sequential(self, tmp_path: Path) -> None:
        import keras

        inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.Softmax()])
        features = keras.Input((2,), name="features")
        model = keras.Model(features, keras.layers.Reshape((2,))(inner(features)))
        inner.layers[0].set_weights([tiny_models.LINEAR_WEIGHTS, tiny_models.LINEAR_BIAS])
        model.save(tmp_path / "model.keras")
        loaded, x = load(tmp_path / "model.keras"), rows(4, 2)
        expected = x @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS
        assert loaded.signature.output.kind == "probabilities"
        np.testing.assert_allclose(loaded.logits({"features": x}), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(loaded.forward({"features": x}), softmax(expected), rtol=1e-5)
        np.testing.assert_allclose(loaded.features({"features": x}), x)

    def test_logits_of_probabilities_without_a_softmax_differ_by_a_constant_a_row(self, tmp_path: Path) -> None:
        import keras

        features = keras.Input((2,), name="features")
        twice = keras.layers.Dense(2, activation="softmax")
        answer = keras.layers.Average()([twice(features), twice(features)])
        model = keras.Model(features, answer)
        twice.set_weights([tiny_models.LINEAR_WEIGHTS, tiny_models.LINEAR_BIAS])
        model.save(tmp_path / "model.keras")
        loaded, x = load(tmp_path / "model.keras", tiny_models.signature(kind="probabilities")), rows(4, 2)
        expected = x @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS
        found = loaded.logits({"features": x})
        np.testing.assert_allclose(found[:, 1] - found[:, 0], expected[:, 1] - expected[:, 0], rtol=1e-3, atol=1e-5)

    def test_recurrent_layers_have_features(self, tmp_path: Path) -> None:
        import keras

        steps = keras.Input((5, 3), name="steps")
        model = keras.Model(steps, keras.layers.LSTM(4)(steps))
        model.save(tmp_path / "model.keras")
        loaded, x = load(tmp_path / "model.keras"), rows(2, 5, 3)
        np.testing.assert_allclose(loaded.features({"steps": x}), x.reshape(2, 15))

    def test_an_open_inner_size_is_refused(self, tmp_path: Path) -> None:
        import keras

        steps = keras.Input((None, 3), name="steps")
        keras.Model(steps, keras.layers.GlobalAveragePooling1D()(steps)).save(tmp_path / "model.keras")
        with pytest.raises(JobError, match="'steps' has the shape"):
            load(tmp_path / "model.keras")


class TestPlugIns:
    def test_both_frameworks_are_known_by_name(self) -> None:
        assert {"keras", "pytorch"} <= set(framework_names())
        assert framework_named("pytorch").formats == ("pt2",)

    @pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.holds_model])
    def test_every_format_of_a_model_is_loaded_by_an_adapter_of_its_frameworks(self, name: str) -> None:
        for framework in FORMATS[name].frameworks:
            adapter = framework_named(framework, f".{FORMATS[name].rewritten_suffix}")
            assert (adapter.name, name in adapter.formats) == (framework, True)

    def test_an_unknown_name_is_told_with_the_known_ones(self) -> None:
        with pytest.raises(JobError, match="no framework 'caffe'; known are keras, pytorch") as told:
            framework_named("caffe")
        assert told.value.code == "framework_unknown"

    def test_a_plug_in_that_does_not_load_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(loading.BUILT_IN, "broken", "workers.frameworks.nowhere:Nothing")
        with pytest.raises(
            JobError, match=r"'broken' \(workers.frameworks.nowhere:Nothing\).*ModuleNotFoundError"
        ) as told:
            framework_named("broken")
        assert told.value.code == "framework_does_not_load"

    def test_a_plug_in_that_is_no_framework_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(loading.BUILT_IN, "wrong", "collections:OrderedDict")
        with pytest.raises(JobError, match=r"'wrong' .* is not a Framework"):
            framework_named("wrong")

    def test_a_plug_in_is_found_by_its_entry_point(self, monkeypatch: pytest.MonkeyPatch) -> None:
        point = EntryPoint("other", "workers.frameworks.pytorch:PyTorchFramework", "assay.frameworks")
        monkeypatch.setattr(loading, "entry_points", lambda group: (point,))
        assert framework_named("other").name == "pytorch"
        assert "other" in framework_names()

    def test_one_framework_does_not_import_the_other(self, tmp_path: Path) -> None:
        tiny_models.linear_classifier(tmp_path / "model.pt2")
        code = (
            "import sys; from pathlib import Path; from workers.frameworks.loading import load_model\n"
            f"path = Path({str(tmp_path / 'model.pt2')!r})\n"
            "load_model(path, framework='pytorch', signature=None, device='cpu', seed=0)\n"
            "print(sorted({'tensorflow', 'keras', 'django'} & set(sys.modules)))"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert result.stdout.strip() == "[]"


class TestWeightsDigest:
    def test_names_shapes_dtypes_and_values_count_and_order_does_not(self) -> None:
        one = {"a": np.arange(4, dtype="float32"), "b": np.ones(2, dtype="int64")}
        assert digest_of_weights(one) == digest_of_weights(dict(reversed(one.items())))
        assert digest_of_weights(one) == digest_of_weights({**one, "a": one["a"].astype(">f4")})
        for other in (
            {**one, "a": one["a"].reshape(2, 2)},
            {**one, "a": one["a"].astype("float64")},
            {**one, "a": one["a"] + np.float32(1e-7)},
            {"c": one["a"], "b": one["b"]},
        ):
            assert digest_of_weights(other) != digest_of_weights(one)
