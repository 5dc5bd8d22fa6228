"""The kernel estimator: exact when all coalitions are drawn, honest about its error before, and never selective."""

from __future__ import annotations

import math

import numpy as np
import pytest

from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.kernel import MAXIMUM_FEATURES, KernelExplainer, KernelParameters
from audits.engine.explainers.kernel_design import LISTED, Design, Sampler
from tests.audits.engine.explained import curved_model, linear_model
from tests.audits.engine.test_explainers import explain
from workers.protocol import JobError


def kernel(**settings: object) -> KernelExplainer:
    return KernelExplainer(KernelParameters(**settings))  # type: ignore[arg-type]


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("features", [1, 2, 3, 4, 7])
def test_with_few_features_all_coalitions_are_taken_and_the_values_are_exact(
    features: int, generator: np.random.Generator
) -> None:
    model = curved_model(features)
    rows, background = generator.normal(size=(3, features)), generator.normal(size=(5, features))
    answer = explain(kernel(tolerance=100.0), model, rows, background)
    np.testing.assert_allclose(answer.values, explain(ExactExplainer(), model, rows, background).values, atol=1e-12)
    assert answer.errors.max() == 0
    assert (answer.evaluations == (2**features - 2) * 5 + 1).all()


def test_more_features_go_on_to_all_coalitions_when_nothing_less_is_good_enough(generator: np.random.Generator) -> None:
    model = curved_model(9)
    rows, background = generator.normal(size=(2, 9)), generator.normal(size=(4, 9))
    answer = explain(kernel(tolerance=0), model, rows, background)
    np.testing.assert_allclose(answer.values, explain(ExactExplainer(), model, rows, background).values, atol=1e-12)
    assert answer.errors.max() == 0


def test_a_linear_model_is_known_from_the_first_sample(generator: np.random.Generator) -> None:
    """No value is selected or shrunk: with forty features, all of them small but one, each is what it is."""
    weights = np.full((40, 1), 0.01)
    weights[3] = 5.0
    rows, background = generator.normal(size=(2, 40)), generator.normal(size=(3, 40))
    answer = explain(kernel(), linear_model(weights, np.zeros(1)), rows, background)
    expected = (rows - background.mean(axis=0))[:, :, None] * weights
    np.testing.assert_allclose(answer.values, expected, atol=1e-12)
    assert answer.evaluations[0] == 2 * 20 * 8 * 3 + 1


def test_values_add_up_to_the_score_whatever_the_error(generator: np.random.Generator) -> None:
    model = curved_model(14)
    rows, background = generator.normal(size=(3, 14)), generator.normal(size=(6, 14))
    answer = explain(kernel(tolerance=100.0), model, rows, background)
    assert answer.errors.max() > 1e-2, "an estimate without error would show nothing"
    np.testing.assert_allclose(answer.scores, model.logits({"features": rows}), atol=1e-10)


def test_rows_stop_one_by_one_and_a_row_that_does_not_settle_keeps_its_error(generator: np.random.Generator) -> None:
    model = curved_model(12)
    background = generator.normal(size=(5, 12))
    near = background.mean(axis=0) + 0.01 * generator.normal(size=12)
    rows = np.stack([near, *generator.normal(size=(8, 12))])
    answer = explain(kernel(tolerance=0.1), model, rows, background)
    assert len(set(answer.evaluations.tolist())) > 1
    bounded = explain(kernel(tolerance=0.0, maximum_coalitions=200), model, rows, background)
    assert (bounded.evaluations <= 200 * 5 + 1).all()
    assert (bounded.relative_errors() > 0).all()


def test_a_row_is_explained_alike_alone_and_among_others(generator: np.random.Generator) -> None:
    model = linear_model(np.zeros((10, 1)), np.zeros(1))
    model.function = lambda _, inputs: np.tanh(inputs["features"]).cumprod(axis=1).sum(axis=1, keepdims=True)
    rows, background = generator.normal(size=(20, 10)), generator.normal(size=(6, 10))
    together = explain(kernel(tolerance=0.05), model, rows, background)
    alone = explain(kernel(tolerance=0.05), model, rows[17:18], background)
    np.testing.assert_allclose(alone.values[0], together.values[17], rtol=1e-10)
    assert alone.evaluations[0] == together.evaluations[17]


def test_the_seed_decides_and_a_part_can_be_gone_on_from(generator: np.random.Generator) -> None:
    model = curved_model(11)
    rows, background = generator.normal(size=(20, 11)), generator.normal(size=(3, 11))
    first, again, other = (explain(kernel(tolerance=1.0), model, rows, background, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


def test_too_many_features_are_refused_with_what_to_do() -> None:
    count = MAXIMUM_FEATURES + 1
    with pytest.raises(JobError, match="Use 'permutation', or larger patches") as caught:
        explain(kernel(), linear_model(np.ones((count, 1)), np.zeros(1)), np.ones((1, count)), np.zeros((1, count)))
    assert caught.value.code == "too_many_features"


@pytest.mark.parametrize(
    "wrong", [{"tolerance": -1}, {"tolerance": "much"}, {"maximum_coalitions": 0}, {"maximum_coalitions": 1.5}]
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(JobError) as caught:
        KernelExplainer.from_json(wrong)
    assert caught.value.code == "parameter_out_of_range"


class TestSample:
    @pytest.mark.parametrize("features", [5, 6, 20])
    def test_no_coalition_comes_twice_nor_with_its_complement(self, features: int) -> None:
        sampler = Sampler(features, seed=3)
        for size in sampler.sizes:
            masks = sampler.first(size, 600)
            assert (masks.sum(axis=1) == size).all()
            assert len(masks) == min(600, sampler.population(size))
            assert len(np.unique(masks, axis=0)) == len(masks)
            if 2 * size == features:
                assert len(np.unique(np.concatenate([masks, ~masks]), axis=0)) == 2 * len(masks)

    @pytest.mark.parametrize("features", [8, 30])
    def test_a_larger_sample_holds_the_smaller_one(self, features: int) -> None:
        at_once, in_steps = Sampler(features, seed=3), Sampler(features, seed=3)
        for size in at_once.sizes:
            small = in_steps.first(size, 20)
            assert np.array_equal(in_steps.first(size, 400), at_once.first(size, 400))
            assert np.array_equal(small, at_once.first(size, 400)[:20])

    def test_every_feature_is_drawn_as_often_of_sizes_that_are_listed_and_that_are_not(self) -> None:
        sampler = Sampler(24, seed=5)
        assert sampler.population(2) <= LISTED < sampler.population(12)
        for size in (3, 12):
            share = sampler.first(size, 2000).mean(axis=0)
            expected = size / 24
            others = share[1:] if size == 12 else share  # of half of the features, the coalition with the first counts
            if size == 12:
                expected = 11 / 23
            assert np.abs(others - expected).max() < 5 * math.sqrt(expected * (1 - expected) / len(share) / 80)

    def test_the_population_is_every_pair_once(self) -> None:
        for features in (2, 3, 6, 9):
            sampler = Sampler(features, seed=0)
            assert sum(map(sampler.population, sampler.sizes)) == 2 ** (features - 1) - 1

    def test_the_solution_leaves_the_sum_alone(self) -> None:
        design = Design.drawn(Sampler(9, seed=1), 8)
        np.testing.assert_allclose(design.solution.sum(axis=0), 0, atol=1e-12)
        assert (design.leverages < 1).all()
