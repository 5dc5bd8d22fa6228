"""The job kind: files, quality, admission and what is refused, with real tables and a model known by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from audits.engine import explanation
from audits.engine.explanation.summary import Importance
from audits.engine.measures import MEASURES
from tests.audits.engine.explained import NumpyModel
from workers.context import JobContext
from workers.protocol import InputFile, JobError, JobSpec

NAMES = ["income", "age", "debt", "rate", "term", "score"]
WEIGHTS = np.array([[1.0, -1.0], [0.5, 2.0], [-2.0, 1.0], [0.0, 0.0], [3.0, 1.0], [0.25, -0.5]])

SCHEMA = {
    "modality": "tabular",
    "columns": {
        "id": {"role": "id", "type": "string"},
        **{name: {"role": "feature", "type": "float"} for name in NAMES},
        "label": {"role": "target", "type": "string"},
        "part": {"role": "split", "type": "string"},
    },
}
SIGNATURE = {
    "inputs": [{"name": "features", "shape": [-1, 6], "dtype": "float64", "columns": NAMES}],
    "outputs": [{"name": "answer", "shape": [-1, 2], "dtype": "float64", "kind": "logits", "classes": ["good", "bad"]}],
}

IMAGE_SCHEMA = {
    "modality": "image",
    "columns": {
        "image": {"role": "feature", "type": "image", "shape": [4, 4]},
        "digit": {"role": "target", "type": "integer"},
    },
}
IMAGE_SIGNATURE = {
    "inputs": [{"name": "image", "shape": [-1, 4, 4], "dtype": "float64", "columns": ["image"]}],
    "outputs": [{"name": "answer", "shape": [-1, 3], "dtype": "float64", "kind": "logits", "classes": ["0", "1", "2"]}],
}


def table_of(count: int = 60, seed: int = 0) -> pa.Table:
    generator = np.random.default_rng(seed)
    return pa.table(
        {
            "id": [f"A-{place:04d}" for place in range(count)],
            **{name: generator.normal(size=count) for name in NAMES},
            "label": ["good" if place % 3 else "bad" for place in range(count)],
            "part": ["train" if place % 2 else "test" for place in range(count)],
        }
    )


def image_table(count: int = 30) -> pa.Table:
    pixels = np.random.default_rng(5).uniform(size=(count, 16))
    storage = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 16)
    images = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), (4, 4)), storage)
    return pa.table({"image": images, "digit": np.arange(count) % 3})


def linear() -> NumpyModel:
    return NumpyModel(
        lambda held, inputs: inputs["features"] @ held["kernel"] + held["bias"],
        {"kernel": WEIGHTS, "bias": np.array([0.5, 0.25])},
        inputs={"features": (6,)},
        outputs=2,
        classes=("good", "bad"),
    )


def bent_image() -> NumpyModel:
    kernel = np.random.default_rng(6).normal(size=(16, 3))
    return NumpyModel(
        lambda held, inputs: np.tanh(inputs["image"].reshape(-1, 16)) ** 2 @ held["kernel"],
        {"kernel": kernel},
        inputs={"image": (4, 4)},
        outputs=3,
        classes=("0", "1", "2"),
    )


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[dict[str, Any], Path, NumpyModel]]:
    """Run the job kind on a table and a NumPy model; returns the value, the output folder and the model."""

    def run(
        model: NumpyModel | None = None,
        table: pa.Table | None = None,
        *,
        background: pa.Table | None = None,
        **parameters: Any,
    ) -> tuple[dict[str, Any], Path, NumpyModel]:
        used = linear() if model is None else model
        monkeypatch.setattr(explanation, "load_model", lambda path, **settings: used)
        folder = tmp_path / "job"
        (folder / "inputs").mkdir(parents=True, exist_ok=True)
        whole = table_of() if table is None else table
        pq.write_table(whole, folder / "inputs" / "table.parquet")
        pq.write_table(whole if background is None else background, folder / "inputs" / "background.parquet")
        asked = {
            "framework": "numpy",
            "signature": SIGNATURE,
            "schema": SCHEMA,
            "rows": 12,
            "background_rows": 20,
            "seed": 4,
            **parameters,
        }
        inputs = {
            "model": InputFile("model.keras", "", 0),
            "dataset": InputFile("table.parquet", "", 0),
            "background": InputFile("background.parquet", "", 0),
        }
        spec = JobSpec(
            kind="explanation", runner="", job_id=1, attempt=1, parameters=json.loads(json.dumps(asked)), inputs=inputs
        )
        value = explanation.run(JobContext(spec, folder))
        json.dumps(value, allow_nan=False)
        return value, folder / "outputs", used

    return run


Job = Callable[..., tuple[dict[str, Any], Path, NumpyModel]]


def refused(job: Job, **parameters: Any) -> JobError:
    with pytest.raises(JobError) as caught:
        job(**parameters)
    return caught.value


def test_a_linear_model_is_admitted_with_the_values_known_by_hand(job: Job) -> None:
    value, outputs, _ = job(split="test", background_split="train", tolerance=0.01)
    assert value["admitted"] is True
    assert value["reasons"] == []
    with np.load(outputs / "attributions.npz", allow_pickle=False) as arrays:
        assert arrays["values"].shape == (12, 6, 2)
        assert arrays["base_values"].shape == (12, 2)
        assert arrays["errors"].shape == arrays["values"].shape
        numbers, values, data, base = (arrays[name] for name in ("row_numbers", "values", "data", "base_values"))
    assert (numbers % 2 == 0).all(), "rows of the split test have even numbers"
    everything = np.stack([table_of().column(name).to_numpy() for name in NAMES], axis=1)
    np.testing.assert_allclose(data, everything[numbers])
    np.testing.assert_allclose(base + values.sum(axis=1), everything[numbers] @ WEIGHTS + [0.5, 0.25], atol=1e-12)
    mean = everything[numbers][0] - values[0, :, 0] / np.where(WEIGHTS[:, 0] == 0, 1, WEIGHTS[:, 0])
    for row in range(12):
        np.testing.assert_allclose(values[row], (everything[numbers[row]] - mean)[:, None] * WEIGHTS, atol=1e-12)


def test_all_background_rows_of_the_split_give_the_mean(job: Job) -> None:
    _, outputs, _ = job(background_split="train", background_rows=1000)
    with np.load(outputs / "attributions.npz") as arrays:
        base = arrays["base_values"][0]
    train = np.stack([table_of().column(name).to_numpy() for name in NAMES], axis=1)[1::2]
    np.testing.assert_allclose(base, train.mean(axis=0) @ WEIGHTS + [0.5, 0.25], atol=1e-12)


def test_the_summary_tells_importance_with_intervals_and_what_was_used(job: Job) -> None:
    value, outputs, _ = job(rows=40, background_rows=15)
    summary = value["summary"]
    assert summary["importance"][0]["feature"] == "term"
    sizes = [entry["value"] for entry in summary["importance"]]
    assert sizes == sorted(sizes, reverse=True)
    for entry in summary["importance"]:
        assert entry["low"] <= entry["value"] <= entry["high"]
    assert summary["importance"][-1] == {"feature": "rate", "value": 0.0, "low": 0.0, "high": 0.0}
    assert (summary["rows"], summary["background_rows"], summary["rows_available"]) == (40, 15, 60)
    assert summary["background_digest"].startswith("sha256:")
    assert summary["unit"] == "logit of the predicted class"
    assert [chart["id"] for chart in value["charts"]] == ["importance", "beeswarm"]
    for chart in value["charts"]:
        assert (outputs / chart["svg"]).is_file()
        assert (outputs / chart["spec"]).is_file()
        assert chart["caption"].endswith(".")
    assert value["charts"][1]["caption"] == (
        "High term, debt and age push towards bad, high income and score away from it. 40 rows, 6 features of 6."
    )


def test_the_interval_of_importance_covers_rows_and_estimator_error() -> None:
    from audits.engine.explainers.base import Attribution

    values = np.array([[[1.0]], [[3.0]], [[5.0]], [[-3.0]]])
    attribution = Attribution(
        values=values,
        base_values=np.zeros((4, 1)),
        errors=np.full_like(values, 0.5),
        data=np.zeros((4, 1)),
        feature_names=("a",),
        output_names=("y",),
        output_numbers=np.zeros((4, 1), dtype=np.intp),
        evaluations=np.ones(4, dtype=np.int64),
    )
    (entry,) = Importance(attribution, np.zeros(4, dtype=np.intp), outputs_vary=False).of_shown()
    half = 1.96 * np.hypot(np.std([1, 3, 5, 3], ddof=1) / 2, 0.5)
    assert entry["value"] == 3
    assert entry["low"] == pytest.approx(3 - half)
    assert entry["high"] == pytest.approx(3 + half)


def test_the_same_job_gives_the_same_bytes(job: Job) -> None:
    first, outputs, _ = job(outputs="predicted")
    files = {path.name: path.read_bytes() for path in outputs.iterdir()}
    second, outputs, _ = job(outputs="predicted")
    assert first == second
    assert files == {path.name: path.read_bytes() for path in outputs.iterdir()}
    other, _, _ = job(outputs="predicted", seed=5)
    assert other["summary"]["background_digest"] != first["summary"]["background_digest"]


def test_only_the_predicted_class(job: Job) -> None:
    value, outputs, _ = job(outputs="predicted")
    with np.load(outputs / "attributions.npz") as arrays:
        assert arrays["values"].shape == (12, 6, 1)
        assert set(arrays["output_numbers"][:, 0]) == {0, 1}
    assert value["summary"]["output_names"] == ["predicted class"]


def test_one_output_by_number(job: Job) -> None:
    value, outputs, _ = job(outputs=[1])
    with np.load(outputs / "attributions.npz") as arrays:
        assert arrays["values"].shape == (12, 6, 1)
    assert value["summary"]["output_names"] == ["bad"]
    assert value["summary"]["unit"] == "logit of bad"


def test_a_single_logit_is_the_log_odds_of_the_second_class(job: Job) -> None:
    model = NumpyModel(
        lambda held, inputs: inputs["features"] @ held["kernel"],
        {"kernel": WEIGHTS[:, :1]},
        inputs={"features": (6,)},
        outputs=1,
        classes=("good", "bad"),
    )
    signature = {
        **SIGNATURE,
        "outputs": [{"name": "y", "shape": [-1, 1], "dtype": "float64", "kind": "logits", "classes": ["good", "bad"]}],
    }
    value, outputs, _ = job(model, signature=signature, outputs="predicted")
    assert value["summary"]["output_names"] == ["bad"]
    assert value["summary"]["unit"] == "log-odds of bad"
    with np.load(outputs / "attributions.npz") as arrays:
        assert set(arrays["predicted"].tolist()) == {0, 1}
        np.testing.assert_array_equal(arrays["predicted"] == 1, arrays["scores"][:, 0] > 0)


def test_a_regression_has_values_and_no_class(job: Job) -> None:
    model = NumpyModel(
        lambda held, inputs: inputs["features"] @ held["kernel"],
        {"kernel": WEIGHTS[:, :1]},
        inputs={"features": (6,)},
        outputs=1,
        kind="value",
    )
    signature = {**SIGNATURE, "outputs": [{"name": "price", "shape": [-1, 1], "dtype": "float64", "kind": "value"}]}
    value, outputs, _ = job(model, signature=signature)
    assert value["summary"]["unit"] == "price"
    with np.load(outputs / "attributions.npz") as arrays:
        assert set(arrays["predicted"].tolist()) == {-1}


def test_probabilities_are_named_so(job: Job) -> None:
    model = linear()
    value, outputs, _ = job(model, scale="probabilities", outputs=[1], method="exact")
    assert value["summary"]["scale"] == "probabilities"
    assert value["summary"]["unit"] == "probability of bad"
    with np.load(outputs / "attributions.npz") as arrays:
        total = arrays["base_values"] + arrays["values"].sum(axis=1)
    assert ((total > 0) & (total < 1)).all()


def test_exact_values_have_no_error(job: Job) -> None:
    value, outputs, _ = job(method="exact", rows=3)
    with np.load(outputs / "attributions.npz") as arrays:
        assert (arrays["errors"] == 0).all()
    assert value["quality"]["error_estimate_worst"] == 0
    assert value["quality"]["agreement"] < 1e-10


def test_the_background_says_which_rows_it_is_and_how_they_were_chosen(job: Job) -> None:
    named, outputs, _ = job(background_rows=[5, 1, 3], rows=2)
    summary = named["summary"]
    assert (summary["background_row_numbers"], summary["background_method"]) == ([1, 3, 5], "rows")
    with np.load(outputs / "attributions.npz") as arrays:
        base = arrays["base_values"][0]
    rows = np.stack([table_of().column(name).to_numpy() for name in NAMES], axis=1)[[1, 3, 5]]
    np.testing.assert_allclose(base, rows.mean(axis=0) @ WEIGHTS + [0.5, 0.25], atol=1e-12)
    clustered, _, _ = job(background_rows=6, background_method="clusters", rows=2)
    assert len(clustered["summary"]["background_row_numbers"]) == 6


def test_a_budget_ends_the_work_on_a_row_early(job: Job) -> None:
    few, _, _ = job(method="permutation", maximum_sweeps=1, tolerance=0.0, background_rows=20, rows=2)
    more, _, _ = job(method="permutation", maximum_sweeps=4, tolerance=0.0, background_rows=20, rows=2)
    assert few["summary"]["evaluations"] < more["summary"]["evaluations"]


def test_a_budget_that_the_method_does_not_have_is_refused(job: Job) -> None:
    with pytest.raises(JobError) as caught:
        job(method="exact", maximum_coalitions=64, rows=2)
    assert (caught.value.code, caught.value.place) == ("unknown_parameter", "maximum_coalitions")


def test_rows_of_a_slice_and_after_those_before(job: Job) -> None:
    part = {"column": "label", "value": "bad"}
    value, outputs, _ = job(rows=8, slice=part)
    with np.load(outputs / "attributions.npz") as arrays:
        first = arrays["row_numbers"]
    _, outputs, _ = job(rows=8, slice=part, earlier={"drawn": 8})
    with np.load(outputs / "attributions.npz") as arrays:
        second = arrays["row_numbers"]
    assert value["summary"]["slice"] == "label = bad"
    assert (first % 3 == 0).all()
    assert (second % 3 == 0).all()
    assert not set(first.tolist()) & set(second.tolist())


def test_columns_of_one_category_are_one_feature(job: Job) -> None:
    value, outputs, _ = job(groups={"money": ["income", "debt"]}, rows=3)
    assert value["summary"]["feature_names"] == ["money", "age", "rate", "term", "score"]
    with np.load(outputs / "attributions.npz") as arrays:
        assert arrays["values"].shape == (3, 5, 2)


class TestImages:
    def image_job(self, job: Job, **parameters: Any) -> tuple[dict[str, Any], Path]:
        value, outputs, _ = job(
            bent_image(), image_table(), signature=IMAGE_SIGNATURE, schema=IMAGE_SCHEMA, **parameters
        )
        return value, outputs

    def test_values_have_the_shape_of_the_image(self, job: Job) -> None:
        value, outputs = self.image_job(job)
        with np.load(outputs / "attributions.npz") as arrays:
            assert arrays["values"].shape == (12, 4, 4, 3)
            assert arrays["data"].shape == (12, 4, 4)
        assert value["summary"]["grid"] == [4, 4]
        assert value["summary"]["feature_names"][5] == "pixel 1, 1"

    def test_it_gets_heat_maps(self, job: Job) -> None:
        value, outputs = self.image_job(job)
        assert [chart["id"] for chart in value["charts"]] == ["heatmap-classes", "heatmap-rows"]
        classes, rows = value["charts"]
        assert sum(row[1] for row in classes["table"]["rows"]) == 12
        assert " of 16 pixels" in classes["caption"]
        assert len(rows["table"]["rows"]) == 5
        assert "given" in (outputs / rows["svg"]).read_text(encoding="utf-8")

    def test_patches(self, job: Job) -> None:
        value, outputs = self.image_job(job, patch=2)
        with np.load(outputs / "attributions.npz") as arrays:
            assert arrays["values"].shape == (12, 2, 2, 3)
        assert " of 4 patches" in value["charts"][0]["caption"]


class TestQuality:
    def test_every_measure_of_the_catalogue_is_taken(self, job: Job) -> None:
        value, _, _ = job(background_rows=50)
        assert set(value["quality"]) == set(MEASURES)
        assert all(isinstance(entry, float) for entry in value["quality"].values())
        unbounded = {entry["name"] for entry in value["summary"]["measures"] if entry["met"] is None}
        assert (unbounded, value["admitted"]) == ({"complexity"}, True)

    def test_the_weights_are_the_same_afterwards(self, job: Job) -> None:
        _, _, model = job()
        np.testing.assert_array_equal(model.weights()["kernel"], WEIGHTS)

    def test_the_weights_come_back_when_the_random_network_breaks(self, job: Job) -> None:
        model = linear()
        honest = model.function

        def fragile(held: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> np.ndarray:
            answer = honest(held, inputs)
            return answer if np.array_equal(held["kernel"], WEIGHTS) else answer * np.nan

        model.function = fragile
        assert refused(job, model=model).code == "score_not_finite"
        np.testing.assert_array_equal(model.weights()["kernel"], WEIGHTS)

    def test_a_model_that_ignores_its_weights_is_not_admitted(self, job: Job) -> None:
        model = linear()
        model.function = lambda held, inputs: np.tanh(inputs["features"]) @ WEIGHTS
        value, _, _ = job(model, background_rows=50)
        assert value["quality"]["randomisation"] == pytest.approx(1.0)
        assert value["admitted"] is False
        assert value["reasons"] == [
            "Likeness to a random network: 1, above the bound of 0.5. The values do not depend on what the model has "
            "learned; do not rely on them, and try another method."
        ]
        assert value["summary"]["sentence"].startswith("1 of 8 bounded measures is outside")

    def test_a_model_that_jumps_is_not_stable(self, job: Job) -> None:
        model = linear()
        model.function = lambda held, inputs: np.sign(np.sin(500 * inputs["features"])) @ held["kernel"]
        value, _, _ = job(model, rows=30)
        assert value["quality"]["stability"] > 0.2
        assert any(reason.startswith("Change under small input noise") for reason in value["reasons"])

    def test_a_model_that_answers_otherwise_in_other_batches_is_not_additive(self, job: Job) -> None:
        model = linear()
        honest = model.function
        model.function = lambda held, inputs: honest(held, inputs) + (0.1 if len(inputs["features"]) == 17 else 0.0)
        value, _, _ = job(model, rows=34, background_rows=20)
        assert value["quality"]["additivity_residual"] > 1e-4
        assert value["admitted"] is False

    def test_a_rough_estimate_is_not_admitted(self, job: Job) -> None:
        model = NumpyModel(
            lambda held, inputs: np.tanh(3 * inputs["features"] @ held["kernel"]) ** 2,
            {"kernel": np.random.default_rng(0).normal(size=(6, 2))},
            inputs={"features": (6,)},
            outputs=2,
        )
        value, _, _ = job(model, background_rows=16, tolerance=10.0, bounds={"error_estimate": 0.01})
        assert value["quality"]["error_estimate"] > 0.01
        assert value["admitted"] is False
        unbounded, _, _ = job(
            model,
            background_rows=16,
            tolerance=10.0,
            bounds=dict.fromkeys(MEASURES),
        )
        assert unbounded["admitted"] is True
        assert {entry["met"] for entry in unbounded["summary"]["measures"]} == {None}

    def test_a_constant_model_cannot_be_ranked_and_is_not_admitted(self, job: Job) -> None:
        model = linear()
        model.function = lambda held, inputs: np.zeros((len(inputs["features"]), 2))
        value, _, _ = job(model)
        assert value["quality"]["randomisation"] is None
        assert value["reasons"] == [
            "Likeness to a random network: could not be measured. The values do not vary, so they cannot be ranked."
        ]

    @pytest.mark.parametrize("bounds", [{"trust": 1}, {"stability": -1}, {"stability": "low"}, [0.1]])
    def test_bounds_that_mean_nothing_are_refused(self, job: Job, bounds: Any) -> None:
        assert refused(job, bounds=bounds).code in ("unknown_bound", "bound_out_of_range")


class TestRefused:
    def test_a_missing_value_names_the_row_of_the_whole_table(self, job: Job) -> None:
        table = table_of()
        ages = table.column("age").to_numpy().copy()
        ages[14] = np.nan
        table = table.set_column(table.column_names.index("age"), "age", pa.array(ages))
        error = refused(job, table=table, split="test", rows=60)
        assert error.code == "row_not_finite"
        assert error.place == "row 14"

    def test_a_missing_pixel_names_the_row(self, job: Job) -> None:
        table = image_table()
        pixels = np.random.default_rng(5).uniform(size=(30, 16))
        pixels[9, 3] = np.nan
        storage = pa.FixedSizeListArray.from_arrays(pa.array(pixels.reshape(-1)), 16)
        images = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), (4, 4)), storage)
        error = refused(
            job,
            model=bent_image(),
            table=table.set_column(0, "image", images),
            signature=IMAGE_SIGNATURE,
            schema=IMAGE_SCHEMA,
            rows=[2, 9],
        )
        assert (error.code, error.place) == ("row_not_finite", "row 9")

    def test_a_missing_value_in_the_background_is_named_too(self, job: Job) -> None:
        table = table_of()
        ages = table.column("age").to_numpy().copy()
        ages[15] = np.inf
        background = table.set_column(table.column_names.index("age"), "age", pa.array(ages))
        error = refused(job, background=background, background_rows=60)
        assert (error.code, error.place) == ("row_not_finite", "row 15")
        assert "of the background" in error.detail

    def test_a_row_that_is_not_there(self, job: Job) -> None:
        error = refused(job, rows=[0, 60])
        assert (error.code, error.place) == ("row_not_there", "row 60")
        error = refused(job, rows=[1], split="test")
        assert error.code == "row_not_there"
        assert "the split 'test', which has 30 rows with numbers from 0 to 58" in error.detail

    def test_a_row_named_twice(self, job: Job) -> None:
        assert refused(job, rows=[4, 5, 4]).code == "row_named_twice"

    def test_more_rows_than_there_are_gives_all_of_them_and_says_so(self, job: Job) -> None:
        value, _, _ = job(rows=10_000, background_rows=10_000)
        summary = value["summary"]
        assert (summary["rows_asked"], summary["rows"], summary["rows_available"]) == (10_000, 60, 60)
        assert (summary["background_rows"], summary["background_available"]) == (60, 60)

    @pytest.mark.parametrize(
        ("parameters", "code"),
        [
            ({"background_rows": 0}, "no_background_rows"),
            ({"rows": 0}, "no_rows"),
            ({"rows": []}, "no_rows"),
            ({"rows": [-1]}, "parameter_out_of_range"),
            ({"rows": "many"}, "parameter_out_of_range"),
            ({"rows": True}, "parameter_out_of_range"),
            ({"method": "lime"}, "unknown_method"),
            ({"outputs": [2]}, "output_not_there"),
            ({"outputs": "best"}, "parameter_out_of_range"),
            ({"outputs": []}, "no_outputs"),
            ({"tolerance": -0.1}, "parameter_out_of_range"),
            ({"scale": "odds"}, "parameter_out_of_range"),
            ({"patch": 0}, "parameter_out_of_range"),
            ({"seed": -1}, "parameter_out_of_range"),
            ({"background_rows": 1.5}, "parameter_out_of_range"),
            ({"signature": {"inputs": []}}, "parameter_out_of_range"),
            ({"schema": {}}, "parameter_out_of_range"),
            ({"split": "holdout"}, "split_unknown"),
        ],
    )
    def test_what_cannot_be_explained(self, job: Job, parameters: dict[str, Any], code: str) -> None:
        error = refused(job, **parameters)
        assert error.code == code
        assert error.detail.endswith(".")

    def test_a_missing_parameter(self, tmp_path: Path) -> None:
        with pytest.raises(JobError) as caught:
            explanation.run(JobContext(JobSpec(kind="explanation", runner="", job_id=1, attempt=1), tmp_path))
        assert caught.value.code == "parameter_missing"

    def test_no_predicted_output_among_many_values(self, job: Job) -> None:
        signature = {**SIGNATURE, "outputs": [{"name": "y", "shape": [-1, 2], "dtype": "float64", "kind": "value"}]}
        model = linear()
        assert refused(job, model=model, signature=signature, outputs="predicted").code == "no_predicted_output"
