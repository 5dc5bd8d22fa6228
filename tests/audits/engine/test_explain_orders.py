"""The orders that sweeps walk: each uniform by itself, balanced together, and in companions shifted by half."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from scipy.stats import chisquare

from audits.engine.explainers.base import Task
from audits.engine.explainers.coalitions import Coalitions
from audits.engine.explainers.hierarchy import Hierarchy
from audits.engine.explainers.orders import BalancedOrders, balanced_keys, near_groups, ranks_of
from audits.engine.explainers.partition import PartitionExplainer
from tests.audits.engine.explained import all_outputs, curved_model, flat_players


def task_of(background_count: int, features: int, *, seed: int = 3) -> Task:
    generator = np.random.default_rng(features)
    return Task(
        model=curved_model(features),
        rows={"features": generator.normal(size=(1, features))},
        background={"features": generator.normal(size=(background_count, features))},
        players=flat_players(features),
        outputs=all_outputs(1, 2),
        output_names=("a", "b"),
        seed=seed,
    )


def balanced(task: Task, scores: np.ndarray | None = None, *, has_companions: bool = True) -> BalancedOrders:
    if scores is None:
        scores = np.random.default_rng(0).normal(size=(task.background_count, 2))
    return BalancedOrders(task, scores, has_companions=has_companions)


@pytest.mark.parametrize("sweep", [0, 1])
@pytest.mark.parametrize(("background_count", "features"), [(1, 3), (7, 3), (20, 4)])
def test_each_order_by_itself_is_any_permutation_with_the_same_chance(
    background_count: int, features: int, sweep: int
) -> None:
    """For the first and the last background row, in a fresh sweep and in the next."""
    drawn = np.array([balanced(task_of(background_count, features, seed=seed)).of_sweep(sweep) for seed in range(1500)])
    every = list(itertools.permutations(range(features)))
    for row, place in itertools.product((0, background_count - 1), (0, 1)):
        counts = [int((drawn[:, row, place] == order).all(axis=1).sum()) for order in every]
        assert sum(counts) == 1500
        assert chisquare(counts).pvalue > 1e-3


class TestBalance:
    keys = balanced_keys(np.random.default_rng(1), groups=6, orders=10, features=200)
    distances = np.abs(keys - 0.5)

    def test_keys_lie_in_the_unit_interval_on_either_side_of_its_middle(self) -> None:
        assert self.keys.min() >= 0
        assert self.keys.max() < 1
        assert abs((self.keys < 0.5).mean() - 0.5) < 0.02

    def test_every_group_takes_each_tenth_of_the_distances_once(self) -> None:
        tenths = np.sort((self.distances * 20).astype(int).reshape(6, 10, 200), axis=1)
        np.testing.assert_array_equal(tenths, np.broadcast_to(np.arange(10)[:, None], tenths.shape))

    def test_all_orders_take_each_sixtieth_once(self) -> None:
        np.testing.assert_array_equal(
            np.sort((self.distances * 120).astype(int), axis=0), np.arange(60)[:, None].repeat(200, axis=1)
        )

    def test_which_sixth_of_a_tenth_falls_to_a_group_is_chance(self) -> None:
        """Each key is uniform, so the first group is no nearer to the middle than others."""
        parts = (self.distances * 120).astype(int) % 6
        counts = [np.bincount(group.reshape(-1), minlength=6) for group in parts.reshape(6, -1)]
        assert min(chisquare(of_group).pvalue for of_group in counts) > 1e-3

    def test_features_have_nothing_to_do_with_each_other(self) -> None:
        likeness = np.corrcoef(self.keys, rowvar=False) - np.eye(200)
        assert abs(likeness.mean()) < 0.01
        assert abs(np.sqrt((likeness**2).mean()) - 60**-0.5) < 0.02

    def test_the_two_orders_of_five_near_rows_are_one_group(self) -> None:
        """Rows of even numbers are near each other, and so are those of odd ones."""
        scores = np.arange(10)[:, None] % 2 * 100.0 + np.random.default_rng(0).normal(size=(10, 1))
        positions = (balanced(task_of(10, 400), scores).of_sweep(0) + 0.5) / 400
        for first in (0, 1):
            distances = np.sort(np.abs(positions[first::2].reshape(10, 400) - 0.5), axis=0)
            # A rank differs from its key by the luck of the other keys, whose standard deviation is 1/40 at most.
            assert np.abs(distances - (np.arange(10)[:, None] + 0.5) / 20).max() < 0.15
            assert np.sqrt(np.mean((distances - (np.arange(10)[:, None] + 0.5) / 20) ** 2)) < 0.04

    def test_ranks_are_those_of_the_keys(self) -> None:
        np.testing.assert_array_equal(ranks_of(np.array([[0.3, 0.9, 0.1], [0.5, 0.2, 0.7]])), [[1, 2, 0], [1, 0, 2]])


class TestSweeps:
    @pytest.mark.parametrize("background_count", [1, 2, 3, 5, 6, 11, 100])
    @pytest.mark.parametrize("features", [1, 2, 3, 30])
    def test_two_permutations_a_background_row(self, background_count: int, features: int) -> None:
        orders = balanced(task_of(background_count, features))
        for sweep in range(4):
            ranks = orders.of_sweep(sweep)
            assert ranks.shape == (background_count, 2, features)
            np.testing.assert_array_equal(np.sort(ranks, axis=2), np.broadcast_to(np.arange(features), ranks.shape))

    def test_every_second_sweep_shifts_the_one_before_by_half(self) -> None:
        orders = balanced(task_of(20, 7))
        for sweep in (0, 2, 4):
            np.testing.assert_array_equal(orders.of_sweep(sweep + 1), (orders.of_sweep(sweep) + 3) % 7)
        assert not np.array_equal(orders.of_sweep(0), orders.of_sweep(2))

    def test_they_begin_when_fresh_sweeps_have_given_sixteen_differences(self) -> None:
        few, one, many = (balanced(task_of(count, 3)) for count in (10, 1, 16))
        assert [few.is_companion(sweep) for sweep in range(6)] == [False, False, True, False, True, False]
        assert [many.is_companion(sweep) for sweep in range(4)] == [False, True, False, True]
        assert [one.is_companion(sweep) for sweep in range(15, 19)] == [False, True, False, True]
        assert [few.fresh_sweeps(sweeps) for sweeps in range(1, 7)] == [1, 2, 2, 3, 3, 4]

    def test_without_room_for_companions_every_sweep_is_fresh(self) -> None:
        orders = balanced(task_of(20, 7), has_companions=False)
        assert orders.fresh_sweeps(5) == 5
        assert not np.array_equal(orders.of_sweep(1), (orders.of_sweep(0) + 3) % 7)

    def test_what_was_asked_before_decides_nothing(self) -> None:
        forwards, backwards = balanced(task_of(20, 7)), balanced(task_of(20, 7))
        found = [forwards.of_sweep(sweep) for sweep in range(4)]
        for sweep in reversed(range(4)):
            np.testing.assert_array_equal(backwards.of_sweep(sweep), found[sweep])

    def test_orders_of_a_hierarchy_are_all_fresh_and_drawn_by_it(self) -> None:
        task = task_of(20, 7)
        orders = PartitionExplainer().orders(task, Coalitions(task))
        assert orders.fresh_sweeps(5) == 5
        for sweep in (0, 1):
            drawn = Hierarchy.of_task(task).draw(np.random.default_rng([3, sweep]), 40)
            np.testing.assert_array_equal(orders.of_sweep(sweep), drawn.reshape(20, 2, 7))


class TestNearGroups:
    @pytest.mark.parametrize("count", [1, 2, 5, 6, 11, 21, 100, 1003])
    @pytest.mark.parametrize("points", ["scattered", "all the same", "some the same"])
    def test_every_point_is_in_one_of_the_fewest_groups_of_at_most_five(self, count: int, points: str) -> None:
        scattered = np.random.default_rng(0).normal(size=(count, 3))
        chosen = {"scattered": scattered, "all the same": np.ones((count, 3)), "some the same": scattered.round()}
        groups = near_groups(chosen[points])
        np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(count))
        sizes = [len(group) for group in groups]
        assert len(groups) == -(-count // 5)
        assert max(sizes) <= 5
        assert max(sizes) - min(sizes) <= 2

    def test_points_of_a_cluster_are_together(self) -> None:
        """Eight clusters of five, at the corners of a cube that is longer in one direction than in others."""
        corners = np.array(list(itertools.product((0, 1), repeat=3))) * [1.0, 10.0, 100.0]
        mixed = np.random.default_rng(0).permutation(40)
        points = np.repeat(corners, 5, axis=0)[mixed]
        assert all(len(np.unique(points[group], axis=0)) == 1 for group in near_groups(points))

    def test_points_that_are_the_same_stay_in_order(self) -> None:
        np.testing.assert_array_equal(near_groups(np.zeros((1000, 2))), np.arange(1000).reshape(200, 5))

    def test_many_rows_of_many_outputs_take_one_copy_of_them(self) -> None:
        points = np.random.default_rng(0).normal(size=(4000, 1000))
        tracemalloc.start()
        try:
            groups = near_groups(points)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert len(groups) == 800
        assert peak < 1.1 * points.nbytes
