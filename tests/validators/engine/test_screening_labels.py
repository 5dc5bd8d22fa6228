"""Labels: confident learning against the paper's rule by hand, and what there is to say about classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.planted import Planted, digits, table
from tests.validators.screenings import screen
from validators.engine.screening.labels import confident_classes, ratio_of_counts
from validators.engine.screening.learner import joined


def test_the_confident_joint_says_how_many_and_the_margin_which() -> None:
    # Class 0 has the threshold (0.9 + 0.9 + 0.8 + 0.2) / 4 = 0.7, class 1 (0.9 + 0.9) / 2 = 0.9: the fourth row does
    # not reach it with 0.8, and nothing is flagged; with 0.95 it does, and the joint takes one of the four.
    classes = np.array([0, 0, 0, 0, 1, 1])
    sure = np.array([0.9, 0.9, 0.8, 0.2, 0.1, 0.1])
    probabilities = np.stack([sure, 1 - sure], axis=1)
    assert confident_classes(probabilities, classes).tolist() == [0, 0, 0, 0, 1, 1]

    probabilities[3] = [0.05, 0.95]
    assert confident_classes(probabilities, classes).tolist() == [0, 0, 0, 1, 1, 1]


def test_a_class_is_never_flagged_against_a_negative_margin() -> None:
    classes = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.6, 0.4], [0.55, 0.45], [0.58, 0.42], [0.58, 0.42]])

    better = confident_classes(probabilities, classes)

    assert better[:2].tolist() == [0, 0]


def test_indicators_of_a_category_become_one_column_of_codes_before_the_others() -> None:
    # The columns: a number, three indicators (the second row has none of them), a number, two indicators.
    matrix = np.array([[0.5, 0, 1, 0, 7.0, 1, 0], [np.nan, 0, 0, 0, 8.0, 0, 1], [1.5, 1, 0, 0, 9.0, 0, 0]])

    codes = joined(matrix, (range(1, 4), range(5, 7)))

    np.testing.assert_array_equal(codes, [[2, 1, 0.5, 7], [0, 2, np.nan, 8], [1, 0, 1.5, 9]])


def test_a_category_that_says_the_label_is_learned_from_its_codes(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    kinds = generator.integers(15, size=1_500)
    data = Planted(
        {"kind": [f"kind {kind}" for kind in kinds], "label": [f"class {kind}" for kind in kinds]}, {"label": "target"}
    )
    data.columns["label"][20] = "class 1" if kinds[20] != 1 else "class 2"

    found = screen(tmp_path, data, ["label_issues"])["label_issues"]

    assert [row["row"] for row in found["rows"]] == [20]


def test_flagged_rows_are_ranked_and_say_both_labels(tmp_path: Path) -> None:
    data = table(np.random.default_rng(5), rows=600)
    data.columns["label"][33] = "no" if data.columns["label"][33] == "yes" else "yes"

    found = screen(tmp_path, data, ["label_issues"])["label_issues"]

    scores = [row["score"] for row in found["rows"]]
    assert scores == sorted(scores, reverse=True)
    assert all("'yes'" in row["reason"] and "'no'" in row["reason"] for row in found["rows"])
    assert found["action"] == "flag"


def test_the_same_request_gives_the_same_result_and_another_seed_another_sample(tmp_path: Path) -> None:
    data = digits(np.random.default_rng(0))
    asked = {"label_issues": {"rows": 400}}

    first, again, other = (
        screen(tmp_path, data, ["label_issues"], parameters=asked, seed=seed)["label_issues"] for seed in (1, 1, 2)
    )

    del first["seconds"], again["seconds"]
    assert first == again
    assert first["looked_at"] == 400
    assert "drawn with seed" in first["sentence"]
    assert other["seed"] != first["seed"]


@pytest.mark.parametrize("detector", ["label_issues", "class_imbalance", "label_giveaway", "conflicting_labels"])
@pytest.mark.parametrize(
    ("labels", "says"),
    [
        (None, "no labels"),
        (["a"] * 60, ""),
        ([f"row {number}" for number in range(60)], "too many different values"),
        (pa.array([None] * 60, pa.string()), ""),
    ],
    ids=["no target", "one class", "all different", "all missing"],
)
def test_labels_that_say_nothing_are_not_judged(detector: str, labels: object, says: str, tmp_path: Path) -> None:
    columns = {"x": np.arange(60.0)}
    roles = {}
    if labels is not None:
        columns["label"], roles["label"] = labels, "target"

    found = screen(tmp_path, Planted(columns, roles), [detector])[detector]

    assert found["status"] in ("not_applicable", "not_found")
    assert says in found["sentence"]


def test_a_rare_class_is_named_with_its_share(tmp_path: Path) -> None:
    data = Planted({"x": np.arange(1_000.0), "label": ["often"] * 985 + ["rare"] * 15}, {"label": "target"})

    found = screen(tmp_path, data, ["class_imbalance"])["class_imbalance"]

    assert (found["status"], found["count"], found["unit"]) == ("found", 1, "classes")
    assert [entry["column"] for entry in found["columns"]] == ["rare"]
    assert found["share"]["value"] == pytest.approx(0.015)


def test_few_rows_do_not_make_an_imbalance_that_chance_could_make(tmp_path: Path) -> None:
    data = Planted({"x": np.arange(230.0), "label": ["often"] * 210 + ["rare"] * 20}, {"label": "target"})

    found = screen(tmp_path, data, ["class_imbalance"])["class_imbalance"]

    assert found["status"] == "not_found"
    interval = ratio_of_counts(210, 20)
    assert interval.low < 10 < interval.high
    assert f"{interval.value:.1f}" in found["sentence"]


@pytest.mark.parametrize("labels", [np.arange(400) % 4, (np.arange(400) % 4).astype(float), [True, False] * 200])
def test_labels_may_be_numbers_or_truth_values(labels: object, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    number = np.asarray(labels).astype(float)
    data = Planted({"x": number + generator.normal(0, 0.2, 400), "label": labels}, {"label": "target"})

    found = screen(tmp_path, data, ["label_issues", "class_imbalance"])

    assert found["label_issues"]["share"]["n"] == 400
    assert found["class_imbalance"]["status"] == "not_found"
