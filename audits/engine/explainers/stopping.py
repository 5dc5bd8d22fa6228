"""When a row's values are known well enough."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from audits.engine.explainers.base import FloatArray

#: Values of a row that may be expected beyond the tolerance. One row in twenty may break its tolerance; half of that is
#: left for the luck of a row that is looked at after every sweep and stops when its error happens to look small.
BEYOND = 0.025

#: Squared differences behind a standard error, at the least; fewer make it too uncertain to stop on.
DEGREES_OF_FREEDOM = 16


def are_settled(values: FloatArray, errors: FloatArray, tolerance: float, degrees_of_freedom: int) -> NDArray[np.bool_]:
    """Tell which rows keep a tolerance: *no* value's error is beyond that share of the row's largest value.

    The chances of all values of the row to be beyond it are added up, which is no less than the chance that any of them
    is, however they depend on each other. With one value it asks for 2.2 standard errors; with hundreds, of which two
    standard errors are sure to leave some outside, for more.

    Args:
        values: shape (rows, features, outputs).
        errors: their standard errors.
        degrees_of_freedom: behind each error; a value that is off by many errors is likelier where they are few.

    Returns:
        Truth of shape (rows,).
    """
    from scipy.special import stdtr

    limits = tolerance * np.abs(values).max(axis=(1, 2), keepdims=True)
    distances = np.divide(limits, errors, out=np.full_like(errors, np.inf), where=errors > 0)
    settled: NDArray[np.bool_] = 2 * stdtr(degrees_of_freedom, -distances).sum(axis=(1, 2)) <= BEYOND
    return settled
