"""Rows of an explanation sliced by a column of the data set that feeds no model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.test import Client
from django.urls import reverse

from audits.explained.asked import Asked
from audits.explained.portrait import Portrait, portrait
from governance.exceptions import IntegrityFailure, NotFound
from tests import attribution_files
from tests.attribution_files import Arrays, npz, table

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


def columns(rows: int, **changes: Any) -> Arrays:
    """Return the sexes of rows, in turn, and their ages from 20 on; of every fifth row neither is known."""
    values = np.stack([np.arange(rows) % 2, 20.0 + np.arange(rows)], axis=1)
    values[::5] = np.nan
    return {
        "names": np.array(["sex", "age"]),
        "values": values,
        "labels": np.array(["male", "female"]),
        "label_columns": np.array([0, 0]),
        **changes,
    }


def page_of(rows: int = 40, *, held: Arrays | bytes | None = None, **asked: str) -> Portrait:
    content = columns(rows) if held is None else held
    files = {"columns.npz": content if isinstance(content, bytes) else npz(content)}
    made = portrait(attribution_files.explanation(table(rows), files=files), Asked(**asked))
    assert made is not None
    return made


def test_a_protected_column_that_feeds_no_model_slices_the_rows() -> None:
    females = page_of(slice="sex", value="female").shown

    assert females.places.tolist() == [place for place in range(1, 40, 2) if place % 5]
    assert females.values.tolist() == table(40)["values"][females.places, :, 0].tolist()


def test_a_number_is_sliced_by_quarters_and_rows_without_one_are_a_kind_too() -> None:
    places = [page_of(slice="age", value=value).shown.places.tolist() for value in ("q1", "q2", "q3", "q4", "")]

    assert sorted(place for part in places for place in part) == list(range(40))
    assert places[-1] == list(range(0, 40, 5))
    assert max(places[0]) < min(places[3])


def test_other_columns_are_offered_before_features_and_all_can_be_asked_for() -> None:
    offered = page_of().slices()

    assert [name for name, _ in offered] == ["sex", "age", "f0", "f2", "f1"]
    assert dict(offered)["sex"] == [("female", "female", False), ("male", "male", False), ("", "no value", False)]
    asked = [(name, key) for name, kinds in offered for key, _, _ in kinds]
    assert all(page_of(slice=name, value=key).shown.row_count for name, key in asked)


def test_texts_and_pictures_are_sliced_by_them_too() -> None:
    files = {"columns.npz": npz(columns(3))}
    made = portrait(attribution_files.explanation(attribution_files.image(), files=files), Asked())

    assert made is not None
    assert [name for name, _ in made.slices()] == ["target", "sex", "age"]


def test_explanations_from_before_have_the_slices_they_had() -> None:
    made = portrait(attribution_files.explanation(table(40)), Asked(slice="sex", value="female"))

    assert made is not None
    with pytest.raises(NotFound, match="cannot be sliced by 'sex'"):
        _ = made.shown


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"slice": "sex", "value": "other"}, "no value 'other'; it has female, male"),
        ({"slice": "Sex", "value": "male"}, "cannot be sliced by 'Sex'"),
        ({"slice": HOSTILE, "value": "1"}, "cannot be sliced by"),
        ({"slice": "../columns.npz", "value": "1"}, "cannot be sliced by"),
        ({"slice": "age", "value": "q5"}, "no value 'q5'"),
        ({"slice": "age", "value": "nan"}, "no value 'nan'"),
    ],
)
def test_a_slice_that_is_not_there_is_told_on_the_page(client: Client, bob, asked: dict[str, str], said: str) -> None:
    with pytest.raises(NotFound, match=said):
        _ = page_of(**asked).shown
    client.force_login(bob)
    explanation = attribution_files.explanation(table(40), files={"columns.npz": npz(columns(40))})

    answer = client.get(reverse("explanation", args=[explanation.pk]), asked)

    assert answer.status_code == 404
    assert "<script>alert" not in answer.content.decode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": np.zeros((39, 2))}, "for 40 rows of 2 names"),
        ({"values": np.zeros((40, 2), dtype=np.int64)}, "for 40 rows"),
        ({"names": np.array(["sex", "sex"])}, "not a list of different names"),
        ({"names": np.array([1, 2])}, "not a list of different names"),
        ({"label_columns": np.array([0])}, "has the shape"),
        ({"label_columns": np.array([0.0, 0.0])}, "has the shape"),
        ({"labels": np.zeros((2, 2))}, "has the shape"),
        ({"values": np.full((40, 2), 7.0)}, "name labels that are not there"),
        ({"values": np.full((40, 2), 0.5)}, "name labels that are not there"),
        ({"values": np.full((40, 2), np.inf)}, "not numbers"),
    ],
)
def test_a_file_that_no_job_writes_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(IntegrityFailure, match=said):
        _ = page_of(held=columns(40, **changes), slice="sex", value="male").shown


def test_a_file_that_is_no_archive_is_refused() -> None:
    with pytest.raises(IntegrityFailure, match="columns of this explanation cannot be read"):
        _ = page_of(held=b"PK", slice="sex", value="male").shown


def test_hostile_names_and_labels_are_escaped(client: Client, bob) -> None:
    held = columns(40, names=np.array([HOSTILE, "</style><b>"]), labels=np.array([HOSTILE, '"><b>']))
    explanation = attribution_files.explanation(table(40), files={"columns.npz": npz(held)})
    client.force_login(bob)

    page = client.get(reverse("explanation", args=[explanation.pk]), {"slice": HOSTILE, "value": HOSTILE})

    assert page.status_code == 200
    assert "<script>alert" not in page.content.decode()
    assert '"><b>' not in page.content.decode()
