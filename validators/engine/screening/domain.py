"""Whether a model can tell two versions apart."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from validators.engine.screening.base import Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.drift import FEWEST_ROWS
from validators.engine.screening.features import content_columns, encode
from validators.engine.screening.learner import out_of_fold
from validators.engine.screening.same import shared_features
from validators.engine.screening.screened import Sample
from workers.datasets.canonical import canonical_table
from workers.statistics import area_under_curve
from workers.words import with_interval

FOLDS = 5


class TableDrift(Detector):
    """Whether the rows of the two versions can be told apart at all, by all features together.

    How: a domain classifier (Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, ICLR 2017): the simple model
    of the label detector learns which version a row is of; the area under the curve on rows it has not seen is 0.5
    where the versions are alike. The interval is DeLong's; equally many rows of each.

    Signs of high risk: an area well above 0.5 although no single column has moved: columns have changed together.

    What it does not show: which columns, whether a model suffers, and changes that the simple model cannot see. Ids,
    times and the label are left out.
    """

    entry = ENTRIES["table_drift"]

    def run(self, context: ScreeningContext) -> Detection:
        data, other, settings = context.data, context.other(), context.parameters
        names, problem = shared_features(data, other)
        if problem:
            return not_applicable(problem)
        names = [name for name in content_columns(data) if name in names]
        size = min(data.count, other.count, settings.rows)
        if size < FEWEST_ROWS or not names:
            return not_applicable(f"Each version needs at least {FEWEST_ROWS} rows and a feature that can be learned.")
        samples = [version.sample(names, size, context.generator) for version in (data, other)]
        size = min(sample.count for sample in samples)
        tables = [canonical_table(sample.table).slice(0, size) for sample in samples]
        tables[1] = tables[1].select(names).cast(tables[0].schema)
        both = Sample(pa.concat_tables(tables), np.arange(2 * size, dtype=np.int64), is_whole=False)
        encoded = encode(data, both, names)
        if not encoded.width:
            return not_applicable("No feature varies in a way that a simple model can learn from.")
        context.tell(0.2)
        is_ours = np.repeat(np.array([1, 0], dtype=np.intp), size)
        scores = out_of_fold(encoded, is_ours, folds=FOLDS, seed=context.seed % 2**32)[:, 1]
        area = area_under_curve(scores[is_ours == 1], scores[is_ours == 0])
        differs = (area.low or 0.0) >= settings.area
        told = f"from {size:,} rows of each, by {len(names):,} features: area under the curve {with_interval(area)}"
        return Detection(
            "found" if differs else "not_found",
            f"A simple model {'tells' if differs else 'is not shown to tell'} {data.ref} and {other.ref} apart {told}.",
            count=int(differs),
            unit="tables",
            share=None,
            detail={"area": area.to_json(), "seed": context.seed},
            looked_at=None if size == data.count else size,
        )
