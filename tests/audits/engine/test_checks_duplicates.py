"""DAT-03 finds planted duplicates exactly, and calls nothing else one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audits.engine.checks.base import CheckResult
from tests.audits.engine.cases import metric, rows_of, run_check, schema_of
from tests.numpy_model import NumpyModel
from validators.engine.likeness import difference_hashes

TABLE = schema_of(key="id string", a="feature float", b="feature integer", y="target integer")
MODEL = NumpyModel(np.ones((2, 2)), columns=["a", "b"])


def table(generator: np.random.Generator, count: int) -> dict[str, Any]:
    return {
        "key": [f"row {number}" for number in generator.permutation(count)],
        "a": generator.normal(size=count),
        "b": generator.integers(0, 5, count),
        "y": generator.integers(0, 2, count),
    }


def pairs(result: CheckResult, kind: str) -> set[tuple[int, int]]:
    return {(pair["audited_row"], pair["training_row"]) for pair in result.detail["pairs"] if pair["kind"] == kind}


def test_planted_rows_are_found_whatever_their_id_and_target(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    training, audited = table(generator, 500), table(generator, 300)
    for ours, theirs in ((5, 40), (17, 3), (299, 499)):
        audited["a"][ours], audited["b"][ours] = training["a"][theirs], training["b"][theirs]
    audited["y"][5] = 1 - training["y"][40]
    result = run_check(
        "DAT-03",
        tmp_path,
        MODEL,
        rows_of(MODEL, TABLE, audited, first=1000),
        training=rows_of(MODEL, TABLE, training, first=10),
    )
    assert pairs(result, "same") == {(1005, 50), (1017, 13), (1299, 509)}
    assert (result.status, result.severity) == ("failed", "medium")
    assert result.metrics[0].value == pytest.approx(3 / 300)
    assert metric(result, "rows that are almost the same").value is None


def test_no_duplicates_pass_and_many_are_severe(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    training, audited = table(generator, 500), table(generator, 300)
    of_training = rows_of(MODEL, TABLE, training)
    passed = run_check("DAT-03", tmp_path, MODEL, rows_of(MODEL, TABLE, audited), training=of_training)
    assert (passed.status, passed.metrics[0].value) == ("passed", 0)
    severe = run_check("DAT-03", tmp_path, MODEL, of_training, training=of_training)
    assert (severe.status, severe.severity, severe.metrics[0].value) == ("failed", "high", 1)
    assert len(severe.detail["pairs"]) == 100
    assert severe.detail["pair_count"] == 500


def test_a_negative_zero_is_a_zero(tmp_path: Path) -> None:
    ours = rows_of(MODEL, TABLE, {"key": ["a"], "a": [-0.0], "b": [1], "y": [0]})
    theirs = rows_of(MODEL, TABLE, {"key": ["b"], "a": [0.0], "b": [1], "y": [0]})
    assert run_check("DAT-03", tmp_path, MODEL, ours, training=theirs).metrics[0].value == 1


def test_without_training_data_it_does_not_apply(tmp_path: Path) -> None:
    rows = rows_of(MODEL, TABLE, table(np.random.default_rng(0), 20))
    assert run_check("DAT-03", tmp_path, MODEL, rows).status == "not_applicable"


IMAGES = schema_of("image", picture="feature image 12 10", y="target integer")
IMAGE_MODEL = NumpyModel(np.ones((120, 2)), columns=["picture"], row_shape=[12, 10], name="picture")


def smooth(generator: np.random.Generator, count: int) -> np.ndarray:
    """Return random pictures of a few soft spots, values from 0 to 1."""
    rows, columns = np.mgrid[0:12, 0:10]
    pictures = np.zeros((count, 12, 10))
    for _ in range(4):
        centre = generator.uniform(0, 10, (count, 2, 1, 1))
        pictures += np.exp(-((rows - centre[:, 0]) ** 2 + (columns - centre[:, 1]) ** 2) / 6)
    return (pictures / pictures.max(axis=(1, 2), keepdims=True)).astype(np.float32)


def test_near_duplicates_of_images_are_confirmed_by_their_pixels(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    training, audited = smooth(generator, 200), smooth(generator, 80)
    audited[3] = training[150]
    audited[9] = np.clip(training[20] + generator.normal(0, 0.01, (12, 10)), 0, 1)
    # The same picture at half the brightness has the same difference hash and other pixels: no duplicate.
    audited[30] = training[77] * 0.5
    assert np.bitwise_count(difference_hashes(audited[[30]]) ^ difference_hashes(training[[77]]))[0] == 0
    ours = rows_of(IMAGE_MODEL, IMAGES, {"picture": audited, "y": np.zeros(80, int)})
    theirs = rows_of(IMAGE_MODEL, IMAGES, {"picture": training, "y": np.zeros(200, int)})
    result = run_check("DAT-03", tmp_path, IMAGE_MODEL, ours, training=theirs)
    assert pairs(result, "same") == {(3, 150)}
    assert pairs(result, "near") == {(9, 20)}
    assert result.metrics[0].value == pytest.approx(2 / 80)


def test_a_difference_hash_sees_where_it_gets_brighter_and_not_how_bright_it_is() -> None:
    ramp = np.tile(np.arange(10.0), (1, 12, 1))
    assert difference_hashes(ramp)[0] == 2**64 - 1
    assert difference_hashes(ramp[:, :, ::-1])[0] == 0
    pictures = smooth(np.random.default_rng(3), 30).astype(float)
    np.testing.assert_array_equal(difference_hashes(pictures * 4 + 1), difference_hashes(pictures))
    assert len(set(difference_hashes(pictures))) == 30
