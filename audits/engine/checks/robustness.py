"""ROB-01: accuracy under white-box attack."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.attacks.pgd import Norm, pgd
from audits.engine.attacks.space import Space, rows_of
from audits.engine.catalogue import ENTRIES, CriteriaError, RobustnessParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, not_applicable, skipped
from audits.engine.checks.charts import attack_curve_spec
from workers.frameworks.rows import is_differentiable
from workers.statistics import Interval, wilson
from workers.words import counted, listed, percent, with_interval

NORMS: dict[Norm, str] = {"linf": "L∞", "l2": "L2"}
#: Columns of these types have no values in between.
FIXED_TYPES = ("boolean", "tokens")


@dataclass
class _Curve:
    """Rows that keep their class at each size, for one norm."""

    norm: Norm
    robust: dict[float, int]
    without_gradient: int = 0


class AccuracyUnderAttack(Check):
    """Which share of the right answers stays right when an attacker who knows the model changes each row a little.

    How: projected gradient descent with restarts (Madry et al., 2018) on cross-entropy and on the margin, in L-infinity
    (each feature moves at most eps of its standard deviation; a pixel, of the range of the data, in which images also
    stay) and in L2. Sizes are tried in rising order and a row that was broken stays broken. The lower of both ratios at
    the policy's eps is judged; its interval is Wilson's over the rows that are right without an attack.

    Signs of high risk: less than a quarter stays right at the policy's eps, or gradients that are zero.

    What it does not show: that anybody could make such a change, or that a stronger or an adaptive attack would not do
    better: an attack gives an upper bound of robustness. Zero gradients hide weakness; ROB-02 looks for that.

    References: OWASP ML01, MITRE ATLAS AML.T0015 and AML.T0043.000, NIST AI 100-2 NISTAML.022.
    """

    entry = ENTRIES["ROB-01"]

    def run(self, context: CheckContext) -> CheckResult:
        if context.task == "regression":
            return not_applicable("The check counts rows that keep their class, and a regression has no classes.")
        settings: RobustnessParameters = context.parameters
        space, fixed, unit = space_of(context, settings.fixed_columns)
        if not space.moved_count:
            return not_applicable("No input value of the model can be moved by a fraction of its scale.", fixed=fixed)
        rows = context.audited
        drawn = draw_stratified(rows.targets, settings.rows, context.generator)
        right = drawn[rows.is_right[drawn]]
        if len(right) < settings.minimum_rows:
            return skipped(
                f"{counted(len(right), 'row')} of {len(drawn):,} drawn are right without an attack; the check needs "
                f"{settings.minimum_rows:,}.",
                rows=len(drawn),
            )
        sizes = sorted({*(settings.eps * factor for factor in settings.curve), settings.eps})
        curves = [self._attack(context, right, space, norm, sizes, place) for place, norm in enumerate(NORMS)]
        return self._result(context, curves, drawn=len(drawn), right=len(right), sizes=sizes, fixed=fixed, unit=unit)

    def _attack(
        self, context: CheckContext, right: NDArray[np.intp], space: Space, norm: Norm, sizes: list[float], place: int
    ) -> _Curve:
        settings: RobustnessParameters = context.parameters
        factor = settings.l2_factor if norm == "l2" else 1.0
        curve = _Curve(norm, {})
        standing = right
        for number, size in enumerate(sizes):
            done, words = place * len(sizes) + number, f"{NORMS[norm]} attack, eps {size:g}"

            def progress(starts: int, total: int, done: int = done, words: str = words) -> None:
                context.tell((done + starts / total) / (2 * len(sizes)), words)

            outcome = pgd(
                context.model,
                rows_of(context.audited.inputs, standing),
                context.audited.targets[standing],
                space,
                norm=norm,
                eps=size * factor,
                steps=settings.steps,
                restarts=settings.restarts,
                generator=context.generator,
                progress=progress,
            )
            if number == 0:
                curve.without_gradient = outcome.without_gradient
            standing = standing[~outcome.broken]
            curve.robust[size] = len(standing)
        return curve

    def _result(
        self,
        context: CheckContext,
        curves: list[_Curve],
        *,
        drawn: int,
        right: int,
        sizes: list[float],
        fixed: list[str],
        unit: str,
    ) -> CheckResult:
        settings: RobustnessParameters = context.parameters
        ratios = {curve.norm: wilson(curve.robust[settings.eps], right) for curve in curves}
        worst = min(curves, key=lambda curve: curve.robust[settings.eps])
        ratio = ratios[worst.norm]
        clean = wilson(right, drawn)
        under = wilson(worst.robust[settings.eps], drawn)
        status, severity = context.judge(ratio.value)
        length = settings.eps * (settings.l2_factor if worst.norm == "l2" else 1.0)
        reason = (
            f"Accuracy falls from {percent(clean.value)} to {percent(under.value)} under the {NORMS[worst.norm]} "
            f"attack of size {length:g}: of {right:,} right rows, {with_interval(ratio, as_percent=True)} stay right."
        )
        blind = curves[0].without_gradient
        if blind:
            reason += (
                f" {counted(blind, 'row')} of {right:,} {'has' if blind == 1 else 'have'} no gradient at all, so the "
                "attack sees little there and the model may be weaker than this."
            )
        chart = self._chart(context, curves, clean=clean, drawn=drawn, right=right, sizes=sizes, unit=unit)
        findings = []
        if status == "failed":
            findings.append(
                FindingDraft(
                    severity=severity,
                    title=f"Small changes turn the decision of {percent(1 - (ratio.value or 0.0), 0)} of right rows",
                    detail=reason,
                    remedy="Train on attacked rows (adversarial training), or check inputs before the model gets them.",
                    evidence=[{"kind": "chart", "id": chart["id"]}],
                )
            )
        return CheckResult(
            status=status,
            severity=severity,
            reason=reason,
            metrics=[
                Metric.of("robust / clean", ratio, unit="share", note=f"the lower of both norms, {NORMS[worst.norm]}"),
                *(Metric.of(f"robust / clean, {NORMS[norm]}", value, unit="share") for norm, value in ratios.items()),
                Metric.of("accuracy without attack", clean, unit="share"),
                Metric.of("accuracy under attack", under, unit="share"),
            ],
            findings=findings,
            charts=[chart],
            detail={
                "eps": settings.eps,
                "l2_length": settings.eps * settings.l2_factor,
                "attack": f"PGD, {settings.steps} steps, {counted(settings.restarts, 'start')}",
                "rows": drawn,
                "fixed": fixed,
                "unit": unit,
                "rows_without_gradient": blind,
            },
            limits=f"Held fixed: {listed(fixed)}." if fixed else "",
        )

    def _chart(
        self, context: CheckContext, curves: list[_Curve], *, clean: Interval, drawn: int, right: int,
        sizes: list[float], unit: str,
    ) -> dict[str, Any]:  # fmt: skip
        settings: RobustnessParameters = context.parameters
        names = {"linf": "L∞", "l2": f"L2, length {settings.l2_factor:g} × eps"}
        points = []
        for curve in curves:
            for size in (0.0, *sizes):
                share = wilson(curve.robust.get(size, right), drawn)
                points.append(
                    {
                        "attack": names[curve.norm],
                        "eps": size,
                        "value": share.value,
                        "low": share.low,
                        "high": share.high,
                    }
                )
        share_clean = clean.value or 0.0
        limit = float(context.condition["min"]) * share_clean
        half = [size for size in sizes if min(curve.robust[size] for curve in curves) <= right / 2]
        words = f"is at most half by eps {half[0]:g}" if half else f"stays above half up to eps {sizes[-1]:g}"
        return context.chart(
            "curve",
            spec=attack_curve_spec(points, limit=limit, eps=settings.eps, unit=unit, n=drawn),
            caption=(
                f"Accuracy under attack {words}; without an attack it is {percent(clean.value)}. The band is the 95 % "
                "interval; in the tinted area the policy's limit is not met."
            ),
            label=f"Accuracy under attack over the size of the change, from {percent(clean.value)} at 0.",
            table={
                "columns": ["attack", "eps", "accuracy", "low", "high", "n"],
                "rows": [[p["attack"], p["eps"], p["value"], p["low"], p["high"], drawn] for p in points],
            },
        )


def space_of(context: CheckContext, fixed_columns: tuple[str, ...]) -> tuple[Space, list[str], str]:
    """Return where the attack may move, the columns that it may not, and the unit of eps in words.

    The scale is the standard deviation over the training rows, else over the audited ones. Image values have the range
    of the data as scale and stay in it.

    Raises:
        CriteriaError: a column to hold fixed that feeds no input.
    """
    schema, signature = context.audited.schema, context.signature
    known = [name for spec in signature.inputs for name in (spec.columns or (spec.name,))]
    for name in fixed_columns:
        if name not in known:
            raise CriteriaError(f"ROB-01: `fixed_columns` names {name!r}, which feeds no input of the model.")
    reference = (context.training or context.audited).inputs
    shapes: dict[str, tuple[int, ...]] = {}
    scales, lows, highs = [], [], []
    fixed: list[str] = []
    has_images = has_numbers = False
    for spec in signature.inputs:
        names = spec.columns or (spec.name,)
        if not is_differentiable(spec):
            fixed += names
            continue
        both = [np.asarray(rows[spec.name], dtype=np.float64).reshape(len(rows[spec.name]), -1)
                for rows in (reference, context.audited.inputs)]  # fmt: skip
        spread = both[0].std(axis=0)
        low, high = np.full(spec.width, -math.inf), np.full(spec.width, math.inf)
        at = 0
        for name in names:
            column = schema.columns[name]
            place = slice(at, at + column.width)
            at += column.width
            if name in fixed_columns or column.type in FIXED_TYPES:
                spread[place] = 0.0
                fixed.append(name)
            elif column.type == "image":
                low[place] = min(values[:, place].min() for values in both)
                high[place] = max(values[:, place].max() for values in both)
                spread[place] = high[place] - low[place]
                has_images = True
            else:
                has_numbers = True
        shapes[spec.name] = spec.row_shape
        scales.append(spread)
        lows.append(low)
        highs.append(high)
    if not shapes:
        empty = np.zeros(0)
        return Space(shapes={}, scale=empty, low=empty, high=empty), fixed, ""
    units = ["standard deviations of the feature"] * has_numbers + ["the range of the image data"] * has_images
    space = Space(shapes=shapes, scale=np.concatenate(scales), low=np.concatenate(lows), high=np.concatenate(highs))
    return space, fixed, "in " + " or ".join(units or ["the scale of the feature"])


def draw_stratified(targets: NDArray[np.int64], count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Draw row numbers without replacement so that each class keeps its share, within one row."""
    order = generator.permutation(len(targets))
    if count >= len(targets):
        return np.sort(order)
    # Sorted by class, every k-th row is taken: each class gets its share.
    by_class = order[np.argsort(targets[order], kind="stable")]
    places = np.floor((np.arange(count) + 0.5) * len(targets) / count).astype(np.intp)
    return np.sort(by_class[places])
