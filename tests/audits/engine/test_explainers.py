"""The estimator: exact where the answer is known, honest about its error everywhere else."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from audits.engine.explainers import explainer_named
from audits.engine.explainers.base import Attribution, Explainer, Task
from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
from audits.engine.explainers.players import Players
from tests.audits.engine.explained import NumpyModel, all_outputs, curved_model, flat_players, linear_model
from workers.protocol import JobError


def explain(
    explainer: Explainer,
    model: NumpyModel,
    rows: np.ndarray,
    background: np.ndarray,
    *,
    outputs: np.ndarray | None = None,
    players: Players | None = None,
    seed: int = 3,
    **more: object,
) -> Attribution:
    count = model.signature.output.shape[-1]
    chosen = all_outputs(len(rows), count) if outputs is None else outputs
    return explainer.explain(
        Task(
            model=model,
            rows={"features": rows},
            background={"features": background},
            players=players or flat_players(rows.shape[1]),
            outputs=chosen,
            output_names=tuple(f"output {number}" for number in range(chosen.shape[1])),
            seed=seed,
            **more,  # type: ignore[arg-type]
        )
    )


def permutation(**settings: object) -> PermutationExplainer:
    return PermutationExplainer(PermutationParameters(**settings))  # type: ignore[arg-type]


def by_definition(model: NumpyModel, row: np.ndarray, background: np.ndarray, output: int) -> np.ndarray:
    """Shapley's formula, written as it stands in the books."""
    count = len(row)

    def worth(coalition: tuple[int, ...]) -> float:
        composed = background.copy()
        composed[:, list(coalition)] = row[list(coalition)]
        return float(model.logits({"features": composed})[:, output].mean())

    values = np.zeros(count)
    for feature in range(count):
        others = [place for place in range(count) if place != feature]
        for size in range(count):
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            for coalition in itertools.combinations(others, size):
                values[feature] += weight * (worth((*coalition, feature)) - worth(coalition))
    return values


@pytest.fixture
def generator() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.mark.parametrize("explainer", [permutation(tolerance=0.5), ExactExplainer()])
def test_a_linear_model_is_weight_times_distance_from_the_background_mean(
    explainer: Explainer, generator: np.random.Generator
) -> None:
    weights, bias = generator.normal(size=(5, 3)), np.array([0.5, -1.0, 2.0])
    rows, background = generator.normal(size=(7, 5)), generator.normal(size=(9, 5))
    answer = explain(explainer, linear_model(weights, bias), rows, background)
    expected = (rows - background.mean(axis=0))[:, :, None] * weights[None]
    np.testing.assert_allclose(answer.values, expected, atol=1e-12)
    np.testing.assert_allclose(
        answer.base_values, np.tile(background.mean(axis=0) @ weights + bias, (7, 1)), atol=1e-12
    )
    assert answer.errors.max() < 1e-12
    np.testing.assert_array_equal(answer.data, rows)


def test_exact_values_follow_the_definition(generator: np.random.Generator) -> None:
    model = curved_model(5)
    rows, background = generator.normal(size=(2, 5)), generator.normal(size=(4, 5))
    answer = explain(ExactExplainer(), model, rows, background)
    for row in range(2):
        for output in range(2):
            expected = by_definition(model, rows[row], background, output)
            np.testing.assert_allclose(answer.values[row, :, output], expected, atol=1e-12)


def test_the_exact_value_of_a_feature_that_the_model_does_not_look_at_is_0(generator: np.random.Generator) -> None:
    """And not what rounding leaves of it, which a page would tell as 6.9e-18."""
    weights = generator.normal(size=(7, 2))
    weights[3] = 0
    model = NumpyModel(
        lambda _weights, inputs: np.sin(inputs["features"] @ weights), inputs={"features": (7,)}, outputs=2
    )
    answer = explain(ExactExplainer(), model, generator.normal(size=(4, 7)), generator.normal(size=(9, 7)))
    assert not answer.values[:, 3].any()
    assert answer.values[:, np.arange(7) != 3].all()


def test_two_standard_errors_hold_the_exact_value_about_95_times_in_100(generator: np.random.Generator) -> None:
    """Over many seeds, rows, features and outputs; FACTS has 92 to 96 %, and the naive error would give 100 %."""
    model = curved_model(8)
    rows, background = generator.normal(size=(10, 8)), generator.normal(size=(12, 8))
    exact = explain(ExactExplainer(), model, rows, background)
    inside, ratios = [], []
    for seed in range(25):
        answer = explain(permutation(tolerance=0.1), model, rows, background, seed=seed)
        inside.append(np.abs(answer.values - exact.values) <= 2 * answer.errors)
        ratios.append((answer.values - exact.values) ** 2 / answer.errors**2)
    coverage = np.mean(inside)
    assert 0.90 <= coverage <= 0.98
    assert 0.7 <= np.mean(ratios) <= 1.4


def test_values_and_base_add_up_to_the_score_whatever_the_error(generator: np.random.Generator) -> None:
    model = curved_model(9)
    rows, background = generator.normal(size=(6, 9)), generator.normal(size=(20, 9))
    answer = explain(permutation(tolerance=10), model, rows, background)
    assert answer.errors.max() > 1e-3, "an estimate without error would show nothing"
    np.testing.assert_allclose(answer.scores, model.logits({"features": rows}), atol=1e-12)
    np.testing.assert_allclose(answer.base_values[0], model.logits({"features": background}).mean(axis=0), atol=1e-12)


def test_rows_stop_one_by_one_when_their_error_is_small_enough(generator: np.random.Generator) -> None:
    weights = np.array([[1.0], [2.0], [-1.0], [0.5], [1.5]])
    model = NumpyModel(
        lambda _, inputs: inputs["features"] @ weights + 4 * np.prod(inputs["features"], axis=1, keepdims=True),
        inputs={"features": (5,)},
        outputs=1,
    )
    background = generator.normal(size=(20, 5)) * 0.1
    rows = np.concatenate([np.full((1, 5), 0.01), np.full((1, 5), 1.0) + 0.2 * generator.normal(size=(1, 5))])
    tolerance = 0.02
    answer = explain(permutation(tolerance=tolerance, maximum_sweeps=200), model, rows, background)
    assert (answer.relative_errors() <= tolerance).all()
    assert answer.evaluations[0] < answer.evaluations[1]
    rough = explain(permutation(tolerance=0.5), model, rows, background)
    assert rough.evaluations[1] < answer.evaluations[1]
    assert rough.relative_errors()[1] > answer.relative_errors()[1]


def test_a_row_that_does_not_settle_ends_with_its_true_error(generator: np.random.Generator) -> None:
    rows, background = generator.normal(size=(2, 9)), generator.normal(size=(20, 9))
    answer = explain(permutation(tolerance=0.0, maximum_sweeps=3), curved_model(9), rows, background)
    assert (answer.evaluations == 3 * 2 * 20 * 2 * 8 + 1).all()
    assert (answer.relative_errors() > 0).all()


def test_few_background_rows_get_more_pairs(generator: np.random.Generator) -> None:
    """An error from a single difference would be worth nothing, so one background row is walked 32 times."""
    rows = generator.normal(size=(1, 4))
    answer = explain(permutation(tolerance=5.0), curved_model(4), rows, generator.normal(size=(1, 4)))
    assert answer.evaluations[0] == 16 * 2 * 2 * 3 + 1


def test_features_that_are_equal_in_both_rows_cost_nothing(generator: np.random.Generator) -> None:
    """The evaluations that are told are the rows that the model saw, and a feature that never differs has no value."""
    rows, background = generator.normal(size=(1, 9)), generator.normal(size=(20, 9))
    background[:, :4] = rows[0, :4]
    model, apart = curved_model(9), curved_model(9)
    answer = explain(permutation(tolerance=0.0, maximum_sweeps=3), model, rows, background)
    assert answer.evaluations.tolist() == [3 * 2 * 20 * 2 * 4 + 1]
    assert model.rows_seen == answer.evaluations[0] + len(background)
    assert not answer.flat_values[0, :4].any()
    assert not answer.flat_errors[0, :4].any()
    np.testing.assert_allclose(answer.scores, apart.logits({"features": rows}))


@pytest.mark.parametrize("memory_bytes", [1, 100_000, 2**30])
def test_the_memory_changes_no_bit(memory_bytes: int, generator: np.random.Generator) -> None:
    weights = generator.normal(size=(6, 2))

    def row_wise(_: object, inputs: dict[str, np.ndarray]) -> np.ndarray:
        bent = np.tanh(inputs["features"]) * np.roll(inputs["features"], 1, axis=1)
        return np.stack([sum(bent[:, k] * weights[k, output] for k in range(6)) for output in range(2)], axis=1)

    model = NumpyModel(row_wise, inputs={"features": (6,)}, outputs=2)  # type: ignore[arg-type]
    rows, background = generator.normal(size=(5, 6)), generator.normal(size=(18, 6))
    one = explain(permutation(tolerance=0.05, memory_bytes=memory_bytes), model, rows, background)
    other = explain(permutation(tolerance=0.05), model, rows, background)
    assert np.array_equal(one.values, other.values)
    assert np.array_equal(one.errors, other.errors)


def test_many_features_and_outputs_stay_within_the_memory() -> None:
    """The walks of one background row make 88 MB here; all 16 together would make 1.4 GB."""
    factors = np.linspace(-1, 1, 1000)
    model = NumpyModel(
        lambda _, inputs: inputs["features"].sum(axis=1, keepdims=True) * factors,
        inputs={"features": (784,)},
        outputs=1000,
    )
    rows, background = np.full((1, 784), 1e-3), np.zeros((16, 784))
    tracemalloc.start()
    try:
        answer = explain(permutation(memory_bytes=100_000_000), model, rows, background)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 300_000_000
    np.testing.assert_allclose(answer.values[0], np.tile(1e-3 * factors, (784, 1)), atol=1e-12)


def test_what_was_cut_goes_on_to_the_same_bits(generator: np.random.Generator) -> None:
    model = curved_model(5)
    rows, background = generator.normal(size=(40, 5)), generator.normal(size=(16, 5))
    task = Task(
        model=model,
        rows={"features": rows},
        background={"features": background},
        players=flat_players(5),
        outputs=all_outputs(40, 2),
        output_names=("0", "1"),
        seed=3,
    )
    whole = list(permutation().parts(task))
    rest = list(permutation(memory_bytes=1).parts(task, first=whole[0].row_count))
    assert len(rest) == len(whole) - 1
    for part, again in zip(whole[1:], rest, strict=True):
        assert np.array_equal(part.values, again.values)
        assert np.array_equal(part.errors, again.errors)


def test_a_row_is_explained_alike_alone_and_among_others(generator: np.random.Generator) -> None:
    model = linear_model(generator.normal(size=(4, 1)), np.zeros(1))
    model.function = lambda _, inputs: np.tanh(inputs["features"]).prod(axis=1, keepdims=True)
    rows, background = generator.normal(size=(70, 4)), generator.normal(size=(16, 4))
    together = explain(permutation(tolerance=0.02), model, rows, background)
    alone = explain(permutation(tolerance=0.02), model, rows[66:67], background)
    assert np.array_equal(alone.values[0], together.values[66])


def test_the_seed_decides(generator: np.random.Generator) -> None:
    model = curved_model(7)
    rows, background = generator.normal(size=(3, 7)), generator.normal(size=(16, 7))
    first, again, other = (explain(permutation(), model, rows, background, seed=seed) for seed in (1, 1, 2))
    assert np.array_equal(first.values, again.values)
    assert not np.array_equal(first.values, other.values)


def test_large_rows_make_small_chunks() -> None:
    """A chunk of composed rows stays below 64 MiB, so 2,048 rows of 1 MB each go in many passes."""
    model = NumpyModel(
        lambda _, inputs: inputs["features"].reshape(len(inputs["features"]), -1)[:, :2],
        inputs={"features": (131_072,)},
        outputs=2,
    )
    players = Players(names=("a", "b", "c"), assignment={"features": np.minimum(np.arange(131_072), 2)}, grid=(3,))
    rows = np.ones((2, 131_072))
    answer = explain(permutation(), model, rows, np.zeros((40, 131_072)), players=players)
    assert model.largest_batch <= 64
    np.testing.assert_allclose(answer.values[0], [[1, 0], [0, 1], [0, 0]], atol=1e-12)


def test_the_predicted_output_of_each_row_alone(generator: np.random.Generator) -> None:
    model = curved_model(5, outputs=4)
    rows, background = generator.normal(size=(6, 5)), generator.normal(size=(16, 5))
    predicted = model.logits({"features": rows}).argmax(axis=1)[:, None]
    every = explain(ExactExplainer(), model, rows, background)
    one = explain(ExactExplainer(), model, rows, background, outputs=predicted)
    assert one.values.shape == (6, 5, 1)
    assert len(set(predicted[:, 0])) > 1
    np.testing.assert_allclose(
        one.values[:, :, 0], np.take_along_axis(every.values, predicted[:, None], axis=2)[:, :, 0], atol=1e-12
    )
    np.testing.assert_allclose(one.base_values[:, 0], every.base_values[0][predicted[:, 0]], atol=1e-12)


def test_probabilities_are_explained_only_when_asked(generator: np.random.Generator) -> None:
    model = curved_model(4, outputs=3)
    rows, background = generator.normal(size=(2, 4)), generator.normal(size=(16, 4))
    answer = explain(ExactExplainer(), model, rows, background, scale="probabilities")
    assert answer.scale == "probabilities"
    np.testing.assert_allclose(answer.scores.sum(axis=1), 1)
    assert explain(ExactExplainer(), model, rows, background).scale == "logits"


def test_probabilities_of_a_regression_are_refused(generator: np.random.Generator) -> None:
    model = curved_model(3, outputs=1, kind="value")
    with pytest.raises(JobError) as caught:
        explain(ExactExplainer(), model, np.ones((1, 3)), np.zeros((2, 3)), scale="probabilities")
    assert caught.value.code == "no_probabilities"


@pytest.mark.parametrize("features", [1, 2])
def test_one_or_two_features_are_exact(features: int, generator: np.random.Generator) -> None:
    model = curved_model(features)
    rows, background = generator.normal(size=(3, features)), generator.normal(size=(16, features))
    answer = explain(permutation(), model, rows, background)
    np.testing.assert_allclose(answer.values, explain(ExactExplainer(), model, rows, background).values, atol=1e-12)
    assert answer.errors.max() < 1e-12


def test_integers_are_replaced_whole() -> None:
    """An embedding index is never mixed: the model sees indices of the row or of the background."""
    table = np.array([[0.0], [1.0], [10.0], [100.0]])
    model = NumpyModel(
        lambda _, inputs: table[inputs["features"]].sum(axis=1), inputs={"features": (3,)}, outputs=1, dtype="int64"
    )
    rows, background = np.array([[3, 2, 1]]), np.array([[0, 0, 0], [1, 1, 1]])
    answer = explain(permutation(), model, rows, background)
    np.testing.assert_allclose(answer.values[0, :, 0], [99.5, 9.5, 0.5])


@pytest.mark.parametrize("explainer", [permutation(), ExactExplainer()])
def test_nothing_to_explain_and_nothing_to_compare_with_are_refused(explainer: Explainer) -> None:
    model = curved_model(3)
    with pytest.raises(JobError) as caught:
        explain(explainer, model, np.ones((0, 3)), np.zeros((2, 3)))
    assert caught.value.code == "no_rows"
    with pytest.raises(JobError) as caught:
        explain(explainer, model, np.ones((1, 3)), np.zeros((0, 3)))
    assert caught.value.code == "no_background_rows"


def test_a_model_that_gives_no_number_is_refused() -> None:
    model = linear_model(np.ones((2, 1)), np.zeros(1))
    model.function = lambda _, inputs: np.log(inputs["features"][:, :1] - inputs["features"][:, 1:])
    with np.errstate(all="ignore"), pytest.raises(JobError) as caught:
        explain(permutation(), model, np.array([[2.0, 1.0]]), np.array([[0.5, 0.2], [1.1, 1.0]]))
    assert caught.value.code == "score_not_finite"


def test_too_many_features_for_enumeration() -> None:
    with pytest.raises(JobError, match="13 features need") as caught:
        explain(ExactExplainer(), curved_model(13), np.ones((1, 13)), np.zeros((1, 13)))
    assert caught.value.code == "too_many_features"


def test_progress_ends_at_the_last_row(generator: np.random.Generator) -> None:
    told: list[tuple[float, float, str]] = []
    explain(
        permutation(),
        curved_model(4),
        generator.normal(size=(70, 4)),
        generator.normal(size=(16, 4)),
        progress=lambda done, total, words: told.append((done, total, words)),
    )
    assert told[-1] == (70, 70, "")
    assert [done for done, _, _ in told] == sorted(done for done, _, _ in told)
    groups = {int(done) // 16 for done, _, words in told if words}
    assert groups == {0, 1, 2, 3, 4}, "rows walk in groups of 16, and each group tells how far it is"


class TestByName:
    def test_the_built_in_ones(self) -> None:
        assert explainer_named("permutation") is PermutationExplainer
        assert explainer_named("exact") is ExactExplainer

    def test_an_unknown_name_says_what_is_known(self) -> None:
        with pytest.raises(JobError, match="known are permutation, exact") as caught:
            explainer_named("lime")
        assert caught.value.code == "unknown_method"

    def test_plugins_come_from_the_entry_point_group(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Other(ExactExplainer):
            name = "other"

        class Entry:
            def __init__(self, name: str, target: object) -> None:
                self.name, self.target = name, target

            def load(self) -> object:
                if isinstance(self.target, Exception):
                    raise self.target
                return self.target

        entries = [
            Entry("other", Other),
            Entry("broken", ImportError("no such module")),
            Entry("wrong", int),
            Entry("exact", int),
        ]
        monkeypatch.setattr(
            "audits.engine.explainers.entry_points", lambda group: entries if group == "assay.explainers" else []
        )
        assert explainer_named("other") is Other
        assert explainer_named("exact") is ExactExplainer
        for name in ("broken", "wrong"):
            with pytest.raises(JobError) as caught:
                explainer_named(name)
            assert caught.value.code == "plugin_does_not_load"
            assert caught.value.place == name

    def test_settings_by_name(self) -> None:
        assert PermutationExplainer.from_json({"tolerance": 0.2}).settings.tolerance == 0.2
        with pytest.raises(JobError, match="it has tolerance, maximum_sweeps, memory_bytes"):
            PermutationExplainer.from_json({"samples": 3})
        for wrong in ({"tolerance": -1}, {"tolerance": "much"}, {"memory_bytes": 0.5}, {"maximum_sweeps": True}):
            with pytest.raises(JobError) as caught:
                PermutationExplainer.from_json(wrong)
            assert caught.value.code == "parameter_out_of_range"
