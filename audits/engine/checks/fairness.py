"""FAIR-01: differences between groups of a protected column."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.catalogue import ENTRIES, CriteriaError, FairnessParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, not_applicable, skipped
from audits.engine.checks.charts import dots_spec
from audits.engine.statistics import difference_of_shares, ratio_of_shares
from workers.statistics import Interval, wilson
from workers.words import counted, number, percent, with_interval

#: A column of numbers with more different values than this is put into bands.
MOST_VALUES = 10
MISSING = "missing"


@dataclass(frozen=True)
class _Rate:
    """One rate in one group: how many of how many."""

    group: str
    hits: int
    n: int

    @property
    def interval(self) -> Interval:
        return wilson(self.hits, self.n)


@dataclass(frozen=True)
class _Comparison:
    """The groups of one column by one rate, and the two that are farthest apart."""

    column: str
    measure: str
    rates: tuple[_Rate, ...]
    highest: _Rate
    lowest: _Rate

    @property
    def difference(self) -> Interval:
        return difference_of_shares(self.highest.hits, self.highest.n, self.lowest.hits, self.lowest.n)

    @property
    def ratio(self) -> Interval:
        return ratio_of_shares(self.lowest.hits, self.lowest.n, self.highest.hits, self.highest.n)


class DifferencesBetweenGroups(Check):
    """How much selection rate, true and false positive rate and error rate differ between the groups of each protected
    column.

    How: each rate of a group has Wilson's interval, the difference of the highest and the lowest Newcombe's, their
    ratio Katz's. Columns of many numbers are put into bands of equal mass. Rates of fewer than 30 rows are not
    compared. The largest difference over columns and rates is judged (demographic parity and equalised odds of Hardt,
    Price, Srebro, 2016, as differences).

    Signs of high risk: a difference above 0.20, most of all where its whole interval is.

    What it does not show: why the groups differ, or what is fair: observed outcomes may differ too, and not all of
    these differences can be zero at once. The largest of many differences is partly chance; small groups are left out.

    References: Hardt, Price, Srebro, "Equality of Opportunity in Supervised Learning", 2016; NIST AI RMF MEASURE 2.11;
    EU AI Act Article 10.
    """

    entry = ENTRIES["FAIR-01"]

    def run(self, context: CheckContext) -> CheckResult:
        if context.task == "regression":
            return not_applicable("The check compares rates of classes, and a regression has no classes.")
        columns = context.audited.schema.with_role("protected")
        if not columns:
            return not_applicable("No column of the audited data has the role `protected`.")
        settings: FairnessParameters = context.parameters
        comparisons, too_small = [], []
        for column in columns:
            groups = groups_of(context.audited.table.column(column).to_pylist(), settings.bands)
            for measure, hits, base in _measures(context, settings.positive_class):
                rates = [
                    _Rate(name, int((hits & base & members).sum()), int((base & members).sum()))
                    for name, members in groups.items()
                ]
                large = tuple(rate for rate in rates if rate.n >= settings.minimum_group)
                too_small += [
                    {"column": column, "measure": measure, "group": rate.group, "n": rate.n}
                    for rate in rates
                    if rate.n < settings.minimum_group
                ]
                if len(large) > 1:
                    ordered = sorted(large, key=lambda rate: rate.hits / rate.n)
                    comparisons.append(_Comparison(column, measure, large, ordered[-1], ordered[0]))
        if not comparisons:
            return skipped(
                f"No rate has two groups of at least {settings.minimum_group} rows in "
                f"{', '.join(columns)} ({context.audited.count:,} audited rows).",
                too_small=too_small,
            )
        return self._result(context, comparisons, too_small)

    def _result(
        self, context: CheckContext, comparisons: list[_Comparison], too_small: list[dict[str, Any]]
    ) -> CheckResult:
        ordered = sorted(comparisons, key=lambda one: -(one.difference.value or 0.0))
        worst = ordered[0]
        status, severity = context.judge(worst.difference.value)
        reason = (
            f"The largest difference is in {worst.measure}, {worst.column}: {worst.highest.group} "
            f"{percent(worst.highest.interval.value)} (n = {worst.highest.n:,}) against {worst.lowest.group} "
            f"{percent(worst.lowest.interval.value)} (n = {worst.lowest.n:,}), a difference of "
            f"{with_interval(worst.difference)}."
        )
        reason += self._against_limit(context, worst.difference)
        charts = [self._chart(context, column, ordered) for column in dict.fromkeys(one.column for one in ordered)]
        findings = []
        if status == "failed":
            findings.append(
                FindingDraft(
                    severity=severity,
                    title=f"{worst.measure.capitalize()} differs by {worst.column}: {number(worst.difference.value)}",
                    detail=reason,
                    remedy="Look for the features that carry the difference, and for rows that are missing or wrong.",
                    evidence=[{"kind": "chart", "id": chart["id"]} for chart in charts],
                )
            )
        return CheckResult(
            status=status,
            severity=severity,
            reason=reason,
            metrics=[
                Metric.of(
                    "largest difference",
                    worst.difference,
                    note=f"{worst.measure}, {worst.column}: {worst.highest.group} against {worst.lowest.group}",
                ),
                Metric.of("ratio, lowest to highest", worst.ratio, note=f"{worst.measure}, {worst.column}"),
                *(Metric.of(f"difference in {one.measure}, {one.column}", one.difference) for one in ordered[1:40]),
            ],
            findings=findings,
            charts=charts,
            detail={
                "comparisons": [
                    {
                        "column": one.column,
                        "measure": one.measure,
                        "groups": [
                            {"group": rate.group, "n": rate.n, "rate": rate.hits / rate.n} for rate in one.rates
                        ],
                        "difference": one.difference.to_json(),
                        "ratio": one.ratio.to_json(),
                    }
                    for one in ordered
                ],
                "too_small": too_small,
            },
            limits=f"{counted(len(too_small), 'rate')} of small groups were left out." if too_small else "",
        )

    def _against_limit(self, context: CheckContext, difference: Interval) -> str:
        limit = float(context.condition["max"])
        if difference.low is None or difference.high is None or difference.value is None:
            return ""
        if difference.low <= limit < difference.high:
            side = "below" if difference.value > limit else "above"
            return f" The interval reaches {side} the limit of {limit:g}."
        return ""

    def _chart(self, context: CheckContext, column: str, ordered: list[_Comparison]) -> dict[str, Any]:
        """Draw the rate that differs most in one column."""
        shown = next(one for one in ordered if one.column == column)
        limit = float(context.condition["max"])
        best = shown.highest.hits / shown.highest.n
        rows: list[dict[str, Any]] = []
        for rate in shown.rates:
            interval = rate.interval
            is_worst = rate == shown.lowest and (shown.difference.value or 0.0) > limit
            rows.append(
                {
                    "name": rate.group,
                    "value": interval.value,
                    "low": interval.low,
                    "high": interval.high,
                    "text": f"{percent(interval.value)} · n = {rate.n:,}",
                    "is_worst": is_worst,
                }
            )
        ends = [end for rate in shown.rates for end in (rate.interval.low, rate.interval.high) if end is not None]
        domain = (max(0.0, min(*ends, best - limit) - 0.05), min(1.0, max(ends) + 0.05))
        names = context.audited.schema.with_role("protected")
        return context.chart(
            f"groups-{names.index(column) + 1}",
            spec=dots_spec(rows, title=shown.measure, domain=domain, failing=(0.0, best - limit)),
            caption=(
                f"By {column}, {shown.measure} is {percent(shown.highest.interval.value)} for {shown.highest.group} "
                f"and {percent(shown.lowest.interval.value)} for {shown.lowest.group}. Lines are 95 % intervals; the "
                f"tinted area is more than {limit:g} below the highest group."
            ),
            label=f"{shown.measure} of each group of {column}; largest difference {number(shown.difference.value)}.",
            table={
                "columns": [column, shown.measure, "low", "high", "n"],
                "rows": [
                    [row["name"], row["value"], row["low"], row["high"], rate.n]
                    for row, rate in zip(rows, shown.rates, strict=True)
                ],
            },
        )


def _measures(context: CheckContext, positive_class: str) -> Iterator[tuple[str, NDArray[np.bool_], NDArray[np.bool_]]]:
    """Yield each rate: its name, which rows count, and among which rows."""
    rows, names = context.audited, context.class_names
    everyone = np.ones(rows.count, dtype=bool)
    yield "error rate", ~rows.is_right, everyone
    if positive_class:
        if positive_class not in names:
            raise CriteriaError(
                f"FAIR-01: `positive_class` {positive_class!r} is not a class of the model ({', '.join(names[:12])})."
            )
        favourable = [names.index(positive_class)]
    else:
        favourable = [1] if len(names) == 2 else list(range(len(names)))
    for number_of_class in favourable:
        chosen, is_so = rows.predicted == number_of_class, rows.targets == number_of_class
        label = repr(names[number_of_class])
        yield f"selection rate of {label}", chosen, everyone
        yield f"true positive rate of {label}", chosen, is_so
        yield f"false positive rate of {label}", chosen, ~is_so


def groups_of(values: list[Any], bands: int) -> dict[str, NDArray[np.bool_]]:
    """Return group name -> which rows are in it: one a value, or bands of equal mass of many numbers."""
    is_missing = np.array([value is None or value != value for value in values], dtype=bool)
    known = [value for value, missing in zip(values, is_missing, strict=True) if not missing]
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in known)
    groups: dict[str, NDArray[np.bool_]] = {}
    if are_numbers and len(set(known)) > MOST_VALUES:
        numbers = [np.nan if missing else value for value, missing in zip(values, is_missing, strict=True)]
        groups |= _bands(np.asarray(numbers, dtype=np.float64), bands)
    else:
        for value in sorted(set(known), key=lambda entry: (str(type(entry)), entry)):
            groups[str(value)] = np.array([entry == value for entry in values]) & ~is_missing
    if is_missing.any():
        groups[MISSING] = is_missing
    return groups


def _bands(values: NDArray[np.float64], bands: int) -> dict[str, NDArray[np.bool_]]:
    edges = np.unique(np.nanquantile(values, np.linspace(0, 1, bands + 1)))
    groups = {}
    for place, (low, high) in enumerate(itertools.pairwise(edges)):
        is_last = place == len(edges) - 2
        inside = (values >= low) & ((values <= high) if is_last else (values < high))
        groups[f"{low:g} to {high:g}" if is_last else f"{low:g} to below {high:g}"] = inside
    return groups
