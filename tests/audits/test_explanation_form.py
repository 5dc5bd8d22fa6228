"""The form that asks for an explanation takes all that REST takes, in words that people write."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audits.api.explanations import ExplanationBody
from audits.engine.measures import MEASURES
from audits.models import Explanation
from audits.views.explanation_form import body_of, form_fields
from governance.exceptions import InvalidInput
from tests import factories

HOSTILE = '"><script>alert(1)</script>'


def test_every_field_of_the_api_has_a_place_and_every_measure_a_bound() -> None:
    fields, further, bounds = form_fields({})

    assert {field.name for field in (*fields, *further)} == set(ExplanationBody().fields) - {"bounds"}
    assert [field.name for field in bounds] == [f"bounds.{name}" for name in MEASURES]


def test_a_field_has_the_limits_the_default_and_the_help_of_the_api() -> None:
    fields = {field.name: field for field in form_fields({"tolerance": "0.02"})[0]}

    tolerance = fields["tolerance"]
    assert (tolerance.kind, tolerance.value, tolerance.minimum, tolerance.maximum) == ("number", "0.02", 0.001, 1)
    assert "Two standard errors" in tolerance.help
    assert [key for key, _ in fields["background_method"].choices] == ["", "sample", "clusters", "rows"]
    assert fields["scale"].value == "logits"
    assert fields["model"].is_required


def test_a_bound_says_its_side_its_default_and_what_to_do() -> None:
    helps = {field.name: field.help for field in form_fields({})[2]}

    assert helps["bounds.faithfulness"].startswith("At least; by default 0.2")
    assert "At most; none by default" in helps["bounds.complexity"]
    assert MEASURES["agreement"].advice in helps["bounds.agreement"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"rows": "5, 8 13"}, {"rows": [5, 8, 13]}),
        ({"rows": "5"}, {"rows": 5}),
        ({"outputs": "3"}, {"outputs": [3]}),
        ({"slice": "region = north"}, {"slice": {"column": "region", "value": "north"}}),
        ({"slice": "age=41"}, {"slice": {"column": "age", "value": 41}}),
        ({"slice": 'code = "41"'}, {"slice": {"column": "code", "value": "41"}}),
        ({"slice": "paid = true"}, {"slice": {"column": "paid", "value": True}}),
        ({"slice": "a = [1"}, {"slice": {"column": "a", "value": "[1"}}),
        ({"groups": "job: a, b; city: c"}, {"groups": {"job": ["a", "b"], "city": ["c"]}}),
        ({"bounds.agreement": "0.1", "bounds.other": "1"}, {"bounds": {"agreement": "0.1"}}),
        ({"patch": " ", "next": "/x", "csrfmiddlewaretoken": "t"}, {}),
    ],
)
def test_what_is_written_is_read_as_json_has_it(written: dict[str, str], read: dict[str, Any]) -> None:
    assert body_of(written) == read


@pytest.mark.parametrize(
    "written", [{"slice": "north"}, {"slice": "= 3"}, {"slice": "a ="}, {"groups": "a, b"}, {"groups": "a: b,,c"}]
)
def test_what_cannot_be_read_is_told_with_an_example(written: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        body_of(written)


# ------------------------------------------------------------------------------------------------------------ page
@pytest.fixture
def browser(client: Client, dave) -> Client:
    client.force_login(dave)
    return client


def ask(browser: Client, **written: str) -> str:
    dataset = factories.DatasetVersionFactory()
    version = factories.ModelVersionFactory(training_data=dataset)
    form = {"next": reverse("explanation-request"), "model": version.ref, "dataset": dataset.ref}
    return browser.post(reverse("explanation-ask"), {**form, **written}, follow=True).content.decode()


@pytest.mark.django_db
def test_the_further_choices_are_sent(browser: Client) -> None:
    column = next(iter(factories.DatasetVersionFactory().schema["columns"]))

    ask(
        browser,
        scale="probabilities",
        background_method="clusters",
        slice=f"{column} = 3",
        **{"bounds.error_estimate": "0.01"},
    )

    parameters = Explanation.objects.get().parameters
    assert (parameters["scale"], parameters["background_method"]) == ("probabilities", "clusters")
    assert parameters["slice"] == {"column": column, "value": 3}
    assert parameters["bounds"]["error_estimate"] == 0.01


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"slice": "north"}, "Write it as region = north."),
        ({"slice": "nothing = 1"}, "cannot be cut so"),
        ({"bounds.agreement": "9"}, "may be stricter, not looser"),
        ({"bounds.agreement": "much"}, "A valid number is required"),
        ({"scale": "degrees"}, "is not a valid choice"),
        ({"patch": "0"}, "greater than or equal to 1"),
        ({"slice": HOSTILE}, "cannot be read"),
    ],
)
def test_a_wrong_choice_comes_back_as_a_message(browser: Client, written: dict[str, str], said: str) -> None:
    page = ask(browser, **written)

    assert said in page
    assert "<script>alert" not in page
    assert not Explanation.objects.exists()


@pytest.mark.django_db
def test_what_stands_in_the_address_stands_in_the_form_as_text(browser: Client) -> None:
    page = browser.get(reverse("explanation-request"), {"slice": HOSTILE, "method": "partition"}).content.decode()

    assert "<script>alert" not in page
    assert '<option value="partition" selected>' in page
    assert 'aria-describedby="ask-slice-help"' in page
