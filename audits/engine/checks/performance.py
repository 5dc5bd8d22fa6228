"""PER-01: task performance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from audits.engine.catalogue import ENTRIES, CriteriaError, PerformanceParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, skipped
from audits.engine.checks.charts import dots_spec
from workers.statistics import Interval, WeightedStatistic, bootstrap, wilson
from workers.words import number, percent, with_interval

NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "r2": "R²"}


@dataclass(frozen=True)
class _Measured:
    """The judged number of the model and of the baseline, and what the baseline answers."""

    metric: str
    model: Interval
    baseline: Interval
    answer: str


class TaskPerformance(Check):
    """How well the model does its task on the audited rows, as one number with its interval.

    How: accuracy with Wilson's interval, balanced accuracy or R² with the percentile bootstrap over rows. The lower
    end is held against the policy's floor and against the number of a baseline that always gives the most frequent
    class (or the mean) of the training rows, or of the audited rows where no training rows are known.

    Signs of high risk: an interval that reaches down to the baseline: the model is not shown to have learned anything.

    What it does not show: how the errors are spread over groups and slices, what an error costs, or how the model does
    on rows of another origin or time.

    References: Wilson, 1927; Efron, 1979; NIST AI RMF MEASURE 2.3 and 2.5; EU AI Act Article 15(1).
    """

    entry = ENTRIES["PER-01"]

    def run(self, context: CheckContext) -> CheckResult:
        settings: PerformanceParameters = context.parameters
        if context.audited.count < settings.minimum_rows:
            return skipped(
                f"{context.audited.count:,} audited rows are too few; the check needs {settings.minimum_rows:,}.",
                rows=context.audited.count,
            )
        measured = _measure(context, settings.metric)
        name, floor = NAMES[measured.metric], float(context.condition["min"])
        low, baseline = measured.model.low, measured.baseline.value
        is_above_floor = low is not None and low >= floor
        demands_baseline = bool(context.condition["above_baseline"])
        is_above_baseline = not demands_baseline or (low is not None and baseline is not None and low > baseline)
        is_met = is_above_floor and is_above_baseline
        as_percent = measured.metric != "r2"
        told = with_interval(measured.model, as_percent=as_percent)
        write = percent if as_percent else number
        against = []
        if floor or not as_percent or not is_above_floor:
            against.append(f"{'is' if is_above_floor else 'is not'} at least the floor of {write(floor)}")
        if demands_baseline:
            words = "above" if is_above_baseline else "not above"
            against.append(f"is {words} the {write(baseline)} of the baseline that {measured.answer}")
        reason = f"{name.capitalize() if as_percent else name} is {told}, n = {context.audited.count:,}"
        reason += f"; its lower end {' and '.join(against)}." if against else ", and nothing is asked of it."
        chart = self._chart(context, measured, floor, as_percent=as_percent)
        findings = []
        if not is_met:
            findings.append(
                FindingDraft(
                    severity="high",
                    title=f"{name.capitalize() if as_percent else name} is not shown to be good enough",
                    detail=reason,
                    remedy="Train on more or better data, or audit on more rows where the interval is wide.",
                    evidence=[{"kind": "chart", "id": chart["id"]}],
                )
            )
        return CheckResult(
            status="passed" if is_met else "failed",
            severity="" if is_met else "high",
            reason=reason,
            metrics=[
                Metric.of(name, measured.model, unit="share" if as_percent else ""),
                Metric.of(f"{name} of the baseline", measured.baseline, note=f"{measured.answer}"),
            ],
            findings=findings,
            charts=[chart],
            detail={"metric": measured.metric, "baseline": measured.answer},
        )

    def _chart(
        self, context: CheckContext, measured: _Measured, floor: float, *, as_percent: bool
    ) -> dict[str, object]:
        name = NAMES[measured.metric]
        write = percent if as_percent else number
        rows = []
        for label, interval, is_reference in (
            ("this version", measured.model, False),
            ("baseline", measured.baseline, True),
        ):
            rows.append(
                {
                    "name": label,
                    "value": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "text": f"{write(interval.value)} · n = {interval.n:,}",
                    "is_reference": is_reference,
                }
            )
        ends = [end for i in (measured.model, measured.baseline) for end in (i.low, i.high, i.value) if end is not None]
        bound = max(floor, measured.baseline.value or floor) if context.condition["above_baseline"] else floor
        domain = (0.0, 1.0) if as_percent else (min(*ends, floor) - 0.05, max(*ends, 1.0))
        return context.chart(
            "performance",
            spec=dots_spec(rows, title=name, domain=domain, failing=(domain[0], bound), as_percent=as_percent),
            caption=(
                f"{name.capitalize() if as_percent else name} is {with_interval(measured.model, as_percent=as_percent)}"
                f", that of the baseline {write(measured.baseline.value)}. Lines are 95 % intervals; a lower end in "
                "the tinted area fails."
            ),
            label=f"{name} of this version and of the baseline with intervals, against the limit {write(bound)}.",
            table={
                "columns": ["what", name, "low", "high", "n"],
                "rows": [[row["name"], row["value"], row["low"], row["high"], context.audited.count] for row in rows],
            },
        )


def _measure(context: CheckContext, metric: str) -> _Measured:
    if metric == "default":
        metric = "r2" if context.task == "regression" else "accuracy"
    if (metric == "r2") != (context.task == "regression"):
        raise CriteriaError(f"PER-01: the metric {metric} does not go with a {context.task}.")
    return _regression(context) if metric == "r2" else _classification(context, metric)


def _classification(context: CheckContext, metric: str) -> _Measured:
    rows = context.audited
    labels = (context.training or rows).targets
    usual = int(np.bincount(labels, minlength=len(context.class_names)).argmax())
    answer = f"always says {context.class_names[usual]!r}"
    is_usual = rows.targets == usual
    if metric == "accuracy":
        model = wilson(int(rows.is_right.sum()), rows.count)
        return _Measured(metric, model, wilson(int(is_usual.sum()), rows.count), answer)
    model = bootstrap(_balanced(rows.is_right, rows.targets), rows.count, generator=context.generator)
    value = 1 / len(np.unique(rows.targets))
    return _Measured(metric, model, Interval(value, None, None, rows.count, "one class of all that occur"), answer)


def _balanced(is_right: NDArray[np.bool_], targets: NDArray[np.int64]) -> WeightedStatistic:
    members = (targets[:, None] == np.unique(targets)).astype(np.float64)
    right = members * is_right[:, None]

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        counts = weights @ members
        recalls = np.divide(weights @ right, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
        return np.asarray(recalls.mean(axis=1))

    return statistic


def _regression(context: CheckContext) -> _Measured:
    rows = context.audited
    targets = rows.targets.reshape(rows.count).astype(np.float64)
    mean = float(np.mean((context.training or rows).targets))
    model = bootstrap(_r_squared(targets, rows.losses), rows.count, generator=context.generator)
    baseline = bootstrap(_r_squared(targets, (targets - mean) ** 2), rows.count, generator=context.generator)
    return _Measured("r2", model, baseline, f"always says the mean, {number(mean)}")


def _r_squared(targets: NDArray[np.float64], squared_errors: NDArray[np.float64]) -> WeightedStatistic:
    centred = targets - targets.mean()

    def statistic(weights: NDArray[np.float64]) -> NDArray[np.float64]:
        total = weights.sum(axis=1)
        spread = weights @ centred**2 - (weights @ centred) ** 2 / total
        explained = np.divide(weights @ squared_errors, spread, out=np.full(len(total), np.nan), where=spread > 1e-300)
        return np.asarray(1 - explained, dtype=np.float64)

    return statistic
