"""``explanations/``: every choice over REST, more rows, comments, comparisons, and what may not be cited."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from audits.models import Explanation, ExplanationComment
from audits.services import explanations
from governance.models import DatasetVersion, Event, ModelVersion
from tests import factories, page_factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]

ADDRESS = "/api/v1/explanations/"


@pytest.fixture
def dataset(alice) -> DatasetVersion:
    return factories.DatasetVersionFactory()


@pytest.fixture
def version(alice, dataset) -> ModelVersion:
    return factories.ModelVersionFactory(training_data=dataset)


@pytest.fixture
def explanation(version, dataset) -> Explanation:
    return page_factories.explanation(version=version, dataset=dataset)


def ask(client, version, dataset, **body: Any):
    return client.post(ADDRESS, {"model": version.ref, "dataset": dataset.ref, **body}, format="json")


def test_every_choice_is_taken(alice_api, version, dataset):
    choices = {
        "method": "partition",
        "rows": 100_000,
        "slice": {"column": "repaid", "value": "yes"},
        "outputs": [1],
        "scale": "probabilities",
        "tolerance": 0.02,
        "background_rows": 64,
        "background_method": "clusters",
        "groups": {"money": ["age", "income"]},
        "patch": 4,
        "memory_bytes": 64 * 1024**2,
        "maximum_coalitions": 256,
        "maximum_sweeps": 4,
        "seed": 9,
    }
    response = ask(alice_api, version, dataset, bounds={"stability": 0.1}, **choices)

    assert response.status_code == 202
    parameters = response.json()["parameters"]
    assert {name: parameters[name] for name in choices} == choices
    assert parameters["bounds"]["stability"] == 0.1


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"method": "lime"}, "method"),
        ({"rows": 100_001}, "rows"),
        ({"rows": []}, "rows"),
        ({"slice": {"column": "repaid"}}, "slice.value"),
        ({"slice": {"column": "repaid", "value": None}}, "slice.value"),
        ({"slice": {"column": "region", "value": 1}}, "slice"),
        ({"scale": "odds"}, "scale"),
        ({"outputs": "best"}, "outputs"),
        ({"background_rows": 0}, "background_rows"),
        ({"background_rows": [1], "background_method": "clusters"}, "background_rows"),
        ({"background_method": "mean"}, "background_method"),
        ({"groups": {"money": []}}, "groups.money"),
        ({"groups": {"money": ["wage"]}}, "groups.money"),
        ({"patch": 0}, "patch"),
        ({"memory_bytes": 1}, "memory_bytes"),
        ({"method": "kernel", "maximum_coalitions": 1}, "maximum_coalitions"),
        ({"method": "kernel", "maximum_coalitions": 16_385}, "maximum_coalitions"),
        ({"method": "kernel", "maximum_sweeps": 4}, "maximum_sweeps"),
        ({"maximum_coalitions": 64}, "maximum_coalitions"),
        ({"maximum_sweeps": 257}, "maximum_sweeps"),
        ({"method": "exact", "maximum_sweeps": 4}, "maximum_sweeps"),
        ({"bounds": {"stability": 0.9}}, "bounds.stability"),
        ({"bounds": {"trust": 0.9}}, "bounds.trust"),
        ({"bound": {}}, "bound"),
    ],
)
def test_what_cannot_be_asked_for_names_the_field(body, place, alice_api, version, dataset):
    response = ask(alice_api, version, dataset, **body)

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"].startswith(place)
    assert not Explanation.objects.exists()


def test_more_rows_are_another_explanation_that_extends_the_first(dave_api, explanation):
    response = dave_api.post(f"{ADDRESS}{explanation.pk}/more/", {"rows": 20}, format="json")

    assert response.status_code == 202
    made = response.json()
    assert made["extends"] == explanation.pk
    assert response["Location"] == f"{ADDRESS}{made['id']}/"
    assert made["parameters"]["earlier"] == {"drawn": 3, "named": []}
    assert dave_api.post(f"{ADDRESS}{explanation.pk}/more/", {}, format="json").status_code == 422


def test_more_rows_with_the_same_key_are_asked_for_once(dave_api, explanation):
    for _ in range(2):
        response = dave_api.post(
            f"{ADDRESS}{explanation.pk}/more/", {"rows": 20}, format="json", headers={"Idempotency-Key": "one"}
        )
        assert response.status_code == 202
    assert Explanation.objects.filter(extends=explanation).count() == 1


def test_people_talk_about_an_explanation_a_row_and_a_chart(alice_api, dave_api, explanation):
    address = f"{ADDRESS}{explanation.pk}/comments/"
    for client, body in (
        (alice_api, {"text": "We know this one.", "anchor": {"row": 18}}),
        (dave_api, {"text": "Why only one feature?", "anchor": {"chart": "importance"}}),
        (dave_api, {"text": "Read."}),
    ):
        response = client.post(address, body, format="json")
        assert response.status_code == 201
        assert response.json()["anchor"] == body.get("anchor")

    listed = alice_api.get(address).json()["results"]
    assert [(entry["by"], entry["anchor"]) for entry in listed] == [
        ("dave", None),
        ("dave", {"chart": "importance"}),
        ("alice", {"row": 18}),
    ]
    assert Event.objects.filter(name="explanation.commented").count() == 3


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ({"text": " \n"}, "text"),
        ({"text": "x", "anchor": {"row": -1}}, "anchor.row"),
        ({"text": "x", "anchor": {"row": 40}}, "anchor.row"),
        ({"text": "x", "anchor": {"row": 2**63}}, "anchor.row"),
        ({"text": "x", "anchor": {"chart": "nothing"}}, "anchor.chart"),
        ({"text": "x", "anchor": {"row": 1, "chart": "importance"}}, "anchor"),
        ({"text": "x", "anchor": {"feature": "age"}}, "anchor"),
        ({"text": "x", "anchor": "row 3"}, "anchor"),
    ],
)
def test_comments_on_what_is_not_there_are_refused(body, place, dave_api, explanation):
    response = dave_api.post(f"{ADDRESS}{explanation.pk}/comments/", body, format="json")

    assert response.status_code == 422
    assert response.json()["errors"][0]["place"].startswith(place)
    assert not ExplanationComment.objects.exists()


def test_many_comments_take_as_many_queries_as_one(dave, dave_api, explanation):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert dave_api.get(f"{ADDRESS}{explanation.pk}/comments/").status_code == 200
        return len(captured)

    explanations.comment_on_explanation(explanation=explanation, text="One.", by=dave)
    queries()  # the first request of a client reads more
    few = queries()
    for name in ("alice", "bob", "erin"):
        explanations.comment_on_explanation(
            explanation=explanation, text="More.", by=factories.person(name, "engineers")
        )
    assert queries() == few


def test_what_is_not_admitted_cannot_be_cited_over_rest(alice_api, explanation):
    body = {"model": explanation.version.ref, "alias": "champion", "evidence": [f"explanation:{explanation.pk}"]}
    Explanation.objects.update(
        admitted=False, reasons=["Stability: 0.3, above the bound of 0.2. Use coarser features."]
    )

    refused = alice_api.post("/api/v1/reviews/", body, format="json")
    assert refused.status_code == 422
    assert "is not admitted: Stability: 0.3, above the bound of 0.2. Use coarser features." in refused.json()["detail"]

    Explanation.objects.update(admitted=True, reasons=[])
    assert alice_api.post("/api/v1/reviews/", body, format="json").status_code == 201


def test_a_policy_bounds_explanations_over_rest(erin_api, alice_api, version, dataset):
    policy = {"name": "firm", "tier": "medium", "checks": {"ART-01": {}}}
    bounded = {**policy, "explanations": {"bounds": {"background_sensitivity": 0.2}}}
    response = erin_api.post("/api/v1/policies/", bounded, format="json")
    assert (response.status_code, response.json()["explanations"]) == (201, {"bounds": {"background_sensitivity": 0.2}})
    assert ask(alice_api, version, dataset).json()["parameters"]["bounds"]["background_sensitivity"] == 0.2

    for wrong in ({"bounds": {"stability": -1}}, {"bounds": {"stability": "low"}}, {"bound": {}}, [0.2]):
        response = erin_api.post("/api/v1/policies/", {**policy, "explanations": wrong}, format="json")
        assert response.status_code == 422
        assert response.json()["errors"][0]["place"].startswith("explanations")


def attributions(shift: float, *, features: tuple[str, ...] = ("age", "income")) -> str:
    """Store the arrays of an explanation of 30 rows, whose values of income are larger by a shift."""
    values = np.random.default_rng(0).normal(size=(30, len(features), 1))
    values[:, 1] = 1.0 + shift
    content = io.BytesIO()
    np.savez(
        content,
        values=values,
        errors=np.full_like(values, 0.01),
        base_values=np.zeros((30, 1)),
        data=values[..., 0],
        row_numbers=np.arange(30),
        output_numbers=np.zeros((30, 1), dtype=np.int64),
        feature_names=np.array(features),
        output_names=np.array(["yes"]),
    )
    return page_factories.stored(content.getvalue()).digest


def with_values(explanation: Explanation, digest: str) -> Explanation:
    explanation.files = {**explanation.files, "attributions.npz": digest}
    explanation.save()
    return explanation


def test_two_versions_are_compared_on_the_same_rows(bob_api, explanation, dataset):
    with_values(explanation, attributions(0.0))
    second = with_values(
        page_factories.explanation(version=factories.ModelVersionFactory(), dataset=dataset), attributions(0.5)
    )
    response = bob_api.get(f"{ADDRESS}compare/", {"first": explanation.pk, "second": second.pk})

    assert response.status_code == 200
    found = response.json()
    assert (found["first"], found["second"], found["rows"], found["output"]) == (explanation.pk, second.pk, 30, "yes")
    moved, same = found["features"]
    assert (moved["feature"], moved["is_beyond_error"], same["is_beyond_error"]) == ("income", True, False)
    assert moved["change"] == pytest.approx(0.5)
    assert moved["low"] < 0.5 < moved["high"]
    assert len(found["largest_rows"]) > 0


def test_what_cannot_be_compared_says_why(bob_api, explanation):
    with_values(explanation, attributions(0.0))
    other = with_values(page_factories.explanation(), attributions(0.0))
    address = f"{ADDRESS}compare/"

    refused = bob_api.get(address, {"first": explanation.pk, "second": other.pk})
    assert refused.status_code == 409
    assert any("other data" in reason for reason in refused.json()["reasons"])
    assert bob_api.get(address, {"first": explanation.pk}).status_code == 422
    assert bob_api.get(address, {"first": "one", "second": other.pk}).status_code == 422
    assert bob_api.get(address, {"first": explanation.pk, "second": 10**9}).status_code == 404


@pytest.mark.parametrize("format", ["html", "csv", "json", "npz"])
def test_an_export_of_what_is_not_explained_is_refused_before_it_begins(format, bob_api, explanation):
    response = bob_api.get(f"{ADDRESS}{explanation.pk}/export/", {"format": format, "output": "added"})

    assert response.status_code == 404
    assert "no explained output 'added'" in response.json()["detail"]
