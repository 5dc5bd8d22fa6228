"""Which rows are the background: named ones, or a sample that is stratified by the target or by clusters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from audits.engine.explainers.rows import column_of, demand_there
from workers.datasets.arrays import model_inputs
from workers.datasets.reading import read_batches
from workers.datasets.schema import Schema
from workers.protocol import JobError
from workers.signature import Signature

BackgroundMethod = Literal["sample", "clusters", "rows"]

#: Clusters are looked for among at most so many rows, and in at most so many bytes of them.
CLUSTERED_ROWS = 20_000
CLUSTERED_BYTES = 64 * 1024 * 1024
#: Background rows of a cluster, on average.
ROWS_OF_A_CLUSTER = 4


@dataclass(frozen=True)
class Background:
    """The rows that were chosen to compare with.

    Attributes:
        numbers: of the whole data set, ascending.
        looked_at: rows among which they were chosen.
    """

    numbers: NDArray[np.int64]
    looked_at: int


def choose_background(
    path: Path,
    numbers: NDArray[np.int64],
    *,
    rows: int | tuple[int, ...],
    method: BackgroundMethod,
    schema: Schema,
    signature: Signature,
    seed: int,
) -> Background:
    """Choose background rows of a data set.

    ``sample`` draws without replacement; where there is a target the draw is systematic in the order of the target, so
    that each class, or each range of values, has its share of the background. ``clusters`` finds clusters in
    standardised inputs by k-means and draws from each in proportion to its size, not their centres: estimators use
    every background row alike, and of one row a cluster a cluster of ten rows would count as much as one of a thousand.
    ``rows`` takes those that are named.

    Args:
        path: the canonical Parquet of the data set version.
        numbers: of the rows that may be chosen, shape (rows,), ascending.
        rows: how many, or with ``rows`` which.
        method: see above.
        schema: of the data set.
        signature: of the model.
        seed: of what is drawn.

    Raises:
        JobError: ``row_not_there`` or ``row_named_twice`` with the row; ``background_not_clustered`` for token inputs.
    """
    if not isinstance(rows, int):
        demand_there(rows, numbers, where="the background")
        return Background(np.sort(np.asarray(rows, dtype=np.int64)), len(numbers))
    generator = np.random.default_rng([seed, 2])
    if rows >= len(numbers):
        return Background(numbers, len(numbers))
    if method == "clusters":
        return _from_clusters(path, numbers, rows, schema, signature, generator)
    return Background(_stratified(path, numbers, rows, schema.target, generator), len(numbers))


def _stratified(
    path: Path, numbers: NDArray[np.int64], count: int, target: str | None, generator: np.random.Generator
) -> NDArray[np.int64]:
    """Draw rows evenly in the order of the target; rows of one target are in random order."""
    shuffled = generator.permutation(numbers)
    if target is not None:
        column = column_of(path, target)
        if not pa.types.is_nested(column.type) and not isinstance(column.type, pa.BaseExtensionType):
            shuffled = shuffled[pc.array_sort_indices(column.take(pa.array(shuffled))).to_numpy()]
    return _evenly(shuffled, count, generator)


def _evenly(ordered: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw rows at one distance from each other in an order; each is as likely as any other."""
    step = len(ordered) / count
    places = np.floor((np.arange(count) + generator.random()) * step).astype(np.intp)
    return np.sort(ordered[places])


def _from_clusters(
    path: Path,
    numbers: NDArray[np.int64],
    count: int,
    schema: Schema,
    signature: Signature,
    generator: np.random.Generator,
) -> Background:
    """Draw rows evenly in the order of their clusters; rows of one cluster are in random order."""
    from sklearn.cluster import KMeans

    tokens = [name for name in _feature_columns(signature) if schema.columns[name].type == "tokens"]
    if tokens:
        raise JobError(
            "background_not_clustered",
            f"The column {tokens[0]!r} holds token ids, between which there is no distance; use the method 'sample'.",
            place="background_method",
        )
    width = sum(spec.width for spec in signature.inputs)
    most = max(count, min(CLUSTERED_ROWS, CLUSTERED_BYTES // (8 * width)))
    looked_at = np.sort(generator.choice(numbers, min(most, len(numbers)), replace=False))
    points = _standardised(path, looked_at, schema, signature)
    clusters = min(max(1, count // ROWS_OF_A_CLUSTER), len(np.unique(points, axis=0)))
    labels = KMeans(clusters, n_init=1, random_state=int(generator.integers(2**31))).fit(points).labels_
    shuffled = generator.permutation(len(looked_at))
    ordered = looked_at[shuffled[np.argsort(labels[shuffled], kind="stable")]]
    return Background(_evenly(ordered, count, generator), len(looked_at))


def _standardised(path: Path, numbers: NDArray[np.int64], schema: Schema, signature: Signature) -> NDArray[np.float64]:
    """Return the inputs of some rows, ascending, as one vector a row, each position with mean 0 and spread 1."""
    parts, first = [], 0
    for batch in read_batches(path, columns=sorted(set(_feature_columns(signature)))):
        inside = numbers[(numbers >= first) & (numbers < first + batch.num_rows)] - first
        inputs = model_inputs(pa.Table.from_batches([batch]).take(pa.array(inside)), schema, signature)
        parts.append(np.concatenate([values.reshape(len(inside), -1) for values in inputs.values()], axis=1))
        first += batch.num_rows
    points = np.concatenate(parts).astype(np.float64)
    spread = points.std(axis=0)
    standardised: NDArray[np.float64] = (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return standardised


def _feature_columns(signature: Signature) -> list[str]:
    return [name for spec in signature.inputs for name in spec.columns or (spec.name,)]
