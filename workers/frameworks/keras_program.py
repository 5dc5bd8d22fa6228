"""A TensorFlow program of a fixed signature, called at the cost of what it computes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


class Program:
    """A function of tensors, traced once for arguments of certain shapes and dtypes.

    A ``tf.function`` looks at each call for the trace that fits its arguments, which takes several times as long as a
    small network does. Here there is one trace, and the arguments are known to fit: tensors in the order of the
    specifications, nested ones flattened, without those that are None.
    """

    def __init__(self, run: Callable[..., Any], specs: Sequence[Any], **options: Any) -> None:
        """Trace ``run`` for its arguments, each one a specification, a tensor, None or a list of them.

        ``options`` are those of ``tf.function``. What ``run`` raises is raised here.
        """
        self._traced = tf.function(run, **options).get_concrete_function(*specs)

    def __call__(self, *tensors: Any) -> Any:
        # The public way through the concrete function would look at the arguments again, and for a tape.
        return self._traced.inference_fn.call_preflattened([*tensors, *self._traced.captured_inputs])
