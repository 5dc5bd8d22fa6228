"""Labels that look wrong, and classes that are rare."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from validators.engine.screening.base import ColumnFinding, Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.features import content_columns, encode
from validators.engine.screening.learner import out_of_fold
from validators.engine.screening.screened import Sample, Target
from validators.engine.validation import text_of
from workers.statistics import Interval, wilson
from workers.words import counted, number, percent, share_with_interval, with_interval

FloatArray = NDArray[np.float64]
Classes = NDArray[np.intp]

#: From this share of suspect labels on, the classes are hard to tell apart, whoever labelled them.
OVERLAP = 0.1

NO_TARGET = "No column has the role `target`, so there are no labels to judge."


class LabelIssues(Detector):
    """Rows whose label is not the one that rows like them have.

    How: confident learning (Northcutt, Jiang, Chuang, JAIR 70, 2021) on probabilities that a simple model gives to rows
    it has not seen: boosting with logistic regression for tables, neighbours with logistic regression on principal
    components for images, logistic regression on hashed words for texts. Rows that reach the average probability of
    another class say which share of a class is labelled wrong; so many are flagged, those with the largest margin.

    Signs of high risk: many flagged rows between one pair of classes, or from one source.

    What it does not show: wrong labels that are wrong in one way everywhere, since the model learns them. Right labels
    of unusual rows are flagged as well. So rows are ranked for a person and never dropped.
    """

    entry = ENTRIES["label_issues"]

    def run(self, context: ScreeningContext) -> Detection:
        data, settings = context.data, context.parameters
        target = data.target
        if target is None or target.why_not:
            return not_applicable(target.why_not if target else NO_TARGET)
        names = content_columns(data)
        if not names:
            return not_applicable("No column of role feature holds what a simple model can learn from.")
        sample = data.sample([*names, target.name], settings.rows, context.generator)
        judged, classes, labels = _judged(sample, target, max(settings.minimum_class, settings.folds))
        if len(labels) < 2:
            return not_applicable(f"Fewer than two classes have {settings.minimum_class} rows.")
        encoded = encode(data, sample, names)
        if not encoded.width:
            return not_applicable("No column of role feature varies in a way that a simple model can learn from.")
        context.tell(0.1)
        probabilities = out_of_fold(encoded.of_rows(judged), classes, folds=settings.folds, seed=context.seed % 2**32)
        context.tell(0.9)
        better = confident_classes(probabilities, classes)
        issues = np.flatnonzero(better != classes)
        self._keep(context, sample.rows[judged[issues]], probabilities[issues], classes[issues], better[issues], labels)
        return self._told(context, len(judged), len(issues), probabilities, classes)

    @staticmethod
    def _keep(
        context: ScreeningContext,
        rows: NDArray[np.int64],
        probabilities: FloatArray,
        given: Classes,
        better: Classes,
        labels: list[str],
    ) -> None:
        places = np.arange(len(rows))
        own, other = probabilities[places, given], probabilities[places, better]
        reasons = [
            f"Labelled {labels[given[place]]!r}; rows like it are labelled {labels[better[place]]!r} "
            f"(probability {number(other[place], 2)} against {number(own[place], 2)} by a model that has not seen it)."
            for place in places
        ]
        context.rows.keep(rows, scores=other - own, reasons=reasons)

    @staticmethod
    def _told(
        context: ScreeningContext, judged: int, found: int, probabilities: FloatArray, classes: Classes
    ) -> Detection:
        share = wilson(found, judged)
        right = wilson(int((probabilities.argmax(axis=1) == classes).sum()), judged)
        sentence = (
            f"{counted(found, 'label')} of {judged:,} ({share_with_interval(share)}) "
            f"{'looks' if found == 1 else 'look'} wrong to a model that agrees with "
            f"{share_with_interval(right)} of the labels it has not seen."
        )
        if found > OVERLAP * judged:
            sentence += " So many mean classes that overlap rather than wrong labels."
        if judged < context.data.count:
            sentence += f" It looked at {judged:,} of {context.data.count:,} rows, drawn with seed {context.seed}."
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=found,
            share=share,
            detail={"agreement": right.to_json(), "folds": context.parameters.folds},
            looked_at=judged,
        )


def confident_classes(probabilities: FloatArray, classes: Classes) -> Classes:
    """Return the class that each row counts as: its own, unless it is among those that are labelled wrong.

    Args:
        probabilities: out-of-fold, shape (rows, classes).
        classes: the labels as given, shape (rows,).

    Source: C. Northcutt, L. Jiang, I. Chuang, Confident learning, JAIR 70 (2021), sections 3.1 and 3.2: the confident
    joint, with the average self-confidence of each class as its threshold, says which share of a class belongs to
    another one; so many rows are taken, those with the largest margin ("prune by noise rate").
    """
    class_count = probabilities.shape[1]
    thresholds = np.array([probabilities[classes == number, number].mean() for number in range(class_count)])
    reached = np.where(probabilities >= thresholds, probabilities, -1.0)
    is_confident = reached.max(axis=1) >= 0
    joint = np.zeros((class_count, class_count))
    np.add.at(joint, (classes[is_confident], reached.argmax(axis=1)[is_confident]), 1)
    best, margins = classes.copy(), np.zeros(len(classes))
    for given in range(class_count):
        rows = np.flatnonzero(classes == given)
        shares = joint[given] / max(1.0, joint[given].sum())
        for other in np.flatnonzero(np.arange(class_count) != given):
            margin = probabilities[rows, other] - probabilities[rows, given]
            noisiest = np.argsort(-margin, kind="stable")[: round(shares[other] * len(rows))]
            better = noisiest[margin[noisiest] > margins[rows[noisiest]]]
            best[rows[better]], margins[rows[better]] = other, margin[better]
    return best


def _judged(sample: Sample, target: Target, minimum: int) -> tuple[NDArray[np.intp], Classes, list[str]]:
    """Return the places of the rows whose class has enough rows, their class numbers, and the labels of those."""
    texts = label_texts(sample.column(target.name))
    seen: dict[str, int] = {}
    for text in texts:
        if text is not None:
            seen[text] = seen.get(text, 0) + 1
    labels = [label for label in target.counts if seen.get(label, 0) >= minimum]
    number_of = {label: place for place, label in enumerate(labels)}
    judged = np.array([place for place, text in enumerate(texts) if text in number_of], dtype=np.intp)
    classes = np.array([number_of[str(texts[place])] for place in judged], dtype=np.intp)
    return judged, classes, labels


def label_texts(column: pa.Array) -> list[str | None]:
    """Return labels as texts, None for one that is missing."""
    return [None if value is None else text_of(value) for value in column.to_pylist()]


class ClassImbalance(Detector):
    """Whether one class has many times the rows of another.

    How: rows a class over all rows with Wilson's interval, and the ratio of the largest to the smallest class with the
    interval of its logarithm (variance 1/a + 1/b for counts of one multinomial sample).

    Signs of high risk: a ratio above 10, or a class of so few rows that no rate of it can be measured.

    What it does not show: whether the shares are those of the population; a rare class may be rare in the world, too.
    """

    entry = ENTRIES["class_imbalance"]

    def run(self, context: ScreeningContext) -> Detection:
        target, settings = context.data.target, context.parameters
        if target is None or target.why_not:
            return not_applicable(target.why_not if target else NO_TARGET)
        if len(target.counts) < 2:
            return not_applicable(f"The target {target.name!r} has {counted(len(target.counts), 'class', 'classes')}.")
        total = sum(target.counts.values())
        largest, smallest = max(target.counts.values()), min(target.counts.values())
        ratio = ratio_of_counts(largest, smallest)
        rare = [
            (label, count)
            for label, count in target.counts.items()
            if count < settings.minimum_class or (ratio_of_counts(largest, count).low or 0.0) >= settings.ratio
        ]
        names = {count: label for label, count in target.counts.items()}
        share = wilson(smallest, total)
        sentence = (
            f"The largest of {len(target.counts):,} classes, {names[largest]!r}, has {with_interval(ratio, digits=1)} "
            f"times the rows of the smallest, {names[smallest]!r}, with {smallest:,} of {total:,} rows "
            f"({share_with_interval(share)})."
        )
        return Detection(
            "found" if rare else "not_found",
            sentence,
            count=len(rare),
            unit="classes",
            share=share,
            columns=[
                ColumnFinding(label, count / total, f"{counted(count, 'row')}, {percent(count / total, 2)} of all.")
                for label, count in sorted(rare, key=lambda entry: entry[1])
            ],
            detail={"ratio": ratio.to_json(), "classes": _shown_classes(target)},
        )


def _shown_classes(target: Target) -> list[dict[str, Any]]:
    return [{"label": label, "count": count} for label, count in list(target.counts.items())[:100]]


def ratio_of_counts(first: int, second: int) -> Interval:
    """Return the ratio of two counts of one multinomial sample with its 95 % interval; the second is above 0."""
    spread = math.exp(1.959964 * math.sqrt(1 / first + 1 / second))
    ratio = first / second
    return Interval(ratio, ratio / spread, ratio * spread, first + second, "log ratio of two counts, 95%")
