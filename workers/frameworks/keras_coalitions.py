"""Coalitions on TensorFlow: many batches composed, scored and credited in one compiled program."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from workers.frameworks.coalitions import MEMORY_BYTES, CoalitionScorer, Game, Scores, batch_rows
from workers.frameworks.keras_first_layer import BLOCK_STEPS, LEAST_FEATURES, BlocksProgram, FirstLayer
from workers.frameworks.keras_program import Program
from workers.frameworks.rows import conform, filled_up
from workers.frameworks.short_walks import Mixtures

if TYPE_CHECKING:
    from workers.frameworks.keras_running import TensorFlowModel

#: XLA takes about half a second to compile a program, which fewer composed rows than this do not earn back.
ROWS_WORTH_COMPILING = 200_000
#: Composed rows of a batch that is not compiled: more than otherwise, since each of its operations is a call.
ROWS_OF_A_CALL = 8192

#: Gives the scores of rows, one tensor an input, as floats of shape (rows, outputs).
Score = Callable[[list[Any]], Any]


@dataclass(frozen=True)
class _Batches:
    """Coalitions in batches of one size, the last ones filled up.

    A coalition holds the features whose place in an order is below a step: of a walk these are ranks, and a mask alone
    is the order with 0 for what it holds and 1 for the rest, and step 1.

    Attributes:
        orders: shape (orders, features).
        order_numbers, steps, background_rows: of each coalition, shape (batches, coalitions of a batch).
    """

    orders: NDArray[np.int32]
    order_numbers: NDArray[np.int32]
    steps: NDArray[np.int32]
    background_rows: NDArray[np.int32]


class TensorFlowCoalitionScorer(CoalitionScorer):
    """Runs batches of one fixed shape in a loop inside one program, compiled with XLA where that pays.

    ``score`` gives the scores of tensors on the scale of the game; ``compiles`` tells that XLA is good at the model;
    ``first_layer`` is the dense layer that the model begins with, if it does, through which walks along many features
    need not take whole rows.
    """

    def __init__(
        self,
        model: TensorFlowModel,
        game: Game,
        score: Score,
        *,
        compiles: bool,
        first_layer: FirstLayer | None = None,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        super().__init__(model, game, memory_bytes=memory_bytes)
        self._model: TensorFlowModel = model
        self._score_tensors = score
        self._first_layer = first_layer
        self._background_count = len(next(iter(game.background.values())))
        sweep = 4 * (game.features - 1) * self._background_count * len(game.outputs)
        self._is_compiled = compiles and sweep >= ROWS_WORTH_COMPILING
        self._rows_a_batch = batch_rows(model, at_most=None if self._is_compiled else ROWS_OF_A_CALL)
        self._background = self._on_device(game.background, np.arange(self._background_count))
        self._features = [self._features_of(spec.name) for spec in model.signature.inputs]

    def _batch_rows(self) -> int:
        return self._rows_a_batch

    def _masks_of_a_batch(self, row_count: int) -> int:
        return super()._masks_of_a_batch(filled_up(row_count))

    def _walks_of_a_batch(self, row_count: int, ranks: NDArray[np.intp]) -> int:
        """Share all background rows evenly among batches, since the last one is filled up to the size of the others."""
        batches = -(-self._background_count // super()._walks_of_a_batch(row_count, ranks))
        return -(-self._background_count // batches)

    def _score(self, rows: NDArray[np.intp], masks: NDArray[np.bool_], background_rows: NDArray[np.intp]) -> Scores:
        # Few masks need no full batch, unless a program of another size had to be compiled for them.
        most = self._masks_of_a_batch(len(rows))
        size = most if self._is_compiled else min(most, filled_up(len(masks)))
        numbers = np.arange(-(-len(masks) // size) * size, dtype=np.int32).reshape(-1, size)
        # The masks are filled up, too: then the same program takes any number of them that fills as many batches.
        filled = np.minimum(numbers, len(masks) - 1)
        batches = _Batches(
            orders=np.where(masks[filled.reshape(-1)], np.int32(0), np.int32(1)),
            order_numbers=numbers,
            steps=np.ones_like(numbers),
            background_rows=background_rows[filled].astype(np.int32),
        )
        found = self._run("scores", rows, batches, lambda scores: scores)
        answer: Scores = np.moveaxis(found, 0, 1).reshape(found.shape[1], -1, found.shape[3])
        return answer[: len(rows), : len(masks)]

    def _walk(self, rows: NDArray[np.intp], ranks: NDArray[np.intp], background_rows: NDArray[np.intp]) -> Scores:
        count, permutations, features = ranks.shape
        if self._first_layer is not None and self._are_in_blocks(len(rows)):
            return self._walk_in_blocks(self._first_layer, rows, ranks, background_rows)
        masks = 2 * permutations * (features - 1)
        unit, size = self._walks_of_a_batch(len(rows), ranks), self._masks_of_a_batch(len(rows))
        units, size = -(-count // unit), min(size, unit * masks)
        batches_a_unit = -(-unit * masks // size)
        own = np.minimum(np.arange(batches_a_unit * size), unit * masks - 1)
        numbers = np.minimum(np.arange(units)[:, None] * unit * masks + own, count * masks - 1).reshape(-1, size)
        both = np.stack([ranks, features - 1 - ranks], axis=2).astype(np.int32)
        batches = _Batches(
            orders=both.reshape(-1, features),
            order_numbers=(numbers // (features - 1)).astype(np.int32),
            steps=(numbers % (features - 1) + 1).astype(np.int32),
            background_rows=background_rows[numbers // masks].astype(np.int32),
        )
        starts, ends = self._ends(rows, background_rows)

        walk_shape = (count, permutations, 2)

        def credits(scores: Any, starts: Any, ends: Any, both: Any) -> Any:
            row_count, outputs = ends.shape
            scores = tf.reshape(tf.transpose(scores, [1, 0, 2, 3]), [row_count, units, -1, outputs])
            inner = tf.reshape(scores[:, :, : unit * masks], [row_count, -1, permutations, 2, features - 1, outputs])
            first = tf.broadcast_to(starts[:, :, None, None, None], [row_count, *walk_shape, 1, outputs])
            last = tf.broadcast_to(ends[:, None, None, None, None], [row_count, *walk_shape, 1, outputs])
            walk = tf.concat([first, inner[:, :count], last], axis=4)
            steps = tf.transpose(walk[..., 1:, :] - walk[..., :-1, :], [1, 2, 3, 4, 0, 5])
            # A feature's credit is the step that its rank leads to.
            found = tf.gather(steps, both, axis=3, batch_dims=3)
            return tf.transpose(found[:, :, 0] + found[:, :, 1], [3, 0, 1, 2, 4]) / 2

        more = _filled_rows(starts), _filled_rows(ends), both
        answer: Scores = self._run(f"walks of {unit}", rows, batches, credits, *more)
        return answer[: len(rows)]

    def _are_in_blocks(self, row_count: int) -> bool:  # noqa: ARG002 - what others decide by it
        return self._first_layer is not None and self._game.features > LEAST_FEATURES and self._features == [None]

    def _score_each(self, rows: NDArray[np.intp], mixtures: Mixtures) -> Scores:
        if not len(mixtures):
            return np.empty((0, self._game.outputs.shape[1]))
        size = self._batch_rows() if self._is_compiled else min(self._batch_rows(), filled_up(len(mixtures)))
        # How many batches are run is told at run time; only for how many there is room is part of the program.
        batch_count = -(-len(mixtures) // size)
        shape = filled_up(batch_count), size
        listed = (np.resize(array, shape).astype(np.int32) for array in mixtures.numbers(slice(None)))
        given = [
            self._on_device(self._game.rows, _filled_rows(rows)),
            self._background,
            self._features,
            self._picked(rows),
            tf.constant(mixtures.orders, tf.int32),
            *map(tf.constant, listed),
        ]
        program = _MixturesProgram(self._score_tensors, self._game.outputs.shape[1])
        answer = self._called("mixtures", program, batch_count, given)
        return answer.reshape(-1, answer.shape[2])[: len(mixtures)]

    def _walk_in_blocks(
        self,
        first_layer: FirstLayer,
        rows: NDArray[np.intp],
        ranks: NDArray[np.intp],
        background_rows: NDArray[np.intp],
    ) -> Scores:
        """Do what ``_walk`` does, in blocks of steps; batches begin anew with every so many background rows."""
        count, permutations, features = ranks.shape
        blocks = -(-(features - 1) // BLOCK_STEPS)
        steps = -(-(features - 1) // blocks)
        unit = self._walks_of_a_batch(len(rows), ranks)
        own = unit * permutations * blocks
        size = min(own, max(1, self._masks_of_a_batch(len(rows)) // (2 * steps)))
        filled = np.minimum(np.arange(-(-own // size) * size), own - 1)
        numbers = np.arange(-(-count // unit))[:, None] * own + filled
        numbers = np.minimum(numbers, count * permutations * blocks - 1).reshape(len(numbers), -1, size)
        # What fills up the last block is not looked at.
        orders = np.resize(ranks.argsort(axis=2).reshape(-1, features).T, (blocks * steps, count * permutations)).T
        starts, ends = self._ends(rows, background_rows)
        given = [
            self._on_device(self._game.rows, _filled_rows(rows))[0],
            self._background[0],
            tf.constant(ranks, tf.int32),
            tf.constant(orders.reshape(-1, steps), tf.int32),
            tf.constant(numbers, tf.int32),
            tf.constant(background_rows.repeat(permutations), tf.int32),
            self._picked(rows),
            tf.constant(_filled_rows(starts)),
            tf.constant(_filled_rows(ends)),
        ]
        program = BlocksProgram(first_layer, self._game.outputs.shape[1], blocks)
        answer: Scores = self._called("walks in blocks", program, numbers.shape[0] * numbers.shape[1], given)
        return answer[: len(rows)]

    def _run(
        self, name: str, rows: NDArray[np.intp], batches: _Batches, finish: Callable[..., Any], *more: NDArray[Any]
    ) -> NDArray[Any]:
        """Run the program that scores batches and finishes with what is wanted of them; compile it the first time."""
        group = self._on_device(self._game.rows, _filled_rows(rows))
        given = [
            group,
            self._background,
            self._features,
            *(tf.constant(array) for array in vars(batches).values()),
            self._picked(rows),
            [tf.constant(array) for array in more],
        ]
        program = _Program(self._score_tensors, finish, self._game.outputs.shape[1])
        return self._called(name, program, len(batches.steps), given)

    def _called(self, name: str, program: Callable[..., Any], batch_count: int, given: list[Any]) -> NDArray[Any]:
        """Call a program for a number of batches; it is traced when its name and shapes are first asked for."""
        # That the number of batches is told at run time keeps the compiler from rewriting the loop for it.
        given = [tf.constant(batch_count), *given]
        tensors = tf.nest.flatten(given)
        shapes = (None if tensor is None else tensor.shape for tensor in tensors)
        key = (name, self._game.scale, self._is_compiled, *shapes)
        with tf.device(self._model.place):
            if key not in self._model.programs:
                self._model.programs[key] = Program(program, given, jit_compile=self._is_compiled, autograph=False)
            found = self._model.programs[key](*(tensor for tensor in tensors if tensor is not None))
        answer: NDArray[Any] = found.numpy()
        return answer

    def _picked(self, rows: NDArray[np.intp]) -> Any | None:
        """Return the outputs that are wanted of each row, or None where they are all."""
        if self._takes_all(self.of_background().shape[1]):
            return None
        return tf.constant(self._game.outputs[_filled_rows(rows)], tf.int32)

    def _features_of(self, name: str) -> Any | None:
        """Return the feature of each input value, or None where they are all features in order."""
        flat = self._game.assignment[name].reshape(-1)
        is_plain = np.array_equal(flat, np.arange(self._game.features))
        return None if is_plain else tf.constant(flat, tf.int32)

    def _on_device(self, inputs: Mapping[str, NDArray[Any]], rows: NDArray[np.intp]) -> list[Any]:
        some = {name: np.asarray(values)[rows] for name, values in inputs.items()}
        with tf.device(self._model.place):
            return self._model._tensors(conform(some, self._model.signature), slice(None))


class _MixturesProgram:
    """What is traced once: a loop over batches of rows that are composed one by one."""

    def __init__(self, score: Score, outputs: int) -> None:
        self._score = score
        self._outputs = outputs

    def __call__(
        self,
        count: Any,
        group: list[Any],
        background: list[Any],
        features: list[Any],
        picked: Any,
        orders: Any,
        rows: Any,
        background_rows: Any,
        order_numbers: Any,
        steps: Any,
    ) -> Any:
        def scores(number: Any) -> Any:
            kept = tf.gather(orders, order_numbers[number]) < steps[number][:, None]
            of_group = rows[number]
            composed = [
                _mixed(tf.gather(values, of_group), tf.gather(filling, background_rows[number]), kept, places)
                for values, filling, places in zip(group, background, features, strict=True)
            ]
            found = tf.cast(self._score(composed), tf.float64)
            return found if picked is None else tf.gather(found, tf.gather(picked, of_group), axis=1, batch_dims=1)

        return _looped(count, scores, [*steps.shape, self._outputs])


class _Program:
    """What is traced once: a loop over batches, and what is made of all their scores."""

    def __init__(self, score: Score, finish: Callable[..., Any], outputs: int) -> None:
        self._score = score
        self._finish = finish
        self._outputs = outputs

    def __call__(
        self,
        count: Any,
        group: list[Any],
        background: list[Any],
        features: list[Any],
        orders: Any,
        order_numbers: Any,
        steps: Any,
        background_rows: Any,
        picked: Any,
        more: list[Any],
    ) -> Any:
        size, row_count = steps.shape[1], group[0].shape[0]
        # Repeated once for all batches, since TensorFlow broadcasts along one axis only without losing much time.
        group = [tf.repeat(values[:, None], size, axis=1) for values in group]

        def scores(number: Any) -> Any:
            kept = tf.gather(orders, order_numbers[number]) < steps[number][:, None]
            composed = [
                _mixed(values, tf.gather(filling, background_rows[number]), kept, places)
                for values, filling, places in zip(group, background, features, strict=True)
            ]
            found = self._score(composed)
            found = tf.cast(tf.reshape(found, [row_count, size, found.shape[1]]), tf.float64)
            return found if picked is None else tf.gather(found, picked, axis=2, batch_dims=1)

        found = _looped(count, scores, [steps.shape[0], row_count, size, self._outputs])
        return self._finish(found, *more)


def _looped(count: Any, scores: Callable[[Any], Any], shape: list[int]) -> Any:
    """Return the scores of so many batches, of that shape; those that are not asked for stay 0."""
    found = tf.TensorArray(tf.float64, size=shape[0], element_shape=shape[1:])
    _, found = tf.while_loop(
        lambda number, _found: number < count,
        lambda number, found: (number + 1, found.write(number, scores(number))),
        (tf.constant(0), found),
        parallel_iterations=1,
    )
    return found.stack()


def _mixed(values: Any, filling: Any, kept: Any, places: Any) -> Any:
    """Return rows composed under masks, shape (composed rows, *row_shape).

    Args:
        values: of the rows themselves, shape (masks, *row_shape), or (rows, masks, *row_shape) where all have the same.
        filling: shape (masks, *row_shape).
        kept: shape (masks, features).
        places: the feature of each value of a row; None where they are all in order.
    """
    if places is not None:
        kept = tf.gather(kept, places, axis=1)
    row_shape, many = filling.shape[1:], math.prod(values.shape[: len(values.shape) - len(filling.shape) + 1])
    shape = [many // filling.shape[0], -1]
    values, filling, kept = tf.reshape(values, shape), tf.reshape(filling, [1, -1]), tf.reshape(kept, [1, -1])
    # A choice between tensors of one shape is one pass; where one is repeated for rows, it is slower than products.
    if shape[0] == 1 or not values.dtype.is_floating:
        return tf.reshape(tf.where(kept, values, filling), [many, *row_shape])
    kept = tf.cast(kept, values.dtype)
    return tf.reshape(filling * (1 - kept) + kept * values, [many, *row_shape])


def _filled_rows(array: NDArray[Any]) -> NDArray[Any]:
    """Repeat the first row until there are as many as a program takes."""
    missing = filled_up(len(array)) - len(array)
    return np.concatenate([array, np.repeat(array[:1], missing, axis=0)])
