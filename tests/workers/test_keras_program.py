"""A program of one trace gives what its function does, with the weights of the moment, and fails where it would."""

from __future__ import annotations

from typing import Any

import pytest

from tests.tiny_models import keras_module
from workers.protocol import JobError


@pytest.fixture
def tf() -> Any:
    keras_module()
    import tensorflow

    return tensorflow


def test_it_gives_what_the_function_gives_for_tensors_that_came_nested_or_not_at_all(tf: Any) -> None:
    from workers.frameworks.keras_program import Program

    def run(pair: list[Any], missing: Any, number: Any) -> tuple[Any, Any]:
        assert missing is None
        return pair[0] - pair[1], number + 1

    rows = tf.TensorSpec([None, 2], tf.float32)
    program = Program(run, [[rows, rows], None, tf.TensorSpec([], tf.int64)], autograph=False)
    for count in (1, 3):
        difference, number = program(tf.fill([count, 2], 5.0), tf.ones([count, 2]), tf.constant(count, tf.int64))
        assert difference.numpy().tolist() == [[4.0, 4.0]] * count
        assert int(number) == count + 1


def test_it_is_traced_once_and_sees_new_weights(tf: Any) -> None:
    from workers.frameworks.keras_program import Program

    weight, traces = tf.Variable(2.0), []

    def run(values: Any) -> Any:
        traces.append(values)
        return values * weight

    program = Program(run, [tf.TensorSpec([None], tf.float32)])
    assert program(tf.constant([3.0])).numpy().tolist() == [6.0]
    weight.assign(10.0)
    assert program(tf.constant([3.0, 1.0])).numpy().tolist() == [30.0, 10.0]
    assert len(traces) == 1


def test_what_the_function_refuses_is_refused_when_it_is_traced(tf: Any) -> None:
    from workers.frameworks.keras_program import Program

    def run(_values: Any) -> Any:
        raise JobError("no_gradient", "There is no gradient to follow.")

    with pytest.raises(JobError, match="no gradient to follow"):
        Program(run, [tf.TensorSpec([None], tf.float32)], autograph=False)


def test_tensors_of_another_dtype_or_number_are_no_answer(tf: Any) -> None:
    from workers.frameworks.keras_program import Program

    program = Program(lambda values: values + 1, [tf.TensorSpec([None], tf.float32)])
    with pytest.raises(tf.errors.InvalidArgumentError):
        program(tf.constant([1], tf.int64))
    with pytest.raises(ValueError, match="specifies"):
        program(tf.constant([1.0]), tf.constant([1.0]))
