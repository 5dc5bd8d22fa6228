"""The policy bounds explanations: locked when asked for, held against the result, and asked again when cited."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from django.contrib.auth.models import User

from audits import gates, results
from audits.engine.explainers import BUILT_IN
from audits.engine.measures import SAMPLED_ADDITIVITY, Bounds
from audits.engine.methods import METHODS
from audits.models import Explanation
from audits.services import explanations
from audits.services.audits import lock_criteria
from governance.exceptions import InvalidInput, RefusedResult
from governance.models import DatasetVersion, Event, ModelVersion, Policy, ReviewState
from governance.services import policies, reviews
from tests import page_factories
from tests.audits.explanation_results import admitted_result, measure
from tests.factories import DatasetVersionFactory, ModelVersionFactory, PolicyFactory

pytestmark = pytest.mark.usefixtures("open_gates")

STRICT = {"stability": 0.01, "faithfulness": 0.8}


@pytest.fixture
def version(alice: User) -> ModelVersion:
    return ModelVersionFactory(training_data=DatasetVersionFactory())


@pytest.fixture
def dataset(alice: User) -> DatasetVersion:
    return DatasetVersionFactory()


@pytest.fixture
def strict(erin: User) -> Policy:
    return policies.create_policy(document=document(STRICT), by=erin)


def document(bounds: dict[str, Any]) -> dict[str, Any]:
    return {"name": "strict", "tier": "medium", "checks": {"EXP-01": {}}, "explanations": {"bounds": bounds}}


def ended(explanation: Explanation, value: dict[str, Any]) -> Explanation:
    jsonschema.validate(value, results.EXPLANATION)
    explanations.record_explanation(explanation.job, value, {})
    explanation.refresh_from_db()
    return explanation


def test_the_bounds_of_the_tiers_policy_are_locked_with_the_request(
    version: ModelVersion, dataset: DatasetVersion, strict: Policy, dave: User
) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, by=dave)

    assert explanation.parameters["bounds"] == {**Bounds().to_json(), **STRICT}
    assert explanation.job.spec["parameters"]["bounds"] == explanation.parameters["bounds"]
    assert explanation.parameters["policy"] == strict.ref


def test_without_a_policy_of_its_own_the_defaults_hold(dataset: DatasetVersion, dave: User) -> None:
    explanation = explanations.request_explanation(version=ModelVersionFactory(), dataset=dataset, by=dave)

    assert explanation.parameters["bounds"] == Bounds().to_json()


def test_a_request_may_be_stricter_and_not_looser(
    version: ModelVersion, dataset: DatasetVersion, strict: Policy, dave: User
) -> None:
    ask = {"version": version, "dataset": dataset, "by": dave}
    explanation = explanations.request_explanation(bounds={"stability": 0.005, "complexity": 4.0}, **ask)
    assert explanation.parameters["bounds"]["stability"] == 0.005
    assert explanation.parameters["bounds"]["complexity"] == 4.0

    for bounds in ({"stability": 0.02}, {"faithfulness": 0.5}, {"stability": None}):
        with pytest.raises(InvalidInput, match="stricter, not looser") as refusal:
            explanations.request_explanation(bounds=bounds, **ask)
        assert refusal.value.errors[0]["place"] == f"bounds.{next(iter(bounds))}"


def test_a_policy_that_bounds_what_is_no_measure_is_told(
    version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    odd = PolicyFactory(document=document({"trust": 1.0}))

    with pytest.raises(InvalidInput, match=f"{odd.ref} cannot be explained against: There is no measure 'trust'"):
        explanations.request_explanation(version=version, dataset=dataset, by=dave)
    with pytest.raises(InvalidInput, match="'trust'"):
        lock_criteria(odd)


@pytest.mark.parametrize("bounds", [{"stability": -1}, {"stability": "low"}, {"stability": None}, [0.1]])
def test_a_policy_takes_numbers_from_0_as_bounds(bounds: Any, erin: User) -> None:
    with pytest.raises(InvalidInput, match="not valid"):
        policies.create_policy(document=document(bounds), by=erin)


def test_explanations_within_an_audit_keep_to_the_same_bounds_unless_the_check_says_otherwise(strict: Policy) -> None:
    parameters = lock_criteria(strict)["checks"]["EXP-01"]["parameters"]
    assert {name: parameters[name] for name in STRICT} == STRICT
    own = {"EXP-01": {"parameters": {"stability": 0.3}}}
    other = PolicyFactory(document={**document(STRICT), "checks": own})
    assert lock_criteria(other)["checks"]["EXP-01"]["parameters"]["stability"] == 0.3


def test_a_result_within_the_bounds_is_kept(version: ModelVersion, dataset: DatasetVersion, dave: User) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, by=dave)

    assert ended(explanation, admitted_result()).admitted is True
    assert gates.explanation_problem(explanation) is None


@pytest.mark.parametrize("values", [{"stability": 0.3}, {"faithfulness": 0.1}, {"agreement": None}])
def test_a_child_that_admits_what_its_measures_do_not_is_refused(
    values: dict[str, Any], version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, by=dave)

    with pytest.raises(RefusedResult, match="outside its bounds"):
        ended(explanation, admitted_result(**values))


def test_a_child_that_leaves_a_measure_out_is_refused_and_one_with_nothing_to_measure_is_not(
    version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, by=dave)
    value = admitted_result()
    value["summary"]["measures"] = [entry for entry in value["summary"]["measures"] if entry["name"] != "stability"]
    with pytest.raises(RefusedResult, match="It was not taken"):
        ended(explanation, value)

    value["summary"]["measures"].append(measure("stability", None, applicable=False))
    assert ended(explanation, value).admitted is True


@pytest.mark.parametrize(("method", "is_kept"), [("expected_gradients", True), ("permutation", False)])
def test_what_adds_up_within_its_error_only_is_held_against_the_looser_bound(
    method: str, is_kept: bool, version: ModelVersion, dataset: DatasetVersion, dave: User
) -> None:
    explanation = explanations.request_explanation(version=version, dataset=dataset, method=method, by=dave)
    value = admitted_result(additivity_residual=SAMPLED_ADDITIVITY / 2)
    if is_kept:
        assert ended(explanation, value).admitted
    else:
        with pytest.raises(RefusedResult):
            ended(explanation, value)


def test_the_words_about_methods_are_true_of_the_methods() -> None:
    assert set(BUILT_IN) <= set(METHODS)
    for name, explainer in BUILT_IN.items():
        assert METHODS[name].is_additive is explainer.is_additive
        is_shapley = explainer.estimand == "interventional Shapley values"
        assert METHODS[name].estimates.startswith("Shapley values") is is_shapley
        assert bool(METHODS[name].caution) is not is_shapley


def cite(explanation: Explanation, by: User) -> Any:
    evidence = [f"explanation:{explanation.pk}"]
    return reviews.request_review(version=explanation.version, alias="champion", evidence=evidence, by=by)


def test_an_admitted_explanation_is_cited(alice: User) -> None:
    assert cite(page_factories.explanation(), alice).state == ReviewState.OPEN


def test_what_is_not_admitted_is_not_cited_and_the_reason_says_what_to_do(alice: User) -> None:
    explanation = page_factories.explanation()
    Explanation.objects.update(
        admitted=False, reasons=["Stability: 0.3, above the bound of 0.2. Use coarser features."]
    )
    with pytest.raises(
        InvalidInput, match=r"cannot be cited: Explanation \d+ is not admitted: .* Use coarser features"
    ):
        cite(explanation, alice)
    assert not Event.objects.filter(name="review.requested").exists()


def test_a_newer_policy_is_asked_when_an_explanation_is_cited(alice: User, erin: User) -> None:
    explanation = page_factories.explanation()
    explanation.summary["measures"] = admitted_result(stability=0.15)["summary"]["measures"]
    explanation.save()
    assert gates.explanation_problem(explanation) is None

    policy = policies.create_policy(document=document({"stability": 0.1}), by=erin)
    with pytest.raises(InvalidInput, match=f"Under {policy.ref} explanation .* 0.15, above the bound of 0.1"):
        cite(explanation, alice)


def test_an_approval_that_rests_on_an_explanation_is_void_when_the_policy_becomes_stricter(
    alice: User, bob: User, erin: User
) -> None:
    explanation = page_factories.explanation()
    review = cite(explanation, alice)
    reviews.decide(review=review, outcome="approve", comment="Read.", by=bob)
    review.refresh_from_db()
    assert reviews.recheck(review).state == ReviewState.APPROVED

    policies.create_policy(document=document({"faithfulness": 0.5}), by=erin)
    voided = reviews.recheck(review)
    assert voided.state == ReviewState.VOID
    assert "Faithfulness, mean of the rows: could not be measured. It was not taken" in voided.voided_because
