"""Intervals and metrics: answers known by hand, and scikit-learn and SciPy as oracles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as oracle

from workers import metrics
from workers.protocol import JobError
from workers.signature import OutputSpec
from workers.statistics import bootstrap, bootstrap_mean, mean_of, paired_bootstrap, resample, wilson


def generator() -> np.random.Generator:
    return np.random.default_rng(20)


class TestWilson:
    def test_known_answer(self) -> None:
        # With z = 1.959964: centre (0.8 + z²/20) / (1 + z²/10) = 0.716740, half width 0.226578.
        interval = wilson(8, 10)
        assert interval.value == 0.8
        assert interval.low == pytest.approx(0.4901625, abs=1e-6)
        assert interval.high == pytest.approx(0.9433178, abs=1e-6)

    @pytest.mark.parametrize(("successes", "n"), [(0, 5), (5, 5), (1, 200), (42, 77)])
    def test_agrees_with_scipy(self, successes: int, n: int) -> None:
        expected = stats.binomtest(successes, n).proportion_ci(method="wilson")
        interval = wilson(successes, n)
        assert interval.low == pytest.approx(expected.low, abs=1e-12)
        assert interval.high == pytest.approx(expected.high, abs=1e-12)

    def test_no_rows_have_no_interval(self) -> None:
        interval = wilson(0, 0)
        assert (interval.value, interval.low, interval.high, interval.n) == (None, None, None, 0)

    def test_more_successes_than_rows_are_refused(self) -> None:
        with pytest.raises(ValueError, match="6 successes of 5"):
            wilson(6, 5)


class TestBootstrap:
    def test_mean_agrees_with_scipy(self) -> None:
        values = generator().exponential(2.0, 200)
        interval = bootstrap_mean(values, generator=generator())
        expected = stats.bootstrap((values,), np.mean, method="percentile", rng=np.random.default_rng(1))
        assert interval.value == pytest.approx(values.mean())
        assert interval.low == pytest.approx(expected.confidence_interval.low, abs=0.03)
        assert interval.high == pytest.approx(expected.confidence_interval.high, abs=0.03)
        assert interval.method == "percentile bootstrap, 95%, 2,000 resamples"

    def test_covers_the_true_mean_about_as_often_as_it_says(self) -> None:
        source = generator()
        covered = 0
        for _ in range(200):
            interval = bootstrap_mean(source.normal(3.0, 1.0, 60), generator=source, resamples=400)
            covered += interval.low <= 3.0 <= interval.high
        assert 0.89 <= covered / 200 <= 0.99

    def test_same_seed_same_interval_and_blocks_do_not_matter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        values = generator().normal(size=50)
        first = bootstrap_mean(values, generator=generator())
        monkeypatch.setattr("workers.statistics.BLOCK_VALUES", 500)
        assert bootstrap_mean(values, generator=generator()) == first

    def test_one_row_and_no_rows_say_so(self) -> None:
        assert bootstrap_mean(np.array([4.0]), generator=generator()).method == "no interval from one row"
        assert bootstrap_mean(np.array([]), generator=generator()).value is None

    def test_statistic_that_is_never_defined_gives_no_number(self) -> None:
        interval = bootstrap(lambda weights: np.full(len(weights), math.nan), 9, generator=generator())
        assert interval.value is None
        assert interval.method == "not defined on these rows"

    def test_resamples_without_a_class_are_told(self) -> None:
        targets, scores = np.array([0] * 9 + [1]), np.linspace(0, 1, 10)
        probabilities = np.stack([1 - scores, scores], 1)
        interval = bootstrap(metrics.roc_auc(targets, probabilities), 10, generator=generator())
        assert interval.value == 1.0
        assert "of them not defined" in interval.method


class TestPairedBootstrap:
    def test_pairing_narrows_what_the_rows_share(self) -> None:
        source = generator()
        shared = source.normal(0, 10, 100)
        first, second = shared + 1, shared + source.normal(0, 0.1, 100)
        paired = paired_bootstrap(mean_of(first), mean_of(second), 100, generator=generator())
        alone = bootstrap_mean(first, generator=generator())
        assert paired.value == pytest.approx(1.0, abs=0.05)
        assert paired.low > 0.9
        assert paired.high < 1.1
        assert alone.high - alone.low > 3

    def test_a_model_against_itself_is_exactly_nothing(self) -> None:
        values = generator().normal(size=40)
        interval = paired_bootstrap(mean_of(values), mean_of(values), 40, generator=generator())
        assert (interval.value, interval.low, interval.high) == (0.0, 0.0, 0.0)


def value(statistic, n: int) -> float:
    return float(statistic(np.ones((1, n)))[0])


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("class_count", [2, 4])
def test_classification_metrics_agree_with_scikit_learn(class_count: int) -> None:
    source = generator()
    targets = source.integers(0, class_count, 120)
    scores = np.round(source.normal(size=(120, class_count)) + 1.5 * np.eye(class_count)[targets], 1)  # with ties
    probabilities = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    predicted = probabilities.argmax(1)
    ours = {name: value(s, 120) for name, s in metrics.classification(targets, probabilities).items()}
    score = probabilities[:, 1] if class_count == 2 else probabilities
    assert ours == pytest.approx(
        {
            "accuracy": oracle.accuracy_score(targets, predicted),
            "balanced_accuracy": oracle.balanced_accuracy_score(targets, predicted),
            "f1_macro": oracle.f1_score(targets, predicted, average="macro"),
            "roc_auc": oracle.roc_auc_score(targets, score, multi_class="ovr"),
            "log_loss": oracle.log_loss(targets, probabilities, labels=range(class_count)),
            "brier": oracle.brier_score_loss(targets, score, labels=range(class_count)),
        }
    )


def test_weights_mean_rows_drawn_so_often() -> None:
    source = generator()
    targets = source.integers(0, 3, 30)
    probabilities = source.dirichlet([1, 1, 1], 30)
    counts = source.integers(0, 4, 30)
    drawn = np.repeat(np.arange(30), counts)
    whole = metrics.classification(targets, probabilities)
    repeated = metrics.classification(targets[drawn], probabilities[drawn])
    for name, statistic in whole.items():
        assert float(statistic(counts[None].astype(float))[0]) == pytest.approx(value(repeated[name], len(drawn))), name


def test_regression_metrics_agree_with_scikit_learn() -> None:
    source = generator()
    targets = source.normal(size=(80, 2))
    values = targets + source.normal(0, 0.4, (80, 2))
    ours = {name: value(s, 80) for name, s in metrics.regression(targets, values).items()}
    assert ours == pytest.approx(
        {
            "rmse": oracle.mean_squared_error(targets, values) ** 0.5,
            "mae": oracle.mean_absolute_error(targets, values),
            "r2": oracle.r2_score(targets, values),
        }
    )


def test_r2_of_constant_targets_is_not_defined() -> None:
    drawn = resample(metrics.regression(np.full((9, 1), 0.1), np.zeros((9, 1))), 9, generator=generator())
    assert drawn.interval("r2").value is None
    assert drawn.interval("mae").value == pytest.approx(0.1)


def output(kind: str, width: int) -> OutputSpec:
    return OutputSpec("answer", (-1, width), "float32", kind)


class TestProbabilities:
    def test_of_logits_is_the_softmax(self) -> None:
        found = metrics.probabilities_of(np.array([[0.0, math.log(3)], [1000.0, 0.0]]), output("logits", 2))
        np.testing.assert_allclose(found, [[0.25, 0.75], [1.0, 0.0]])

    def test_of_one_logit_is_the_sigmoid(self) -> None:
        found = metrics.probabilities_of(np.array([[math.log(3)]]), output("logits", 1))
        np.testing.assert_allclose(found, [[0.25, 0.75]])

    def test_that_do_not_add_up_to_one_name_the_row(self) -> None:
        with pytest.raises(JobError, match=r"row 1 .*logits") as told:
            metrics.probabilities_of(np.array([[0.4, 0.6], [2.0, -1.5]]), output("probabilities", 2))
        assert (told.value.code, told.value.place) == ("output_not_probabilities", "row 1")

    def test_that_are_not_numbers_name_the_row(self) -> None:
        with pytest.raises(JobError) as told:
            metrics.probabilities_of(np.array([[0.4, 0.6], [math.nan, 0.5]]), output("probabilities", 2))
        assert (told.value.code, told.value.place) == ("output_not_finite", "row 1")
