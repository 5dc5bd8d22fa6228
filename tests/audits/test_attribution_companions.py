"""The files beside attributions: nearest rows, pictures and tokens, each refused when it does not fit."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from audits.attributions import read_neighbours, read_pictures, read_tokens
from governance.exceptions import IntegrityFailure
from tests.attribution_files import npz, stored, tokens

pytestmark = pytest.mark.django_db

NEIGHBOURS: dict[str, Any] = {
    "row_numbers": np.arange(6).reshape(2, 3),
    "distances": np.zeros((2, 3)),
    "data": np.zeros((2, 3, 4)),
}
PICTURES: dict[str, Any] = {"pictures": np.zeros((2, 5, 6, 3), dtype=np.uint8), "row_numbers": np.array([4, 9])}


def test_nearest_rows_are_read() -> None:
    found = read_neighbours(stored(npz(NEIGHBOURS)).digest, row_count=2, feature_count=4)

    assert found.row_numbers.tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"row_numbers": np.zeros((5, 3), dtype=int)}, "for 2 rows"),
        ({"row_numbers": np.zeros((2, 3))}, "`row_numbers`"),
        ({"distances": np.zeros((2, 2))}, "`distances`"),
        ({"data": np.zeros((2, 3, 5))}, "for 4 features"),
    ],
)
def test_nearest_rows_of_something_else_are_refused(change: dict[str, Any], said: str) -> None:
    digest = stored(npz({**NEIGHBOURS, **change})).digest

    with pytest.raises(IntegrityFailure, match=f"The nearest rows of this explanation cannot be read: .*{said}"):
        read_neighbours(digest, row_count=2, feature_count=4)


def test_pictures_are_read() -> None:
    assert read_pictures(stored(npz(PICTURES)).digest).pictures.shape == (2, 5, 6, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pictures": np.zeros((2, 5, 6, 4), dtype=np.uint8)}, "of the shape"),
        ({"pictures": np.zeros((2, 5, 6, 3))}, "is float64"),
        ({"pictures": np.zeros((2, 1, 5000, 1), dtype=np.uint8)}, "5,000 pixels"),
        ({"row_numbers": np.array([4])}, "for 2 pictures"),
    ],
)
def test_pictures_of_another_kind_are_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(IntegrityFailure, match=said):
        read_pictures(stored(npz({**PICTURES, **change})).digest)


def test_tokens_are_read_by_row() -> None:
    assert read_tokens(stored(tokens({3: ["a", "b"]})).digest, feature_count=2) == {3: ("a", "b")}


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"rows": [{"row": 3, "tokens": ["a"]}]}, "1 tokens for 2 features"),
        ({"rows": [{"row": "3", "tokens": ["a", "b"]}]}, "a row has no number"),
        ({"rows": [{"row": True, "tokens": ["a", "b"]}]}, "a row has no number"),
        ({"rows": [{"row": 3, "tokens": ["a", 1]}]}, "are not texts"),
        ({"rows": [{"row": 3}]}, "tokens"),
        ({}, "rows"),
        ([], "list indices"),
    ],
)
def test_tokens_that_do_not_fit_are_refused(document: Any, said: str) -> None:
    digest = stored(json.dumps(document)).digest

    with pytest.raises(IntegrityFailure, match=f"The tokens of this explanation cannot be read: .*{said}"):
        read_tokens(digest, feature_count=2)


def test_tokens_that_are_no_json_are_refused() -> None:
    with pytest.raises(IntegrityFailure):
        read_tokens(stored("[" * 100_000).digest, feature_count=2)
