"""The page of a data set version shows pictures, texts and problems of its rows, and nothing of them as markup."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests import factories

pytestmark = pytest.mark.django_db

DIGEST = "sha256:" + "a" * 64
HOSTILE = "<script>alert(1)</script>"


def page_of(media: dict[str, Any]) -> str:
    version = factories.DatasetVersionFactory(media=media)
    client = Client()
    client.force_login(factories.person("dave", "auditors"))
    response = client.get(reverse("dataset-version", args=[version.dataset.name, version.number]))
    assert response.status_code == 200
    return response.content.decode()


def images(**changes: Any) -> dict[str, Any]:
    cells = [{"row": row, "group": "sample", "value": None} for row in range(7)]
    cells += [{"row": 3, "group": "darkest", "value": 0.25}]
    return {
        "file": "images-1.png",
        "digest": DIGEST,
        "cells": cells,
        "note": "",
        "problem_count": 0,
        "problems": [],
        **changes,
    }


def test_pictures_are_cut_out_of_the_sheet() -> None:
    page = page_of({"image": images(note="3 of 9 images are small.")})
    assert page.count(f'<image href="/files/{DIGEST}/images-1.png" width="576" height="192"/>') == 8
    assert 'viewBox="480 0 96 96"' in page
    assert 'viewBox="96 96 96 96"' in page
    assert 'aria-label="image of row 3"' in page
    assert "Darkest" in page
    assert "0.25" in page
    assert "3 of 9 images are small." in page


def test_problems_are_counted_and_escaped() -> None:
    problems = [{"row": 4, "problem": HOSTILE}]
    page = page_of({"image": images(problem_count=12, problems=problems)})
    assert "with a problem, of which the first 1:" in page
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


def test_texts_are_shown_by_length_and_escaped() -> None:
    texts = [
        {"row": 9, "group": "shortest", "value": 1, "text": "x"},
        {"row": 2, "group": "longest", "value": 900, "text": HOSTILE},
    ]
    page = page_of({HOSTILE: {"texts": texts, "problem_count": 0, "problems": []}})
    assert page.index("Shortest") < page.index("Longest")
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2


def test_an_image_column_without_pictures_shows_its_problems_alone() -> None:
    page = page_of({"odd": {"file": None, "cells": [], "note": "", "problem_count": 0, "problems": []}})
    assert 'id="media"' in page
    assert "<svg viewBox" not in page.partition('id="media"')[2].partition("</section>")[0]


def test_a_version_without_images_and_texts_has_no_such_section() -> None:
    assert 'id="media"' not in page_of({})
