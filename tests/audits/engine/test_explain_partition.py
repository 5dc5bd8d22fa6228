"""Owen values: the definition, shap as oracle, hierarchies of tables, images and texts, and the estimate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.cluster.hierarchy import is_valid_linkage

from audits.engine.explainers.base import Attribution, Explainer, Task
from audits.engine.explainers.exact import ExactExplainer
from audits.engine.explainers.hierarchy import Hierarchy, distances
from audits.engine.explainers.partition import PartitionExplainer, PartitionParameters, coalitions_of
from audits.engine.explainers.players import Block, Players
from tests.audits.engine.explained import NumpyModel, all_outputs, curved_model, flat_players
from workers.protocol import JobError


def task_of(
    features: int,
    *,
    rows: int = 2,
    background: np.ndarray | None = None,
    players: Players | None = None,
    model: NumpyModel | None = None,
) -> Task:
    generator = np.random.default_rng(features)
    background = generator.normal(size=(6, features)) if background is None else background
    return Task(
        model=model or curved_model(features),
        rows={"features": generator.normal(size=(rows, features))},
        background={"features": background},
        players=players or flat_players(features),
        outputs=all_outputs(rows, 2),
        output_names=("a", "b"),
        seed=3,
    )


def positions(*shape: int) -> Players:
    """Return the positions of one array, the input being flat."""
    count = int(np.prod(shape))
    return Players(
        names=tuple(f"p{number}" for number in range(count)),
        assignment={"features": np.arange(count)},
        grid=shape,
        blocks=(Block(tuple(range(count)), shape),),
    )


def sampled(**settings: object) -> PartitionExplainer:
    """Return the estimator that draws orders even where the exact values could be had."""
    return PartitionExplainer(PartitionParameters(maximum_coalitions=0, **settings))  # type: ignore[arg-type]


def orders_of(hierarchy: Hierarchy, node: int | None = None) -> list[tuple[int, ...]]:
    node = 2 * hierarchy.count - 2 if node is None else node
    if node < hierarchy.count:
        return [(node,)]
    left, right = (orders_of(hierarchy, int(child)) for child in hierarchy.children[node - hierarchy.count])
    return [order for first in left for second in right for order in (first + second, second + first)]


def by_definition(task: Task) -> np.ndarray:
    """Return the mean over all orders that respect the hierarchy: (rows, features, outputs)."""
    rows, background = task.rows["features"], task.background["features"]
    values = np.zeros((len(rows), task.players.count, 2))
    orders = orders_of(Hierarchy.of_task(task))
    for place, row in enumerate(rows):
        for order in orders:
            composed = background.copy()
            before = task.model.logits({"features": composed}).mean(axis=0)
            for feature in order:
                composed[:, feature] = row[feature]
                after = task.model.logits({"features": composed}).mean(axis=0)
                values[place, feature] += after - before
                before = after
    return values / len(orders)


@pytest.mark.parametrize("features", [1, 2, 5, 7])
def test_a_small_hierarchy_has_the_values_of_the_definition(features: int) -> None:
    task = task_of(features)
    answer = PartitionExplainer().explain(task)
    np.testing.assert_allclose(answer.values, by_definition(task), atol=1e-12)
    assert answer.errors.max() == 0


def test_they_differ_from_shapley_values_and_add_up_alike() -> None:
    task = task_of(6)
    owen, shapley = PartitionExplainer().explain(task), ExactExplainer().explain(task)
    assert np.abs(owen.values - shapley.values).max() > 0.1
    np.testing.assert_allclose(owen.scores, shapley.scores, atol=1e-12)


def test_shap_has_the_same_values_for_the_same_hierarchy() -> None:
    import shap

    task = task_of(7, rows=3)
    answer = PartitionExplainer().explain(task)
    masker = shap.maskers.Partition(task.background["features"], max_samples=6, clustering=answer.hierarchy)
    theirs = shap.explainers.PartitionExplainer(lambda values: task.model.logits({"features": values}), masker)
    values = theirs(task.rows["features"], max_evals=100_000, silent=True).values
    np.testing.assert_allclose(answer.values, values, atol=1e-10)


def test_the_estimate_holds_the_exact_values_within_its_error() -> None:
    task = task_of(8, rows=6)
    exact = PartitionExplainer().explain(task)
    inside = []
    for seed in range(8):
        answer = sampled(tolerance=0.1, maximum_sweeps=100).explain(replace(task, seed=seed))
        np.testing.assert_array_equal(answer.hierarchy, exact.hierarchy)
        inside.append((np.abs(answer.values - exact.values) <= 2 * answer.errors)[answer.errors > 0])
    assert 0.90 <= np.concatenate(inside).mean() <= 0.98


def test_the_values_of_a_branch_do_not_hang_on_the_tree_below_it() -> None:
    """Two trees with the same two halves: the values of each half have the same sum."""
    whole = task_of(8, players=positions(8))
    pairs = Players(
        names=("left", "right"), assignment={"features": np.repeat([0, 1], 4)}, grid=(2,), blocks=(Block((0, 1), (2,)),)
    )
    fine, coarse = (PartitionExplainer().explain(replace(whole, players=players)) for players in (whole.players, pairs))
    np.testing.assert_allclose(fine.values.reshape(2, 2, 4, 2).sum(axis=2), coarse.values, atol=1e-12)


def test_large_hierarchies_are_estimated_and_no_branch_is_left_unexpanded() -> None:
    """A model of one pixel only: it alone has a value, where a cut-off tree would share it with its neighbours."""
    players = positions(20, 20)
    model = NumpyModel(
        lambda _, inputs: np.stack([inputs["features"][:, 137], -inputs["features"][:, 137]], axis=1),
        inputs={"features": (400,)},
        outputs=2,
    )
    task = task_of(400, players=players, model=model, rows=1)
    answer = PartitionExplainer().explain(task)
    assert answer.values.shape == (1, 20, 20, 2)
    assert answer.hierarchy is not None
    assert answer.hierarchy.shape == (399, 4)
    expected = task.rows["features"][0, 137] - task.background["features"][:, 137].mean()
    np.testing.assert_allclose(answer.flat_values[0, 137], [expected, -expected])
    assert np.abs(np.delete(answer.flat_values[0], 137, axis=0)).max() < 1e-12


@pytest.mark.parametrize("wrong", [{"maximum_coalitions": -1}, {"maximum_coalitions": 0.5}, {"tolerance": -1}])
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(JobError) as caught:
        PartitionExplainer.from_json(wrong)
    assert caught.value.code == "parameter_out_of_range"


@pytest.mark.parametrize("explainer", [PartitionExplainer(), sampled()])
def test_parts_can_be_gone_on_from(explainer: Explainer) -> None:
    task = task_of(5, rows=150)
    parts = list(explainer.parts(task))
    assert len(parts) > 1
    again = Attribution.joined(list(explainer.parts(task, first=parts[0].row_count)))
    assert np.array_equal(again.values, Attribution.joined(parts[1:]).values)


class TestHierarchy:
    def test_an_image_is_halved_along_its_longer_side(self) -> None:
        hierarchy = Hierarchy.of_task(task_of(8, players=positions(2, 4)))
        members = [np.flatnonzero(row).tolist() for row in hierarchy.members()[8:]]
        assert [0, 1, 4, 5] in members
        assert [2, 3, 6, 7] in members
        assert members[-1] == list(range(8))

    def test_a_text_is_halved_by_position(self) -> None:
        hierarchy = Hierarchy.of_task(task_of(5, players=positions(5)))
        members = [np.flatnonzero(row).tolist() for row in hierarchy.members()[5:]]
        assert sorted(members) == [[0, 1], [0, 1, 2], [0, 1, 2, 3, 4], [3, 4]]

    def test_columns_that_go_together_come_together(self) -> None:
        generator = np.random.default_rng(0)
        first, second = generator.normal(size=(2, 50, 1))
        noise = generator.normal(size=(50, 4)) * 0.1
        background = np.concatenate([first, second, -first, second], axis=1) + noise
        hierarchy = Hierarchy.of_task(task_of(4, background=background))
        members = [np.flatnonzero(row).tolist() for row in hierarchy.members()[4:]]
        assert [0, 2] in members
        assert [1, 3] in members

    def test_the_distance_is_one_less_the_correlation_and_a_constant_goes_with_nothing(self) -> None:
        background = np.array([[1.0, 2.0, 5.0], [2.0, 4.0, 5.0], [4.0, 1.0, 5.0]])
        apart = distances(task_of(3, background=background), range(3))
        expected = 1 - abs(np.corrcoef(background[:, 0], background[:, 1])[0, 1])
        np.testing.assert_allclose(apart, [[0, expected, 1], [expected, 0, 1], [1, 1, 0]], atol=1e-12)

    def test_one_background_row_still_gives_a_tree(self) -> None:
        hierarchy = Hierarchy.of_task(task_of(40, background=np.ones((1, 40))))
        assert is_valid_linkage(hierarchy.linkage)

    def test_a_text_beside_columns_meets_them_at_the_top(self) -> None:
        players = Players(
            names=tuple("abcdef"),
            assignment={"features": np.arange(6)},
            grid=(6,),
            blocks=(Block((1, 2, 3, 4), (4,)),),
        )
        hierarchy = Hierarchy.of_task(task_of(6, players=players))
        members = [np.flatnonzero(row).tolist() for row in hierarchy.members()[6:]]
        assert [1, 2, 3, 4] in members
        assert [0, 5] in members

    @pytest.mark.parametrize("players", [positions(4, 4), flat_players(16)])
    def test_it_is_a_linkage_that_scipy_takes(self, players: Players) -> None:
        hierarchy = Hierarchy.of_task(task_of(16, players=players))
        assert is_valid_linkage(hierarchy.linkage)
        assert hierarchy.linkage[-1, 3] == 16

    def test_drawn_orders_keep_every_branch_together_and_are_all_drawn(self) -> None:
        hierarchy = Hierarchy.of_task(task_of(4, players=positions(4)))
        ranks = hierarchy.draw(np.random.default_rng(0), 4000)
        drawn, counts = np.unique(ranks.argsort(axis=1), axis=0, return_counts=True)
        assert {tuple(order) for order in drawn.tolist()} == set(orders_of(hierarchy))
        assert np.abs(counts / 4000 - 1 / 8).max() < 0.03

    def test_the_coalitions_stop_being_listed_when_they_are_too_many(self) -> None:
        hierarchy = Hierarchy.of_task(task_of(8, players=positions(8)))
        masks, _ = coalitions_of(hierarchy, 44) or (None, None)
        assert masks is not None
        assert len(masks) == 44
        assert coalitions_of(hierarchy, 43) is None
