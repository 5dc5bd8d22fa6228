"""Columns that give the label away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.screening.base import ColumnFinding, Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.features import codes_of, floats
from validators.engine.screening.labels import NO_TARGET, label_texts
from validators.engine.screening.screened import NUMBER_TYPES, Sample, Screened
from workers.statistics import Interval, area_under_curve, bootstrap, wilson
from workers.words import counted, listed, with_interval

#: What might give the label away: everything that a model could be fed, and what names or dates a row.
ROLES = ("feature", "protected", "id", "timestamp", "metadata")
#: Rows of each class that a half needs.
FEWEST_OF_CLASS = 10
MOST_LEAVES = 32
FEWEST_IN_LEAF = 5
#: Resamples of an R²: its low end is told with two digits.
RESAMPLES = 500


@dataclass(frozen=True)
class _Halves:
    """What is learned from, what is predicted, and the target as class numbers or as values."""

    seen: NDArray[np.intp]
    unseen: NDArray[np.intp]
    target: NDArray[Any]
    class_count: int

    @property
    def is_regression(self) -> bool:
        return self.class_count == 0


class LabelGiveaway(Detector):
    """Columns that say the label by themselves, on rows that they were not fitted to.

    How: a small decision tree (for categories, the shares of the classes in each) on one column and one half of the
    rows predicts the other half; the area under the curve of each class against the rest, weighted by the rows of the
    classes, with DeLong's interval; R² of the ranks, with a bootstrap, for a target of
    numbers. Kaufman et al., Leakage in Data
    Mining, TKDD 6 (2012), call such columns illegitimate. Ids, times and metadata are looked at, too.

    Signs of high risk: an area of 0.99 or more: the column was written after the label, or is made from it; an id or a
    time that says the label means that rows were put in order by it.

    What it does not show: whether the column is known at the time of a prediction; an honest column may be that good.
    Columns that give it away only together are not found.
    """

    entry = ENTRIES["label_giveaway"]

    def run(self, context: ScreeningContext) -> Detection:
        data, settings = context.data, context.parameters
        if data.schema.target is None or data.target is None:
            return not_applicable(NO_TARGET)
        names = [name for name in data.columns(roles=ROLES) if data.is_scalar(name)]
        if not names:
            return not_applicable("No column beside the target holds one value a row.")
        sample = data.sample([*names, data.schema.target], settings.rows, context.generator)
        halves = _halves(data, sample, context.generator)
        if isinstance(halves, str):
            return not_applicable(halves)
        measured: dict[str, Interval] = {}
        for done, name in enumerate(names):
            column = sample.column(name)
            score = _said_by(column, halves, context)
            if score is not None:
                measured[name] = score
            context.tell((done + 1) / len(names))
        found = {
            name: score
            for name, score in measured.items()
            if (score.value or 0.0) >= settings.area and (score.low or 0.0) >= settings.low_end
        }
        return self._told(context, sample, halves, measured, found)

    @staticmethod
    def _told(
        context: ScreeningContext,
        sample: Sample,
        halves: _Halves,
        measured: dict[str, Interval],
        found: dict[str, Interval],
    ) -> Detection:
        word = "R²" if halves.is_regression else "area under the curve"
        ordered = sorted(found, key=lambda name: -(found[name].value or 0.0))
        best = max(measured, key=lambda name: measured[name].value or 0.0, default=None)
        if found:
            sentence = (
                f"{counted(len(found), 'column')} of {len(measured):,} {'says' if len(found) == 1 else 'say'} the "
                f"label alone, on {len(halves.unseen):,} unseen rows: {listed(ordered)}."
            )
        else:
            sentence = f"No column of {len(measured):,} says the label alone on {len(halves.unseen):,} unseen rows"
            sentence += "." if best is None else f"; the best, {best}, has {word} {with_interval(measured[best])}."
        if not sample.is_whole:
            sentence += f" Measured on {sample.count:,} rows drawn with seed {context.seed}."
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=len(found),
            unit="columns",
            share=wilson(len(found), len(measured)) if measured else None,
            columns=[
                ColumnFinding(
                    name,
                    found[name].value or 0.0,
                    f"{word} {with_interval(found[name])} on unseen rows{_role_words(context.data, name)}.",
                )
                for name in ordered
            ],
            looked_at=None if sample.is_whole else sample.count,
        )


def _role_words(data: Screened, name: str) -> str:
    role = data.described(name).role
    if role == "id":
        return ", although it should only name the row"
    return ", although it should only date the row" if role == "timestamp" else ""


def _halves(data: Screened, sample: Sample, generator: np.random.Generator) -> _Halves | str:
    """Draw two halves of the labelled rows, or say why there are none."""
    target = data.target
    if target is None:
        return NO_TARGET
    column = sample.column(target.name)
    if target.why_not:
        if data.described(target.name).type not in NUMBER_TYPES:
            return target.why_not
        values = floats(column)
        return _drawn(_ranks(values), np.flatnonzero(np.isfinite(values)), 0, generator)
    texts = label_texts(column)
    number_of = {label: place for place, label in enumerate(target.counts)}
    classes = np.array([-1 if text is None else number_of[text] for text in texts], dtype=np.intp)
    counts = np.bincount(classes[classes >= 0], minlength=len(number_of))
    enough = np.flatnonzero(counts >= 2 * FEWEST_OF_CLASS)
    if len(enough) < 2:
        return f"Fewer than two classes have {2 * FEWEST_OF_CLASS} rows."
    renumbered = np.full(len(counts) + 1, -1)
    renumbered[enough] = np.arange(len(enough))
    classes = renumbered[classes]
    return _drawn(classes, np.flatnonzero(classes >= 0), len(enough), generator)


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rank of each value as a share, so that a few huge values do not decide what is said of all."""
    from scipy.stats import rankdata

    return np.asarray(rankdata(values, nan_policy="omit") / max(1, len(values)))


def _drawn(
    target: NDArray[Any], labelled: NDArray[np.intp], class_count: int, generator: np.random.Generator
) -> _Halves | str:
    if len(labelled) < 4 * FEWEST_OF_CLASS:
        return f"{counted(len(labelled), 'labelled row')} are too few to learn from a half and to predict the other."
    order = generator.permutation(labelled)
    middle = len(order) // 2
    return _Halves(np.sort(order[:middle]), np.sort(order[middle:]), target, class_count)


def _said_by(column: pa.Array, halves: _Halves, context: ScreeningContext) -> Interval | None:
    """Return how well a column alone predicts the unseen half; None where it does not vary."""
    values = codes_of(column).astype(np.float64) if pa.types.is_string(column.type) else floats(column)
    values = np.where(np.isfinite(values), values, np.nan)
    if len(np.unique(values[halves.seen])) < 2:
        return None
    if halves.is_regression:
        return _r_squared(values, halves, context)
    if pa.types.is_string(column.type):
        predicted = _shares_of_codes(values.astype(np.intp), halves)
    else:
        from sklearn.tree import DecisionTreeClassifier

        tree = DecisionTreeClassifier(max_leaf_nodes=MOST_LEAVES, min_samples_leaf=FEWEST_IN_LEAF, random_state=0)
        tree.fit(values[halves.seen, None], halves.target[halves.seen])
        predicted = np.zeros((len(halves.unseen), halves.class_count))
        predicted[:, tree.classes_] = tree.predict_proba(values[halves.unseen, None])
    return _area(predicted, halves)


def _shares_of_codes(codes: NDArray[np.intp], halves: _Halves) -> NDArray[np.float64]:
    """Predict the shares of the classes among the seen rows of a category; an unseen one says nothing."""
    counts = np.zeros((int(codes.max()) + 1, halves.class_count))
    np.add.at(counts, (codes[halves.seen], halves.target[halves.seen]), 1)
    overall = counts.sum(axis=0) / counts.sum()
    # One row's weight of the overall shares keeps a category of one row from saying anything with certainty.
    smoothed = (counts + overall) / (counts.sum(axis=1, keepdims=True) + 1)
    return np.asarray(smoothed[codes[halves.unseen]])


def _area(predicted: NDArray[np.float64], halves: _Halves) -> Interval:
    """Return the area of each class against the rest, weighted by rows; its low end is the weighted low ends.

    Where classes are parted without a single error DeLong's interval has no width; the rule of three is then what an
    error rate may still be (Hanley, Lippman-Hand, JAMA 249, 1983).
    """
    classes = halves.target[halves.unseen]
    n = len(classes)
    value = low = high = 0.0
    for number in range(halves.class_count):
        is_class = classes == number
        area = area_under_curve(predicted[is_class, number], predicted[~is_class, number])
        weight = float(is_class.mean())
        value += weight * (area.value if area.value is not None else 0.5)
        low += weight * (area.low if area.low is not None else 0.5)
        high += weight * (area.high if area.high is not None else 1.0)
    return Interval(value, min(low, value - 1.5 / n) if value >= 1.0 else low, min(high, 1.0), n, "DeLong, 95%")


def _r_squared(values: NDArray[np.float64], halves: _Halves, context: ScreeningContext) -> Interval:
    from sklearn.tree import DecisionTreeRegressor

    tree = DecisionTreeRegressor(min_samples_leaf=FEWEST_IN_LEAF, random_state=0)
    tree.fit(values[halves.seen, None], halves.target[halves.seen])
    truth = halves.target[halves.unseen]
    errors = (truth - tree.predict(values[halves.unseen, None])) ** 2
    spread = (truth - truth.mean()) ** 2

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1 - (weights @ errors) / np.maximum(weights @ spread, 1e-300))

    return bootstrap(statistic, len(truth), generator=context.generator, resamples=RESAMPLES)
