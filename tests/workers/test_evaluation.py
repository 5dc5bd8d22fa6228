"""The runner of evaluations: metrics by slice with intervals, paired comparison, predictions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as oracle

from tests import tiny_models
from tests.workers.job_folders import job, messages, write_table
from tests.workers.loaded_models import framework_of, rows, softmax
from workers import evaluation
from workers.context import JobContext
from workers.protocol import JobError
from workers.slices import slices_of
from workers.statistics import wilson

X = rows(200, 2)
SCORES = X @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS
TRUTH = (SCORES[:, 1] + rows(200, seed=4) > SCORES[:, 0]).astype(int)
CLASSES = ["no", "yes"]
SCHEMA = {
    "modality": "tabular",
    "columns": {
        "age": {"role": "feature", "type": "float"},
        "sum": {"role": "feature", "type": "float"},
        "region": {"role": "protected", "type": "category"},
        "label": {"role": "target", "type": "category"},
        "part": {"role": "split", "type": "category"},
    },
}
SIGNATURE = tiny_models.signature(classes=CLASSES, columns=["age", "sum"])


def prepare(folder: Path, model: Path, *, other: Path | None = None, **changes: Any) -> JobContext:
    columns = {
        "age": X[:, 0],
        "sum": X[:, 1],
        "region": ["north"] * 20 + ["south"] * 180,
        "label": np.array(CLASSES)[TRUTH],
        "part": ["train"] * 50 + ["test"] * 150,
        **changes.get("columns", {}),
    }
    folder.mkdir()
    inputs = {"model": model, "dataset": write_table(folder / "table.parquet", columns)}
    parameters = {
        "framework": framework_of(model),
        "signature": changes.get("signature", SIGNATURE),
        "schema": changes.get("schema", SCHEMA),
        "task": changes.get("task", "classification"),
        "slices": changes.get("slices", []),
        "split": changes.get("split"),
    }
    if other is not None:
        inputs["other"] = other
        parameters["other"] = {
            "framework": framework_of(other),
            "signature": changes.get("other_signature", SIGNATURE),
        }
    return job(folder / "job", kind="evaluation", inputs=inputs, parameters=parameters, seed=changes.get("seed", 0))


def pick(entries: list[dict[str, Any]], name: str, slice_name: str | None = None) -> dict[str, Any]:
    return next(entry for entry in entries if (entry["name"], entry["slice"]) == (name, slice_name))


def test_classification_agrees_with_scikit_learn(model_path: Path, tmp_path: Path) -> None:
    context = prepare(tmp_path / "one", tiny_models.linear_classifier(model_path))
    value = evaluation.run(context)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    predicted, probabilities = SCORES.argmax(1), softmax(SCORES)
    expected = {
        "accuracy": oracle.accuracy_score(TRUTH, predicted),
        "balanced_accuracy": oracle.balanced_accuracy_score(TRUTH, predicted),
        "f1_macro": oracle.f1_score(TRUTH, predicted, average="macro"),
        "roc_auc": oracle.roc_auc_score(TRUTH, probabilities[:, 1]),
        "log_loss": oracle.log_loss(TRUTH, probabilities),
        "brier": oracle.brier_score_loss(TRUTH, probabilities[:, 1]),
    }
    assert {entry["name"]: entry["value"] for entry in value["metrics"]} == pytest.approx(expected, rel=1e-4)
    for entry in value["metrics"]:
        assert entry["low"] <= entry["value"] <= entry["high"]
        assert (entry["slice"], entry["n"]) == (None, 200)
    accuracy, interval = pick(value["metrics"], "accuracy"), wilson(int((predicted == TRUTH).sum()), 200)
    assert (accuracy["low"], accuracy["high"], accuracy["method"]) == (interval.low, interval.high, "Wilson, 95%")
    assert (value["comparison"], value["row_count"]) == (None, 200)


def test_predictions_are_written_a_line_a_row(model_path: Path, tmp_path: Path) -> None:
    context = prepare(
        tmp_path / "one",
        tiny_models.linear_classifier(model_path, activation="softmax"),
        split="test",
        signature=tiny_models.signature(kind="probabilities", classes=CLASSES, columns=["age", "sum"]),
    )
    assert evaluation.run(context)["row_count"] == 150
    table = pq.read_table(context.output("predictions.parquet"))
    assert table.column_names == ["row", "target", "prediction", "scores"]
    assert table["row"].to_pylist() == list(range(50, 200))
    assert table["target"].to_pylist() == [CLASSES[label] for label in TRUTH[50:]]
    assert table["prediction"].to_pylist() == [CLASSES[label] for label in SCORES[50:].argmax(1)]
    np.testing.assert_allclose(np.array(table["scores"].to_pylist()), softmax(SCORES[50:]), rtol=1e-4)


def test_slices_are_measured_and_small_ones_say_so(tmp_path: Path) -> None:
    model = tiny_models.linear_classifier(tmp_path / "model.pt2")
    value = evaluation.run(prepare(tmp_path / "one", model, slices=["region", "age"]))
    right = SCORES.argmax(1) == TRUTH
    north, south = (pick(value["metrics"], "accuracy", f"region = {name}") for name in ("north", "south"))
    assert (north["n"], north["value"]) == (20, right[:20].mean())
    assert (south["n"], south["value"]) == (180, right[20:].mean())
    assert "fewer than 30 rows" in north["note"]
    assert "note" not in south
    quartiles = [entry for entry in value["metrics"] if entry["name"] == "accuracy" and "age" in (entry["slice"] or "")]
    assert [entry["n"] for entry in quartiles] == [50, 50, 50, 50]
    assert sum(entry["value"] * 50 for entry in quartiles) == pytest.approx(right.sum())


def test_a_slice_of_one_class_has_no_area_under_the_curve(tmp_path: Path) -> None:
    model = tiny_models.linear_classifier(tmp_path / "model.pt2")
    value = evaluation.run(prepare(tmp_path / "one", model, slices=["label"]))
    entry = pick(value["metrics"], "roc_auc", "label = yes")
    assert (entry["value"], entry["low"], entry["method"]) == (None, None, "not defined on these rows")


def test_multi_class(model_path: Path, tmp_path: Path) -> None:
    signature = tiny_models.signature(inputs=2, outputs=3, columns=["age", "sum"])
    truth = np.arange(200) % 3
    schema = {**SCHEMA, "columns": {**SCHEMA["columns"], "label": {"role": "target", "type": "integer"}}}
    model = tiny_models.mlp(model_path, inputs=2, softmax=True)
    signature["outputs"][0]["kind"] = "probabilities"
    value = evaluation.run(
        prepare(tmp_path / "one", model, signature=signature, schema=schema, columns={"label": truth})
    )
    first, first_bias, second, second_bias = tiny_models.mlp_weights(inputs=2)
    probabilities = softmax(np.maximum(X @ first + first_bias, 0) @ second + second_bias)
    assert pick(value["metrics"], "roc_auc")["value"] == pytest.approx(
        oracle.roc_auc_score(truth, probabilities, multi_class="ovr"), rel=1e-4
    )
    assert pick(value["metrics"], "accuracy")["value"] == (probabilities.argmax(1) == truth).mean()


class TestRegression:
    schema = {**SCHEMA, "columns": {**SCHEMA["columns"], "label": {"role": "target", "type": "float"}}}
    signature = tiny_models.signature(inputs=3, outputs=1, kind="value", columns=["age", "sum", "third"])
    third = rows(200, seed=9)

    def test_agrees_with_scikit_learn(self, model_path: Path, tmp_path: Path) -> None:
        schema = {**self.schema, "columns": {**self.schema["columns"], "third": {"role": "feature", "type": "float"}}}
        answer = np.c_[X, self.third] @ tiny_models.REGRESSION_WEIGHTS[:, 0] + tiny_models.REGRESSION_BIAS[0]
        truth = answer + rows(200, seed=5)
        context = prepare(
            tmp_path / "one",
            tiny_models.regression(model_path),
            signature=self.signature,
            schema=schema,
            task="regression",
            columns={"label": truth, "third": self.third},
        )
        value = evaluation.run(context)
        assert {entry["name"]: entry["value"] for entry in value["metrics"]} == pytest.approx(
            {
                "rmse": oracle.mean_squared_error(truth, answer) ** 0.5,
                "mae": oracle.mean_absolute_error(truth, answer),
                "r2": oracle.r2_score(truth, answer),
            },
            rel=1e-4,
        )
        table = pq.read_table(context.output("predictions.parquet"))
        np.testing.assert_allclose(table["prediction"].to_numpy(), answer, rtol=1e-4, atol=1e-5)

    def test_a_classifier_does_no_regression(self, tmp_path: Path) -> None:
        context = prepare(
            tmp_path / "one",
            tiny_models.linear_classifier(tmp_path / "model.pt2"),
            task="regression",
            schema=self.schema,
            columns={"label": rows(200)},
        )
        with pytest.raises(JobError, match="The task is a regression, and the output 'answer'") as told:
            evaluation.run(context)
        assert told.value.code == "task_does_not_fit"


class TestComparison:
    def test_a_model_and_its_twin_in_the_other_framework_are_not_shown_to_differ(self, tmp_path: Path) -> None:
        ours, theirs = (tiny_models.linear_classifier(tmp_path / name) for name in ("model.keras", "model.pt2"))
        value = evaluation.run(prepare(tmp_path / "one", ours, other=theirs))
        difference = pick(value["comparison"]["metrics"], "accuracy")
        assert (difference["difference"], difference["low"], difference["high"]) == (0, 0, 0)
        assert difference["significant"] is False
        assert "not shown to differ" in value["comparison"]["sentence"]
        assert "equal" not in value["comparison"]["sentence"]

    def test_a_better_model_is_shown_to_be_better(self, tmp_path: Path) -> None:
        good = tiny_models.linear_classifier(tmp_path / "good.pt2")
        bad = tiny_models.linear_classifier(tmp_path / "bad.pt2", weights=-tiny_models.LINEAR_WEIGHTS)
        context = prepare(tmp_path / "one", good, other=bad, slices=["region"])
        value = evaluation.run(context)
        right = SCORES.argmax(1) == TRUTH
        wrong = (-X @ tiny_models.LINEAR_WEIGHTS + tiny_models.LINEAR_BIAS).argmax(1) == TRUTH
        difference = pick(value["comparison"]["metrics"], "accuracy")
        assert difference["difference"] == pytest.approx(right.mean() - wrong.mean())
        assert 0 < difference["low"] < difference["difference"] < difference["high"]
        assert difference["significant"] is True
        assert difference["method"].startswith("paired percentile bootstrap")
        assert value["comparison"]["sentence"].endswith("This version does better.")
        assert pick(value["comparison"]["metrics"], "log_loss")["high"] < 0
        assert "fewer than 30 rows" in pick(value["comparison"]["metrics"], "accuracy", "region = north")["note"]
        table = pq.read_table(context.output("predictions.parquet"))
        assert {"other_prediction", "other_scores"} < set(table.column_names)
        turned = evaluation.run(prepare(tmp_path / "two", bad, other=good))
        assert turned["comparison"]["sentence"].endswith("This version does worse.")
        assert "−" in turned["comparison"]["sentence"]

    def test_classes_in_another_order_are_refused(self, tmp_path: Path) -> None:
        model = tiny_models.linear_classifier(tmp_path / "model.pt2")
        turned = tiny_models.signature(classes=CLASSES[::-1], columns=["age", "sum"])
        with pytest.raises(JobError, match="no, yes against yes, no") as told:
            evaluation.run(prepare(tmp_path / "one", model, other=model, other_signature=turned))
        assert told.value.code == "models_not_comparable"


def test_same_seed_same_numbers_other_seed_other_intervals(tmp_path: Path) -> None:
    model = tiny_models.linear_classifier(tmp_path / "model.pt2")
    first, second, third = (
        evaluation.run(prepare(tmp_path / str(index), model, seed=seed)) for index, seed in enumerate((0, 0, 1))
    )
    assert first == second != third


def test_progress_is_told(tmp_path: Path) -> None:
    context = prepare(tmp_path / "one", tiny_models.linear_classifier(tmp_path / "model.pt2"), slices=["region"])
    evaluation.run(context)
    assert {message["unit"] for message in messages(context)} == {"rows", "slices"}


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"columns": {"label": ["maybe"] * 200}}, "label_outside_classes", "Row 0 .*'maybe'"),
        ({"slices": ["height"]}, "slice_column_missing", "'height'"),
        ({"split": "validation"}, "split_unknown", "'validation'"),
        ({"task": "ranking"}, "task_unknown", "'ranking'"),
        ({"signature": tiny_models.signature(kind="probabilities", classes=CLASSES, columns=["age", "sum"])},
         "output_not_probabilities", "Is its kind `logits`"),
        ({"signature": tiny_models.signature(classes=CLASSES, columns=["age", "weight"])},
         "inputs_do_not_fit", "'weight', which the data set does not have"),
    ],
    ids=["label", "slice", "split", "task", "kind", "column"],
)  # fmt: skip
def test_what_cannot_be_evaluated_is_refused(tmp_path: Path, changes: dict[str, Any], code: str, words: str) -> None:
    context = prepare(tmp_path / "one", tiny_models.linear_classifier(tmp_path / "model.pt2"), **changes)
    with pytest.raises(JobError, match=words) as told:
        evaluation.run(context)
    assert told.value.code == code


class TestSlices:
    @staticmethod
    def cut(values: Any) -> dict[str, int]:
        table = pa.table({"column": values})
        return {part.name: int(part.mask.sum()) for part in slices_of(table, ["column"])}

    def test_few_numbers_are_taken_one_by_one(self) -> None:
        assert self.cut([3, 1, 1, None]) == {"column = 1": 2, "column = 3": 1, "column is missing": 1}

    def test_many_numbers_are_cut_at_quartiles_and_nan_is_missing(self) -> None:
        parts = self.cut([*np.arange(40.0), np.nan])
        assert list(parts.values()) == [10, 10, 10, 10, 1]
        assert list(parts) == [
            "column up to 9.75",
            "column above 9.75, up to 19.5",
            "column above 19.5, up to 29.25",
            "column above 29.25",
            "column is missing",
        ]

    def test_quartiles_that_fall_together_are_one(self) -> None:
        parts = self.cut([0.0] * 80 + list(np.arange(1.0, 21.0)))
        assert parts == {"column up to 0": 80, "column above 0": 20}

    def test_rare_texts_are_one_slice(self) -> None:
        parts = self.cut(["common"] * 5 + [f"name {number}" for number in range(60)])
        assert parts["column = common"] == 5
        assert parts["column: 11 rarer values"] == 11
        assert sum(parts.values()) == 65

    def test_booleans_and_dictionaries(self) -> None:
        assert self.cut([True, False, True]) == {"column = False": 1, "column = True": 2}
        assert self.cut(pa.array(["a", "b", "a"]).dictionary_encode()) == {"column = a": 2, "column = b": 1}

    def test_arrays_cannot_be_sliced_by(self) -> None:
        with pytest.raises(JobError, match="'column' holds arrays"):
            self.cut(pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((3, 2, 2))))
