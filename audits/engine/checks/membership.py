"""PRI-01: membership inference by loss threshold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.attacks.membership import MembershipOutcome, membership_by_loss
from audits.engine.catalogue import ENTRIES, MembershipParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, not_applicable, skipped
from audits.engine.checks.charts import roc_spec
from validators.engine.likeness import first_same
from workers.statistics import wilson
from workers.words import number, with_interval

#: Points of the drawn curve, evenly spread on the log axis.
DRAWN_POINTS = 120


class MembershipByLoss(Check):
    """How well the loss of a row tells whether the model was trained on it.

    How: members are training rows, others are audited rows that are not in the training data; a row is called a member
    when its loss is at most a threshold (Yeom et al., 2018). Told are the area under the ROC curve with DeLong's
    interval, the advantage (largest true minus false positive rate) and the true positive rate at 1 % false positives
    (Carlini et al., 2022). Equally many rows of both kinds are drawn.

    Signs of high risk: an area above 0.70, or many members found at few false positives: those people are exposed.

    What it does not show: resistance to stronger attacks, which compare with models that never saw the row (PRI-02).
    Drift between training and audited rows looks like membership, and members that were held out for validation hide
    it.

    References: OWASP ML04, MITRE ATLAS AML.T0024.000, NIST AI 100-2 NISTAML.033.
    """

    entry = ENTRIES["PRI-01"]

    def run(self, context: CheckContext) -> CheckResult:
        settings: MembershipParameters = context.parameters
        if context.training is None:
            return not_applicable("The record does not say on which data the model was trained, so no member is known.")
        seen = first_same(context.audited.inputs, context.training.inputs)
        others = context.audited.losses[[row for row in range(context.audited.count) if row not in seen]]
        members = context.training.losses
        fewest = min(len(members), len(others))
        if fewest < settings.minimum_rows:
            return skipped(
                f"There are {len(members):,} members and {len(others):,} audited rows that are not members; the check "
                f"needs {settings.minimum_rows:,} of both.",
                members=len(members),
                others=len(others),
            )
        count = min(fewest, settings.rows)
        outcome = membership_by_loss(
            context.generator.choice(members, count, replace=False),
            context.generator.choice(others, count, replace=False),
            false_positive_rate=settings.false_positive_rate,
        )
        status, severity = context.judge(outcome.auc.value)
        rate = f"{100 * settings.false_positive_rate:g} %"
        reason = (
            f"The loss tells members from others with an area of {with_interval(outcome.auc)}, n = {count:,} of each; "
            f"at {rate} false positives it finds {with_interval(outcome.rate_at_low, as_percent=True)} of the members."
        )
        chart = self._chart(context, outcome, count, settings.false_positive_rate)
        findings = []
        if status == "failed":
            findings.append(
                FindingDraft(
                    severity=severity,
                    title="The model tells which rows it was trained on",
                    detail=reason,
                    remedy="Train for fewer epochs, with regularisation or with differential privacy.",
                    evidence=[{"kind": "chart", "id": chart["id"]}],
                )
            )
        return CheckResult(
            status=status,
            severity=severity,
            reason=reason,
            metrics=[
                Metric.of("area under the ROC curve", outcome.auc),
                Metric.of("advantage", outcome.advantage, note="at the threshold that is best on these rows"),
                Metric.of(f"true positive rate at {rate} false positives", outcome.rate_at_low, unit="share"),
            ],
            findings=findings,
            charts=[chart],
            detail={
                "members": count,
                "others": count,
                "audited_rows_left_out": len(seen),
                "mean_loss_of_members": float(members.mean()),
                "mean_loss_of_others": float(others.mean()),
            },
        )

    def _chart(self, context: CheckContext, outcome: MembershipOutcome, count: int, at: float) -> dict[str, Any]:
        smallest = 1 / count
        points = _drawn_points(outcome, count, smallest)
        area = outcome.auc.value or 0.0
        words = "little better than guessing" if area <= 0.55 else "better than guessing"
        return context.chart(
            "roc",
            spec=roc_spec(points, smallest=smallest, at=at),
            caption=(
                f"The attack does {words}: its area under the curve is {number(area)}, of guessing (dashed) 0.500. "
                f"The band is the 95 % interval of the true positive rate, n = {count:,} of each kind."
            ),
            label=f"True against false positive rate of the attack on log axes; area {number(area)}.",
            table={
                "columns": ["false positive rate", "true positive rate", "low", "high", "n"],
                "rows": [[p["fpr"], p["tpr"], p["low"], p["high"], count] for p in points],
            },
        )


def _drawn_points(outcome: MembershipOutcome, count: int, smallest: float) -> list[dict[str, float | None]]:
    """Return the best true positive rate at false positive rates that are even on the log axis."""
    rates: NDArray[np.float64] = (
        np.unique(np.round(np.geomspace(smallest, 1, DRAWN_POINTS) * count).astype(int)) / count
    )
    points: list[dict[str, float | None]] = []
    for rate in rates:
        place = int(np.flatnonzero(outcome.false_positive_rates <= rate + 1e-12)[-1])
        share = wilson(round(outcome.true_positive_rates[place] * count), count)
        points.append({"fpr": float(rate), "tpr": share.value, "low": share.low, "high": share.high})
    return points
