"""The columns of a version: in pieces where they are many, and one at a time."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.urls import reverse

from governance.models import DatasetVersion
from tests import factories, page_factories
from validators.charts import column_spec
from workers.charts import draw

pytestmark = pytest.mark.django_db

BINS = [{"low": float(n), "high": n + 1.0, "count": 10 * (n + 1)} for n in range(4)]
NUMBERS = {"missing": 3, "distinct": 40, "lowest": 0.0, "highest": 4.0, "median": 2.5, "mean": 2.4, "histogram": BINS,
           "quantiles": [{"share": 0.05, "value": 0.2}]}  # fmt: skip
WORDS = {
    "missing": 0, "distinct": 2, "most_frequent": "yes", "most_frequent_share": 0.75,
    "values": [{"value": "yes", "count": 75}, {"value": "<no>", "count": 25}],
}  # fmt: skip
HOSTILE = 'a "name"\n<b>; DROP TABLE'


@pytest.fixture
def browser(client: Client, dave) -> Client:
    client.force_login(dave)
    return client


def wide(count: int) -> DatasetVersion:
    columns = {f"sensor_{n}": {"role": "feature", "type": "float"} for n in range(count)}
    return factories.DatasetVersionFactory(
        schema={"modality": "tabular", "columns": columns}, profile=dict.fromkeys(columns, NUMBERS)
    )


def version_page(browser: Client, version: DatasetVersion, query: str = "") -> str:
    response = browser.get(reverse("dataset-version", args=[version.dataset.name, version.number]) + query)
    assert response.status_code == 200
    return response.content.decode()


def column_page(browser: Client, version: DatasetVersion, place: int, *, status: int = 200) -> str:
    response = browser.get(reverse("column", args=[version.dataset.name, version.number, place]))
    assert response.status_code == status
    return response.content.decode()


def test_a_thousand_columns_come_in_pieces_and_one_is_found_by_its_name(browser: Client) -> None:
    version = wide(1_000)

    first, third = version_page(browser, version), version_page(browser, version, "?columns=3")
    found, none = version_page(browser, version, "?find=SENSOR_77"), version_page(browser, version, "?find=lost")

    assert first.count('class="mid"') == third.count('class="mid"') == 100
    assert ">sensor_0<" in first
    assert ">sensor_200<" in third
    assert "201 to 300 of 1,000" in third
    assert found.count('class="mid"') == 11
    assert "No column has “lost” in its name." in none


def test_few_columns_have_no_pieces(browser: Client) -> None:
    assert "Find a column" not in version_page(browser, wide(3))


def test_a_column_shows_how_it_is_spread_against_what_it_was_made_from(browser: Client) -> None:
    origin = factories.DatasetVersionFactory(profile={"age": {**NUMBERS, "median": 99.0}})
    version = factories.DatasetVersionFactory(
        dataset=origin.dataset, number=origin.number + 1, cleaned_from=origin, profile={"age": NUMBERS}
    )

    page = column_page(browser, version, list(version.schema["columns"]).index("age"))

    assert '<svg xmlns="http://www.w3.org/2000/svg" class="chart"' in page
    assert f"ochre is {origin.ref}" in page
    row = page[page.index("median") :]
    assert row.index("2.5") < row.index("99")


def test_a_column_shows_the_rules_about_it_and_the_rows_that_fail_them(browser: Client) -> None:
    version = factories.DatasetVersionFactory(profile=page_factories.PROFILE)
    page_factories.validation(version)
    names = list(version.schema["columns"])

    age, income = (column_page(browser, version, names.index(name)) for name in ("age", "income"))

    assert "Values of age are between 18 and 100." in age
    assert "Values of age are between 18 and 100." not in income


def test_a_name_may_be_anything(browser: Client) -> None:
    schema = {"modality": "tabular", "columns": {HOSTILE: {"role": "feature", "type": "string"}}}
    version = factories.DatasetVersionFactory(schema=schema, profile={HOSTILE: WORDS})

    page = column_page(browser, version, 0)

    assert "a &quot;name&quot;\n&lt;b&gt;; DROP TABLE" in page
    assert "<b>; DROP" not in page
    assert "&lt;no&gt;" in page


def test_a_column_that_is_not_there_says_how_many_there_are(browser: Client) -> None:
    assert "has 3\N{NO-BREAK SPACE}columns; there is no column 3, counted from 0" in column_page(
        browser, wide(3), 3, status=404
    )


def test_the_chart_is_handed_out_as_vega_lite(browser: Client) -> None:
    version = factories.DatasetVersionFactory(profile={"age": NUMBERS})
    place = list(version.schema["columns"]).index("age")

    response = browser.get(reverse("column-chart", args=[version.dataset.name, version.number, place]))
    missing = browser.get(reverse("column-chart", args=[version.dataset.name, version.number, place + 1]))

    spec = json.loads(response.content)
    assert spec["$schema"].endswith("/vega-lite/v6.json")
    assert spec["layer"][0]["data"]["values"][3] == {"low": 3.0, "high": 4.0, "share": 0.4, "count": 40}
    assert missing.status_code == 404


def test_bins_of_another_width_are_drawn_as_high_as_they_would_be_in_this_one() -> None:
    coarse = [{"low": 0.0, "high": 2.0, "count": 50}, {"low": 2.0, "high": 4.0, "count": 50}]

    spec = column_spec({"histogram": BINS}, other={"histogram": coarse})

    assert spec is not None
    outline = spec["layer"][1]["data"]["values"]
    assert [point["share"] for point in outline] == [0, 0.25, 0.25, 0]


@pytest.mark.parametrize("other", [None, NUMBERS, WORDS])
@pytest.mark.parametrize("profile", [NUMBERS, WORDS])
def test_every_chart_can_be_drawn(profile: dict, other: dict | None) -> None:
    spec = column_spec(profile, other=other)

    assert spec is not None
    assert draw({**spec, "description": "A column."}).startswith("<svg")


def test_a_column_of_arrays_has_no_chart() -> None:
    assert column_spec({"missing": 0, "shape": [8, 8], "lowest": 0, "highest": 16, "mean": 4.9}) is None
