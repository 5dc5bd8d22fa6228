"""Features: which values of the inputs are replaced together, and what each is called."""

from __future__ import annotations

import numpy as np
import pytest

from audits.engine.explainers.base import Task
from audits.engine.explainers.permutation import PermutationExplainer
from audits.engine.explainers.players import check_finite, players_of
from tests.audits.engine.explained import NumpyModel, all_outputs
from workers.datasets.schema import Schema
from workers.protocol import JobError
from workers.signature import Signature


def signature(*inputs: tuple[str, list[int], list[str]]) -> Signature:
    return Signature.from_json(
        {
            "inputs": [
                {"name": name, "shape": [-1, *shape], "dtype": "float32", "columns": columns}
                for name, shape, columns in inputs
            ],
            "outputs": [{"name": "answer", "shape": [-1, 2], "dtype": "float32", "kind": "logits"}],
        }
    )


def schema(**columns: tuple[str, list[int]]) -> Schema:
    return Schema.from_json(
        {
            "modality": "tabular",
            "columns": {
                name: {"role": "feature", "type": kind, **({"shape": shape} if shape else {})}
                for name, (kind, shape) in columns.items()
            },
        }
    )


def test_each_column_of_a_table_is_a_feature_in_the_order_of_the_input() -> None:
    players = players_of(
        signature(("features", [3], ["income", "age", "debt"])),
        schema(age=("integer", []), income=("float", []), debt=("float", [])),
    )
    assert players.names == ("income", "age", "debt")
    assert players.grid == (3,)
    np.testing.assert_array_equal(players.assignment["features"], [0, 1, 2])


def test_a_column_that_feeds_two_inputs_is_one_feature() -> None:
    players = players_of(
        signature(("left", [2], ["age", "income"]), ("right", [1], ["age"])),
        schema(age=("float", []), income=("float", [])),
    )
    assert players.names == ("age", "income")
    np.testing.assert_array_equal(players.assignment["right"], [0])
    weights = np.array([1.0, 10.0, 100.0])
    model = NumpyModel(
        lambda _, inputs: (np.concatenate([inputs["left"], inputs["right"]], axis=1) @ weights)[:, None],
        inputs={"left": (2,), "right": (1,)},
        outputs=1,
    )
    answer = PermutationExplainer().explain(
        Task(
            model=model,
            rows={"left": np.array([[2.0, 3.0]]), "right": np.array([[2.0]])},
            background={"left": np.zeros((2, 2)), "right": np.zeros((2, 1))},
            players=players,
            outputs=all_outputs(1, 1),
            output_names=("y",),
            seed=0,
        )
    )
    np.testing.assert_allclose(answer.values[0, :, 0], [202, 30])


def test_each_pixel_of_a_small_image_is_a_feature() -> None:
    players = players_of(signature(("image", [8, 8], ["image"])), schema(image=("image", [8, 8])))
    assert players.grid == (8, 8)
    assert players.count == 64
    assert players.names[9] == "pixel 1, 1"
    np.testing.assert_array_equal(players.assignment["image"], np.arange(64).reshape(8, 8))


def test_an_image_that_feeds_a_flat_input_keeps_its_pixels() -> None:
    players = players_of(signature(("features", [12], ["image"])), schema(image=("image", [3, 4])))
    assert players.grid == (3, 4)
    np.testing.assert_array_equal(players.assignment["features"], np.arange(12))


@pytest.mark.parametrize(("shape", "axis"), [([32, 32, 3], 2), ([3, 32, 32], 0), ([32, 32, 1], 2)])
def test_a_larger_image_is_cut_into_patches_with_all_channels(shape: list[int], axis: int) -> None:
    players = players_of(signature(("image", shape, ["image"])), schema(image=("image", shape)))
    assert players.patch == 2
    assert players.grid == (16, 16)
    assert players.names[17] == "patch 1, 1"
    assignment = players.assignment["image"]
    assert assignment.shape == tuple(shape)
    for channel in range(shape[axis]):
        plane = assignment.take(channel, axis=axis)
        assert (plane[2:4, 2:4] == 17).all()
        assert (plane == 17).sum() == 4


def test_the_patch_can_be_chosen_and_need_not_divide_the_image() -> None:
    players = players_of(signature(("image", [10, 7], ["image"])), schema(image=("image", [10, 7])), patch=3)
    assert players.grid == (4, 3)
    assert players.assignment["image"][9, 6] == 11
    with pytest.raises(JobError) as caught:
        players_of(signature(("image", [10, 7], ["image"])), schema(image=("image", [10, 7])), patch=8)
    assert caught.value.code == "patch_does_not_fit"


def test_an_image_beside_numbers_has_no_grid() -> None:
    players = players_of(
        signature(("image", [2, 2], ["image"]), ("features", [1], ["age"])),
        schema(image=("image", [2, 2]), age=("float", [])),
    )
    assert players.grid == (5,)
    assert players.names[-1] == "age"


def test_an_image_of_a_strange_shape_is_refused() -> None:
    with pytest.raises(JobError) as caught:
        players_of(signature(("image", [5, 6, 7], ["image"])), schema(image=("image", [5, 6, 7])))
    assert caught.value.code == "image_shape_unknown"


def test_positions_of_other_arrays_are_features_by_place() -> None:
    players = players_of(
        signature(("features", [4], ["age", "words"])), schema(age=("float", []), words=("tokens", [3]))
    )
    assert players.names == ("age", "words[0]", "words[1]", "words[2]")


def test_the_value_of_a_patch_is_the_mean_of_its_pixels() -> None:
    players = players_of(signature(("image", [4, 4], ["image"])), schema(image=("image", [4, 4])), patch=2)
    image = np.arange(16.0).reshape(1, 4, 4)
    np.testing.assert_allclose(players.data({"image": image})[0], [[2.5, 4.5], [10.5, 12.5]])


class TestGroups:
    """Columns that are one feature, such as the levels of a category."""

    SIGNATURE = signature(("features", [4], ["age", "north", "south", "west"]))
    SCHEMA = schema(age=("float", []), north=("integer", []), south=("integer", []), west=("integer", []))

    def test_they_have_the_name_of_the_group_and_are_replaced_as_one(self) -> None:
        players = players_of(self.SIGNATURE, self.SCHEMA, groups={"region": ["north", "south", "west"]})
        assert players.names == ("age", "region")
        np.testing.assert_array_equal(players.assignment["features"], [0, 1, 1, 1])
        assert players.groups == frozenset({1})

    def test_the_model_never_sees_two_levels_or_none(self) -> None:
        seen = []

        def scores(_: object, inputs: dict[str, np.ndarray]) -> np.ndarray:
            seen.append(inputs["features"][:, 1:].sum(axis=1))
            return inputs["features"] @ np.array([[1.0], [10.0], [20.0], [40.0]])

        answer = PermutationExplainer().explain(
            Task(
                model=NumpyModel(scores, inputs={"features": (4,)}, outputs=1),
                rows={"features": np.array([[3.0, 0, 0, 1]])},
                background={"features": np.array([[1.0, 1, 0, 0], [1.0, 0, 1, 0]])},
                players=players_of(self.SIGNATURE, self.SCHEMA, groups={"region": ["north", "south", "west"]}),
                outputs=all_outputs(1, 1),
                output_names=("y",),
                seed=0,
            )
        )
        assert set(np.concatenate(seen).tolist()) == {1.0}
        np.testing.assert_allclose(answer.values[0, :, 0], [2, 25])
        np.testing.assert_array_equal(answer.data, [[3, 2]])

    def test_columns_that_are_no_levels_have_their_mean_as_the_value(self) -> None:
        players = players_of(self.SIGNATURE, self.SCHEMA, groups={"region": ["north", "south", "west"]})
        rows = {"features": np.array([[0.0, 1, 1, 0], [0.0, 3, 0, 0], [0.0, 0, 1, 0], [0.0, 0, 0, 0]])}
        np.testing.assert_allclose(players.data(rows)[:, 1], [2 / 3, 1, 1, 0])

    def test_a_group_may_have_the_name_of_one_of_its_columns(self) -> None:
        players = players_of(self.SIGNATURE, self.SCHEMA, groups={"north": ["north", "south"]})
        assert players.names == ("age", "north", "west")

    @pytest.mark.parametrize(
        ("groups", "told"),
        [
            ({"region": []}, "has no column"),
            ({"region": ["east"]}, "names 'east', which does not feed the model"),
            ({"region": ["north"], "other": ["north"]}, "names 'north', which is in the group 'region' already"),
            ({"region": ["north", "north"]}, "names 'north', which is in the group 'region' already"),
            ({"age": ["north", "south"]}, "has the name of a column that is not in it"),
        ],
    )
    def test_groups_that_make_no_sense_are_refused(self, groups: dict[str, list[str]], told: str) -> None:
        with pytest.raises(JobError, match=told) as caught:
            players_of(self.SIGNATURE, self.SCHEMA, groups=groups)
        assert caught.value.code == "group_does_not_fit"
        assert caught.value.place == "groups"

    def test_an_array_is_no_level(self) -> None:
        with pytest.raises(JobError, match="'words', which holds arrays"):
            players_of(
                signature(("features", [4], ["age", "words"])),
                schema(age=("float", []), words=("tokens", [3])),
                groups={"all": ["age", "words"]},
            )


def test_positions_of_arrays_are_told_from_columns() -> None:
    players = players_of(
        signature(("features", [4], ["age", "words"])), schema(age=("float", []), words=("tokens", [3]))
    )
    assert [(block.features, block.shape) for block in players.blocks] == [((1, 2, 3), (3,))]
    image = players_of(signature(("image", [8, 8], ["image"])), schema(image=("image", [8, 8])), patch=2)
    assert [block.shape for block in image.blocks] == [(4, 4)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_with_a_missing_value_is_named(bad: float) -> None:
    rows = np.zeros((4, 3), dtype=np.float32)
    rows[2, 1] = bad
    with pytest.raises(JobError, match=r"Row 42 of the data set .* position 1 of the input 'features'") as caught:
        check_finite({"features": rows}, np.array([7, 11, 42, 50]), what="data set")
    assert caught.value.code == "row_not_finite"
    assert caught.value.place == "row 42"


def test_integers_are_always_finite() -> None:
    check_finite({"features": np.zeros((4, 3), dtype=np.int64)}, np.arange(4), what="data set")
