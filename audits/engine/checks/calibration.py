"""CAL-01: calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.catalogue import ENTRIES, CalibrationParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, not_applicable, skipped
from audits.engine.checks.charts import reliability_spec
from workers.statistics import Interval, bootstrap_mean, wilson
from workers.words import number, percent, with_interval

FloatArray = NDArray[np.float64]
SIMULATIONS = 200


@dataclass(frozen=True)
class _Calibration:
    """The error with its interval, the bins, and what chance alone gives."""

    error: Interval
    bins: list[dict[str, Any]]
    by_chance: float


class Calibration(Check):
    """How far probabilities are from the shares that are observed.

    How: expected calibration error over 15 bins of equal mass (Naeini, Cooper, Hauskrecht, 2015; equal mass after
    Nguyen, O'Connor, 2015): the mean over rows of the gap of their bin. Of two classes it takes the probability of the
    second, of more the one of the predicted class. The interval is the percentile bootstrap of the rows' signed gaps,
    with bins and signs held. The error of a perfectly calibrated model on as many rows is simulated and told beside
    it.

    Signs of high risk: more than 0.15. Thresholds and costs that rest on the probabilities are then wrong.

    What it does not show: calibration inside groups, or of the classes that were not predicted. On few rows the error
    is too large by about what chance alone gives.

    References: Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", 2017; NIST AI RMF MEASURE 2.5.
    """

    entry = ENTRIES["CAL-01"]

    def run(self, context: CheckContext) -> CheckResult:
        if context.task == "regression":
            return not_applicable("A regression gives values and no probabilities.")
        settings: CalibrationParameters = context.parameters
        rows = context.audited
        if rows.count < settings.minimum_rows:
            return skipped(
                f"{rows.count:,} audited rows are too few for {settings.bins} bins; the check needs "
                f"{settings.minimum_rows:,}.",
                rows=rows.count,
            )
        is_binary = len(context.class_names) == 2
        if is_binary:
            confidence, outcome = rows.probabilities[:, 1], rows.targets == 1
            what, seen = f"probability of {context.class_names[1]!r}", f"share of {context.class_names[1]!r}"
        else:
            confidence, outcome = rows.probabilities.max(axis=1), rows.is_right
            what, seen = "probability of the predicted class", "share that is right"
        measured = measure(confidence, outcome, bins=settings.bins, generator=context.generator)
        status, severity = context.judge(measured.error.value)
        worst = max(measured.bins, key=lambda entry: abs(entry["observed"] - entry["predicted"]))
        gap = worst["predicted"] - worst["observed"]
        reason = (
            f"The expected calibration error is {with_interval(measured.error)}, n = {rows.count:,}; a perfectly "
            f"calibrated model would show {number(measured.by_chance)} on as many rows by chance."
        )
        chart = context.chart(
            "reliability",
            spec=reliability_spec(measured.bins, predicted=f"{what}, mean of the bin", observed=f"{seen}, observed"),
            caption=(
                f"Predicted and observed shares differ by at most {number(abs(gap))} in a bin: around "
                f"{percent(worst['predicted'], 0)} the model says too {'much' if gap > 0 else 'little'}. Dots are "
                f"{len(measured.bins)} bins of about {rows.count // len(measured.bins):,} rows, lines 95 % intervals; "
                "on the dashed line both agree."
            ),
            label=f"Observed against predicted share in {len(measured.bins)} bins; largest gap {number(abs(gap))}.",
            table={
                "columns": ["predicted", "observed", "low", "high", "n"],
                "rows": [
                    [entry["predicted"], entry["observed"], entry["low"], entry["high"], entry["n"]]
                    for entry in measured.bins
                ],
            },
        )
        findings = []
        if status == "failed":
            findings.append(
                FindingDraft(
                    severity=severity,
                    title=f"Probabilities are off by {number(measured.error.value)} on average",
                    detail=f"{reason} The largest gap is {number(abs(gap))} around {percent(worst['predicted'], 0)}.",
                    remedy="Calibrate on rows kept aside (temperature scaling), or train for fewer epochs.",
                    evidence=[{"kind": "chart", "id": chart["id"]}],
                )
            )
        return CheckResult(
            status=status,
            severity=severity,
            reason=reason,
            metrics=[
                Metric.of("expected calibration error", measured.error),
                Metric(
                    "error by chance alone", measured.by_chance, n=rows.count, note=f"mean of {SIMULATIONS} simulations"
                ),
                Metric("largest gap of a bin", abs(gap), n=worst["n"]),
            ],
            findings=findings,
            charts=[chart],
            detail={"bins": len(measured.bins), "probability": what},
        )


def measure(
    confidence: FloatArray, outcome: NDArray[np.bool_], *, bins: int, generator: np.random.Generator
) -> _Calibration:
    """Measure calibration of one probability a row against what happened, in bins of equal mass."""
    order = np.argsort(confidence, kind="stable")
    groups = [group for group in np.array_split(order, bins) if len(group)]
    signs = np.empty(len(confidence))
    told = []
    for group in groups:
        predicted, observed = float(confidence[group].mean()), wilson(int(outcome[group].sum()), len(group))
        share = observed.value or 0.0
        signs[group] = 1.0 if predicted >= share else -1.0
        told.append(
            {"predicted": predicted, "observed": share, "low": observed.low, "high": observed.high, "n": len(group)}
        )
    error = bootstrap_mean(signs * (confidence - outcome), generator=generator)
    low = None if error.low is None else max(0.0, error.low)
    return _Calibration(
        error=Interval(error.value, low, error.high, error.n, f"{error.method}; bins and signs held"),
        bins=told,
        by_chance=_by_chance(confidence, groups, generator),
    )


def _by_chance(confidence: FloatArray, groups: list[NDArray[np.intp]], generator: np.random.Generator) -> float:
    """Return the mean error when outcomes are drawn from the probabilities themselves."""
    total = 0.0
    for _ in range(SIMULATIONS):
        gaps = (generator.random(len(confidence)) < confidence) - confidence
        total += sum(abs(float(gaps[group].sum())) for group in groups) / len(confidence)
    return total / SIMULATIONS
