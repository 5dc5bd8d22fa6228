"""More rows of an explanation: the same in everything but the rows, which are others."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import User

from audits.models import Explanation
from audits.services import explanations
from governance.exceptions import InvalidInput, NotAllowed
from governance.models import DatasetVersion, Event, JobState, ModelVersion
from tests.factories import SCHEMA, DatasetVersionFactory, ModelVersionFactory

pytestmark = pytest.mark.usefixtures("open_gates")


@pytest.fixture
def dataset(alice: User) -> DatasetVersion:
    return DatasetVersionFactory()


@pytest.fixture
def version(alice: User) -> ModelVersion:
    return ModelVersionFactory(training_data=DatasetVersionFactory())


@pytest.fixture
def first(version: ModelVersion, dataset: DatasetVersion, dave: User) -> Explanation:
    return explanations.request_explanation(
        version=version,
        dataset=dataset,
        rows=10,
        method="exact",
        scale="probabilities",
        bounds={"stability": 0.1},
        seed=5,
        by=dave,
    )


def more(explanation: Explanation, rows: Any, by: User) -> Explanation:
    return explanations.request_more_rows(explanation=explanation, rows=rows, by=by)


def test_everything_but_the_rows_stays(first: Explanation, alice: User) -> None:
    second = more(first, 7, alice)

    changed = {name for name, value in second.parameters.items() if first.parameters.get(name) != value}
    assert changed == {"rows", "earlier"}
    assert (second.version, second.dataset, second.background) == (first.version, first.dataset, first.background)
    assert second.extends == first
    assert second.job.spec["parameters"]["earlier"] == {"drawn": 10, "named": []}
    assert second.job.spec["seed"] == first.job.spec["seed"] == 5
    assert Event.objects.filter(name="explanation.requested").latest("sequence").detail["extends"] == first.pk


def test_rows_go_on_over_the_whole_family_whichever_of_it_is_asked(first: Explanation, dave: User) -> None:
    second = more(first, 7, dave)
    named = more(second, [3, 1], dave)
    last = more(first, 5, dave)

    assert {second.extends, named.extends, last.extends} == {first}
    assert named.parameters["earlier"] == {"drawn": 17, "named": []}
    assert last.parameters["earlier"] == {"drawn": 17, "named": [1, 3]}


def test_rows_of_a_job_that_failed_can_be_had_again_but_not_twice(first: Explanation, dave: User) -> None:
    lost = more(first, 7, dave)
    kept = more(first, 5, dave)
    lost.job.state = JobState.FAILED
    lost.job.save()

    assert kept.parameters["earlier"]["drawn"] == 17
    assert more(first, 2, dave).parameters["earlier"]["drawn"] == 22
    for explanation in (first, kept):
        explanation.job.state = JobState.FAILED
        explanation.job.save()
    assert more(first, 2, dave).parameters["earlier"]["drawn"] == 24


def test_bob_explains_nothing(first: Explanation, bob: User) -> None:
    with pytest.raises(NotAllowed):
        more(first, 5, bob)


def test_slices_and_groups_name_columns_of_the_data_set(
    version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    ask = {"version": version, "dataset": dataset, "by": dave}
    part = {"column": "repaid", "value": "yes"}
    explanation = explanations.request_explanation(slice=part, groups={"money": ["age", "income"]}, **ask)
    assert explanation.parameters["slice"] == part
    assert explanation.parameters["groups"] == {"money": ["age", "income"]}
    assert set(SCHEMA["columns"]) >= {"age", "income"}

    with pytest.raises(InvalidInput) as refusal:
        explanations.request_explanation(slice={"column": "region", "value": 1}, groups={"m": ["wage"]}, **ask)
    assert [error["place"] for error in refusal.value.errors] == ["slice", "groups.m"]


@pytest.mark.parametrize(("rows", "method"), [([1, 2], "clusters"), ([1, 2], "sample"), (30, "rows")])
def test_a_background_is_named_or_chosen(
    rows: Any, method: str, version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    with pytest.raises(InvalidInput, match="background_rows"):
        explanations.request_explanation(
            version=version, dataset=dataset, background_rows=rows, background_method=method, by=dave
        )


def test_named_background_rows_need_no_method(version: ModelVersion, dataset: DatasetVersion, dave: User) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, background_rows=[4, 2], by=dave)
    assert explanation.parameters["background_method"] == "rows"
