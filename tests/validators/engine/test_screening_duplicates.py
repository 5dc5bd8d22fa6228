"""Repeated and almost repeated rows: exactly those, of which row, and not what chance repeats."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.validators.planted import Planted, digits
from tests.validators.screenings import screen
from validators.engine.screening.near_texts import sequences_of
from workers.datasets.canonical import tensor_array

GENERATOR = np.random.default_rng


def people(count: int = 300, seed: int = 0) -> Planted:
    generator = GENERATOR(seed)
    return Planted(
        {
            "id": np.arange(count),
            "age": np.round(generator.normal(45, 10, count), 2),
            "income": np.round(generator.normal(3_000, 500, count), 2),
            "label": generator.choice(["yes", "no"], count).tolist(),
        },
        {"id": "id", "label": "target"},
    )


def copy_row(data: Planted, source: int, target: int, *, label: str | None = None) -> None:
    for name in ("age", "income", "label"):
        data.columns[name][target] = data.columns[name][source]
    if label is not None:
        data.columns["label"][target] = label


def test_a_repeated_row_names_the_first_of_them_whatever_its_id(tmp_path: Path) -> None:
    data = people()
    copy_row(data, 5, 40)
    copy_row(data, 5, 41)

    found = screen(tmp_path, data, ["exact_duplicates"])

    assert found.rows_of("exact_duplicates") == {40, 41}
    assert {row["reason"] for row in found.rows} == {"The same as row 5 before it in every feature and the label."}


def test_another_label_is_a_conflict_and_no_repetition(tmp_path: Path) -> None:
    data = people()
    copy_row(data, 5, 40, label="no" if data.columns["label"][5] == "yes" else "yes")

    found = screen(tmp_path, data, ["exact_duplicates", "conflicting_labels"])

    assert found.rows_of("exact_duplicates") == set()
    assert found.rows_of("conflicting_labels") == {5, 40}
    reasons = {row["row"]: row["reason"] for row in found.rows}
    assert "row 40 has the same features" in reasons[5]
    assert "row 5 has the same features" in reasons[40]


def test_missing_values_and_minus_zero_are_the_same_and_one_bit_is_not(tmp_path: Path) -> None:
    generator = GENERATOR(0)
    values, more = generator.normal(size=200).tolist(), generator.normal(size=200)
    values[10], values[20], more[20] = None, None, more[10]
    values[11], values[21], more[21] = 0.0, -0.0, more[11]
    values[22], more[22] = np.nextafter(values[12], 9), more[12]
    data = Planted({"a": pa.array(values, pa.float64()), "b": more}, {})

    assert screen(tmp_path, data, ["exact_duplicates"]).rows_of("exact_duplicates") == {20, 21}


def test_exchanged_values_and_whole_numbers_beyond_the_floats_are_not_the_same(tmp_path: Path) -> None:
    numbers = 2**60 + 1_000 * GENERATOR(0).permutation(200)
    texts = [f"{value:x}" for value in numbers]
    others = texts[::-1]
    numbers[20], texts[20], others[20] = numbers[10] + 1, texts[10], others[10]
    numbers[21], texts[21], others[21] = numbers[11], others[11], texts[11]
    numbers[22], texts[22], others[22] = numbers[12], texts[12], others[12]
    data = Planted({"number": numbers, "text": texts, "other": others}, {})

    assert screen(tmp_path, data, ["exact_duplicates"]).rows_of("exact_duplicates") == {22}


def test_a_conflict_names_the_first_row_with_the_other_label(tmp_path: Path) -> None:
    data = people()
    data.columns["label"][5:8] = ["yes", "no", "no"]
    for target in (6, 7):
        copy_row(data, 5, target, label="no")

    found = screen(tmp_path, data, ["conflicting_labels"])

    reasons = {row["row"]: row["reason"] for row in found.rows}
    assert reasons.keys() == {5, 6, 7}
    assert "row 6 has" in reasons[5]
    assert all("row 5 has" in reasons[row] for row in (6, 7))


def test_rows_of_few_possible_values_are_told_as_chance(tmp_path: Path) -> None:
    generator = GENERATOR(0)
    data = Planted({name: generator.integers(0, 3, 500) for name in "abc"}, {})

    found = screen(tmp_path, data, ["exact_duplicates", "near_duplicates"])

    assert found["exact_duplicates"]["status"] == "not_applicable"
    assert "by chance" in found["exact_duplicates"]["sentence"]
    assert found.rows == []


def test_what_the_columns_make_likely_is_told_beside_what_was_found(tmp_path: Path) -> None:
    data = people(2_000)
    data.columns["age"] = np.round(data.columns["age"])
    data.columns["income"] = np.round(data.columns["income"])
    for target in range(100, 300):
        copy_row(data, target - 100, target)

    detection = screen(tmp_path, data, ["exact_duplicates"])["exact_duplicates"]

    assert detection["status"] == "found"
    assert 10 < detection["detail"]["expected_by_chance"] < 0.5 * detection["count"]


def test_rows_of_both_versions_are_found_although_numbers_differ_in_type(tmp_path: Path) -> None:
    data, other = people(), people(seed=1)
    data.columns["age"] = np.round(data.columns["age"] * 100).astype(np.int64)
    other.columns["age"] = np.round(other.columns["age"] * 100)
    for name in ("age", "income"):
        other.columns[name][7] = data.columns[name][3]
    other.columns["label"][7] = "other"

    found = screen(tmp_path, data, purpose="evaluation", against=other)

    assert found.rows_of("exact_duplicates") == {3}
    assert "row 7 of theirs/1" in found["exact_duplicates"]["rows"][0]["reason"]
    assert found.rows_of("conflicting_labels") == {3}
    assert "'other'" in found["conflicting_labels"]["rows"][0]["reason"]


def stored_as_decimals(scale: int) -> Callable[[Any], pa.Array]:
    return lambda values: pa.array([Decimal(f"{value:.2f}") for value in values], pa.decimal128(38, scale))


def pairs_of(data_type: type) -> Callable[[Any], pa.Array]:
    return lambda values: tensor_array(np.stack([np.round(100 * values)] * 2, axis=1).astype(data_type))


@pytest.mark.parametrize(
    ("here", "there"),
    [(stored_as_decimals(2), stored_as_decimals(3)), (pairs_of(np.int64), pairs_of(np.float32))],
    ids=["decimals", "arrays"],
)
def test_rows_of_both_versions_are_found_although_numbers_are_stored_otherwise(
    tmp_path: Path, here: Callable[[Any], pa.Array], there: Callable[[Any], pa.Array]
) -> None:
    data, other = people(), people(seed=1)
    for name in ("age", "income"):
        other.columns[name][7] = data.columns[name][3]
    other.columns["label"][7] = "other"
    data.columns["age"], other.columns["age"] = here(data.columns["age"]), there(other.columns["age"])

    found = screen(tmp_path, data, purpose="evaluation", against=other)

    assert found.rows_of("exact_duplicates") == {3}
    assert found.rows_of("conflicting_labels") == {3}


@pytest.mark.parametrize("change", ["lacks", "text"])
def test_versions_that_cannot_be_compared_say_which_column(change: str, tmp_path: Path) -> None:
    data, other = people(), people(seed=1)
    if change == "lacks":
        del other.columns["income"]
    else:
        other.columns["income"] = [str(value) for value in other.columns["income"]]

    found = screen(tmp_path, data, purpose="evaluation", against=other)

    assert {entry["status"] for entry in found.value["detections"]} == {"not_applicable"}
    assert all("'income'" in entry["sentence"] for entry in found.value["detections"])


def test_a_near_row_is_within_the_tolerance_in_every_column(tmp_path: Path) -> None:
    data = people(800)
    width = 1.4826 * np.median(np.abs(data.columns["age"] - np.median(data.columns["age"])))
    data.columns["z"] = GENERATOR(9).normal(size=800)
    for target, shift in ((40, 0.4), (41, 0.9), (42, 1.5)):
        copy_row(data, target - 30, target)
        data.columns["z"][target] = data.columns["z"][target - 30]
        data.columns["age"][target] += shift * 0.01 * width

    found = screen(tmp_path, data, ["near_duplicates"])

    assert found.rows_of("near_duplicates") == {40, 41}
    assert {row["row"]: "row 10" in row["reason"] or "row 11" in row["reason"] for row in found.rows} == {
        40: True,
        41: True,
    }


def test_other_categories_and_missing_values_are_not_near(tmp_path: Path) -> None:
    data = people(400)
    data.columns["region"] = ["north", "south", "east", "west"] * 100
    for target in (40, 41, 42):
        copy_row(data, 10, target)
        data.columns["age"][target] += 0.01
        data.columns["region"][target] = data.columns["region"][10]
    data.columns["region"][41] = "elsewhere"
    data.columns["age"][42] = np.nan

    found = screen(tmp_path, data, ["near_duplicates"]).rows_of("near_duplicates")

    assert 40 in found
    assert not found & {41, 42}


def test_the_same_image_with_noise_is_near_and_a_missing_one_is_not(tmp_path: Path) -> None:
    data = digits(GENERATOR(0))
    images = data.columns["image"]
    images[50] = images[3] + GENERATOR(1).normal(0, 0.1, (8, 8)).astype(np.float32)
    images[51:54] = np.nan

    found = screen(tmp_path, data, ["near_duplicates"])

    assert 50 in found.rows_of("near_duplicates")
    assert not found.rows_of("near_duplicates") & {51, 52, 53}
    assert "row 3" in next(row["reason"] for row in found.rows if row["row"] == 50)


def test_texts_that_differ_in_case_only_are_near_and_short_or_empty_ones_are_not(tmp_path: Path) -> None:
    texts = [
        f"This is the review number {number} of a long list of quite different things {number}" for number in "abcd"
    ]
    texts += [texts[0].upper(), "", "", "Fine.", "Good."]
    data = Planted({"review": texts}, {}, modality="text")

    found = screen(tmp_path, data, ["near_duplicates"], parameters={"near_duplicates": {"jaccard": 0.9}})

    assert found.rows_of("near_duplicates") == {4}
    assert sequences_of("One two, THREE four") == {"one two three", "two three four"}
    assert sequences_of(" .!? ") == frozenset()
