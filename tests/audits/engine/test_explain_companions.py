"""Balanced orders and companions: unbiased, nearer to the truth at the same cost, and honest about how near."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from audits.engine.explainers import permutation
from audits.engine.explainers.base import Attribution, Task
from audits.engine.explainers.coalitions import Coalitions
from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.orders import BalancedOrders, IndependentOrders, Orders
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
from tests.audits.engine.coverage import CASES, task_of
from tests.audits.engine.explained import NumpyModel, all_outputs, curved_model, flat_players, linear_model

#: Background rows that give enough differences at once, so that the second sweep is a companion.
ENOUGH = 20


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Run on one thread, as a job does by default: for models this small, more of them only wait for each other."""
    with threadpool_limits(1):
        yield


def small_task(background_count: int = ENOUGH, features: int = 6, *, rows: int = 3, seed: int = 3) -> Task:
    generator = np.random.default_rng(features)
    return Task(
        model=curved_model(features),
        rows={"features": generator.normal(size=(rows, features))},
        background={"features": generator.normal(size=(background_count, features))},
        players=flat_players(features),
        outputs=all_outputs(rows, 2),
        output_names=("a", "b"),
        seed=seed,
    )


def walked(task: Task, sweeps: int, **settings: int) -> Attribution:
    """Explain with exactly so many sweeps."""
    return PermutationExplainer(PermutationParameters(tolerance=0, maximum_sweeps=sweeps, **settings)).explain(task)


def independent(_: PermutationExplainer, task: Task, coalitions: Coalitions) -> Orders:
    features = np.arange(task.players.count)
    return IndependentOrders(task, lambda drawn, count: drawn.permuted(np.tile(features, (count, 1)), axis=1))


def all_fresh(_: PermutationExplainer, task: Task, coalitions: Coalitions) -> Orders:
    return BalancedOrders(task, coalitions.of_background(), has_companions=False)


@pytest.mark.parametrize("sweeps", [1, 2, 3])
def test_the_mean_over_many_seeds_is_the_exact_value(sweeps: int) -> None:
    task = small_task()
    exact = ExactExplainer().explain(task).values
    values = np.array([walked(replace(task, seed=seed), sweeps).values for seed in range(150)])
    of_mean = values.std(axis=0, ddof=1) / 150**0.5
    assert np.abs(values.mean(axis=0) - exact).max() < 4 * of_mean.max()
    assert (((values.mean(axis=0) - exact) / of_mean) ** 2).mean() < 2


@pytest.fixture(scope="module", params=list(CASES))
def solved(request: pytest.FixtureRequest) -> tuple[Task, np.ndarray]:
    """A case with 30 background rows and its exact values."""
    task = task_of(request.param, 30)
    return task, ExactExplainer().explain(task).values


@pytest.mark.parametrize("sweeps", [1, 2, 3, 4])
def test_the_stated_error_is_honest_after_any_number_of_sweeps(solved: tuple[Task, np.ndarray], sweeps: int) -> None:
    task, exact = solved
    answers = [walked(replace(task, seed=seed), sweeps) for seed in range(12)]
    off = np.array([answer.values - exact for answer in answers])
    errors = np.array([answer.errors for answer in answers])
    inside = (np.abs(off) <= 2 * errors)[errors > 0]
    assert len(inside) >= 500
    assert 0.90 <= inside.mean() <= 0.98
    assert 0.8 <= (off**2).mean() / (errors**2).mean() <= 1.2


def test_a_companion_adds_no_difference_of_its_own() -> None:
    """Two pairs of which the second is the first turned round: what they have in common is known, and has no error."""
    task = small_task(rows=1)
    credits = np.random.default_rng(0).normal(size=(1, ENOUGH, 2, 6, 2))
    sums = permutation._Sums(1, task, keeps_differences=True)
    everyone = np.arange(1)
    sums.add(everyone, credits, first=0, are_companions=False)
    squares = ((credits[:, :, 0] - credits[:, :, 1]) ** 2).sum(axis=1)
    np.testing.assert_allclose(sums.errors(everyone), np.sqrt(squares) / (2 * ENOUGH))
    sums.add(everyone, credits[:, :, ::-1], first=0, are_companions=True)
    assert sums.errors(everyone).max() < 1e-12
    sums.add(everyone, credits, first=0, are_companions=False)
    np.testing.assert_allclose(sums.errors(everyone), np.sqrt(squares) / (6 * ENOUGH))
    sums.add(everyone, credits, first=0, are_companions=False)
    np.testing.assert_allclose(sums.errors(everyone), np.sqrt(2 * squares) / (8 * ENOUGH))


def mean_squared_error(
    monkeypatch: pytest.MonkeyPatch, orders: Callable[..., Orders], task: Task, exact: float
) -> float:
    with monkeypatch.context() as patched:
        patched.setattr(PermutationExplainer, "orders", orders)
        answers = [walked(replace(task, seed=seed), 2) for seed in range(60)]
    return float(np.mean([(answer.values - exact) ** 2 for answer in answers]))


def test_balance_and_companions_each_come_nearer_at_the_same_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conjunction is credited to the feature that joins last, in an order or its reverse: an end of the order."""
    both = NumpyModel(
        lambda _, inputs: inputs["features"].prod(axis=1, keepdims=True), inputs={"features": (6,)}, outputs=1
    )
    task = replace(
        small_task(rows=1),
        model=both,
        rows={"features": np.ones((1, 6))},
        background={"features": np.zeros((ENOUGH, 6))},
        outputs=all_outputs(1, 1),
        output_names=("both",),
    )
    whole = PermutationExplainer.orders
    at_random, fresh, with_companions = (
        mean_squared_error(monkeypatch, orders, task, 1 / 6) for orders in (independent, all_fresh, whole)
    )
    assert fresh < 0.8 * at_random
    assert with_companions < 0.9 * fresh


@pytest.mark.parametrize("background_count", [1, 2, 3, 7, 16, 33])
@pytest.mark.parametrize("features", [1, 2, 3])
def test_few_rows_and_few_features_add_up(background_count: int, features: int) -> None:
    task = small_task(background_count, features)
    answer = walked(task, 18)
    np.testing.assert_allclose(answer.scores, task.model.logits(task.rows), atol=1e-12)
    exact = ExactExplainer().explain(task).values
    assert (np.abs(answer.values - exact) <= 5 * answer.errors + 1e-12).all()
    assert answer.errors.max() < 1e-12 or features == 3


@pytest.mark.parametrize("sweeps", [1, 2, 3, 8])
def test_what_is_exact_has_no_error_and_no_negative_square(sweeps: int) -> None:
    """Differences of a linear model are rounding alone, which squares taken away again would leave below 0."""
    generator = np.random.default_rng(5)
    task = replace(small_task(), model=linear_model(generator.normal(size=(6, 2)) * 1e3, np.ones(2)))
    answer = walked(task, sweeps)
    assert (answer.errors >= 0).all()
    assert answer.errors.max() < 1e-9


def test_rows_that_stop_keep_what_they_had_then() -> None:
    """A row that goes on alone finds its own differences again, and one that has stopped is not touched."""
    task = small_task(rows=8)
    answer = PermutationExplainer(PermutationParameters(tolerance=0.2, maximum_sweeps=6)).explain(task)
    counts = (answer.evaluations - 1) // (4 * 5 * ENOUGH)
    assert len(set(counts.tolist())) > 2
    for row, sweeps in enumerate(counts.tolist()):
        some = slice(row, row + 1)
        alone = replace(task, rows={"features": task.rows["features"][some]}, outputs=task.outputs[some])
        expected = walked(alone, sweeps)
        np.testing.assert_allclose(answer.values[row], expected.values[0], atol=1e-12)
        np.testing.assert_allclose(answer.errors[row], expected.errors[0], atol=1e-12)


@pytest.mark.parametrize("sweeps", [2, 3])
def test_no_bit_hangs_on_the_memory_or_on_where_it_goes_on(sweeps: int) -> None:
    def row_wise(_: object, inputs: dict[str, np.ndarray]) -> np.ndarray:
        bent = np.tanh(inputs["features"]) * np.roll(inputs["features"], 1, axis=1)
        return np.stack([bent[:, 0] * bent[:, 3] + bent[:, 1], bent[:, 2] * bent[:, 5] * bent[:, 4]], axis=1)

    task = replace(small_task(rows=20), model=NumpyModel(row_wise, inputs={"features": (6,)}, outputs=2))  # type: ignore[arg-type]
    whole, little = walked(task, sweeps), walked(task, sweeps, memory_bytes=1)
    explainer = PermutationExplainer(PermutationParameters(tolerance=0, maximum_sweeps=sweeps))
    (rest,) = explainer.parts(task, first=16)
    for name in ("values", "errors"):
        assert np.array_equal(getattr(whole, name), getattr(little, name))
        assert np.array_equal(getattr(whole, name)[16:], getattr(rest, name))


class TestRoom:
    """Differences are kept where sums and differences of the rows that walk together have room."""

    def test_where_there_is_none_every_sweep_is_fresh(self, monkeypatch: pytest.MonkeyPatch) -> None:
        task = small_task()
        values = 6 * 2
        needed = 16 * values * (8 * 8 + 8 * ENOUGH)
        for room, wanted in ((needed, True), (needed - 1, False)):
            monkeypatch.setattr(permutation, "SCORE_BYTES", room)
            assert PermutationExplainer().orders(task, Coalitions(task)).has_companions is wanted
        monkeypatch.undo()
        kept = walked(task, 2)
        monkeypatch.setattr(permutation, "SCORE_BYTES", needed - 1)
        fresh = walked(task, 2)
        assert not np.array_equal(kept.values, fresh.values)
        exact = ExactExplainer().explain(task).values
        assert (np.abs(fresh.values - exact) <= 5 * fresh.errors).all()

    def test_it_does_not_hang_on_how_many_rows_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(permutation, "SCORE_BYTES", 16 * 12 * (8 * 8 + 8 * ENOUGH) - 1)
        for rows in (1, 3, 40):
            task = small_task(rows=rows)
            assert not PermutationExplainer().orders(task, Coalitions(task)).has_companions

    def test_scores_of_float32_need_half_of_it_and_give_the_same_errors(self, monkeypatch: pytest.MonkeyPatch) -> None:
        task = small_task()
        single = replace(task, model=curved_model(6, dtype="float32"))
        monkeypatch.setattr(permutation, "SCORE_BYTES", 16 * 12 * (8 * 8 + 4 * ENOUGH))
        assert PermutationExplainer().orders(single, Coalitions(single)).has_companions
        assert not PermutationExplainer().orders(task, Coalitions(task)).has_companions
        monkeypatch.undo()
        np.testing.assert_allclose(walked(single, 2).errors, walked(task, 2).errors, rtol=1e-6)
        assert np.array_equal(walked(single, 2).values, walked(task, 2).values)

    def test_scores_beyond_float32_have_finite_errors(self) -> None:
        model = curved_model(6)
        model.set_weights({**model.weights(), "second": model.weights()["second"] * 1e60})
        answer = walked(replace(small_task(), model=model), 3)
        assert np.isfinite(answer.errors).all()
        assert answer.errors.max() > 1e50
