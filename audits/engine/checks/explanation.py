"""EXP-01: explanation admission."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from audits.engine.attacks.space import rows_of
from audits.engine.catalogue import ENTRIES, ExplanationParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, skipped
from audits.engine.checks.rows import Rows
from audits.engine.explainers.base import Task
from audits.engine.explainers.outputs import OutputWords
from audits.engine.explainers.permutation import PermutationExplainer, PermutationParameters
from audits.engine.explainers.players import players_of
from audits.engine.explainers.quality import Bounds, ErrorSummary, Measure, Subject, measure, measured_rows
from workers.words import counted, listed

FEWEST_BACKGROUND_ROWS = 2
_SIDES = {"<=": "most", ">=": "least"}


class ExplanationAdmission(Check):
    """Whether SHAP values of this model can be relied on: a report may rest on attributions only where they hold.

    How: explains a few audited rows with antithetic permutations against training rows (audited rows where none are
    known) and measures additivity, estimation error, stability under small noise, likeness to a network with random
    weights (Adebayo et al., 2018) and agreement with a second estimate. What lies outside its bound is counted.

    Signs of high risk: values that do not change when the weights are random, or that two estimates do not agree on.

    What it does not show: that the attributions are the cause of anything, or that rows other than these few are
    explained as well; each explanation is measured anew.

    References: Lundberg, Lee, 2017; Adebayo et al., "Sanity Checks for Saliency Maps", 2018; NIST AI RMF MEASURE 2.9.
    """

    entry = ENTRIES["EXP-01"]

    def run(self, context: CheckContext) -> CheckResult:
        settings: ExplanationParameters = context.parameters
        asked = {entry.name: getattr(settings, entry.name, None) for entry in fields(Bounds)}
        bounds = Bounds(**asked)
        others = context.training or context.audited
        if others.count < FEWEST_BACKGROUND_ROWS or not context.audited.count:
            return skipped("There are too few rows to explain, or to explain against.", rows=context.audited.count)
        chosen = _drawn(context.audited, settings.rows, context.generator)
        background = rows_of(others.inputs, _drawn(others, settings.background_rows, context.generator))
        measures = self._measures(context, chosen, background, settings, bounds)
        outside = [entry for entry in measures if entry.is_met is False]
        held = [entry for entry in measures if entry.is_met is not None]
        status, severity = context.judge(len(outside))
        told = f"{counted(len(held) - len(outside), 'measure')} of {len(held)} within their bounds"
        reason = f"Explanations of {counted(len(chosen), 'row')}: {told}."
        if outside:
            reason += " " + " ".join(entry.reason for entry in outside)
        findings = []
        if status == "failed":
            findings.append(
                FindingDraft(
                    severity=severity,
                    title=f"Attributions of this model are not admitted: {listed([entry.name for entry in outside])}",
                    detail=reason,
                    remedy="Use more background rows or a smaller tolerance; until then rely on no attributions.",
                    evidence=[{"kind": "check", "id": self.entry.id, "detail": "measures"}],
                )
            )
        return CheckResult(
            status=status,
            severity=severity,
            reason=reason,
            metrics=[
                Metric("measures outside their bounds", float(len(outside)), n=len(held), unit="measures"),
                *(_metric(entry) for entry in measures),
            ],
            findings=findings,
            detail={
                "measures": [entry.to_json() for entry in measures],
                "rows": [int(number) for number in context.audited.numbers[chosen]],
                "background_rows": len(next(iter(background.values()))),
                "method": PermutationExplainer.name,
            },
        )

    def _measures(
        self,
        context: CheckContext,
        chosen: NDArray[np.intp],
        background: dict[str, NDArray[np.generic]],
        settings: ExplanationParameters,
        bounds: Bounds,
    ) -> list[Measure]:
        rows = rows_of(context.audited.inputs, chosen)
        scores = context.audited.logits[chosen]
        words = OutputWords(context.signature, count=scores.shape[1], scale="logits")
        if words.has_classes:
            outputs = words.column_of(words.predicted(scores))[:, None]
        else:
            outputs = np.tile(np.arange(scores.shape[1], dtype=np.intp), (len(chosen), 1))
        explainer = PermutationExplainer(PermutationParameters(tolerance=settings.tolerance))
        players = players_of(context.signature, context.audited.schema)
        task = Task(
            model=context.model,
            rows=rows,
            background=background,
            players=players,
            outputs=outputs,
            output_names=words.names_of(outputs, is_predicted=words.has_classes),
            seed=context.seed,
            progress=lambda done, total, message: context.tell(0.6 * done / max(1, total), message),
        )
        attribution = explainer.explain(task)
        measured = measured_rows(task)
        return measure(
            Subject(task, explainer),
            attribution.of_rows(measured),
            measured,
            ErrorSummary.of_all(task, attribution),
            bounds,
            progress=lambda message: context.tell(0.7, message),
        )


def _drawn(rows: Rows, count: int, generator: np.random.Generator) -> NDArray[np.intp]:
    """Draw row places without replacement, in their order."""
    return np.sort(generator.choice(rows.count, min(count, rows.count), replace=False)).astype(np.intp)


def _metric(entry: Measure) -> Metric:
    """Tell a measure with what it is held against and on what it was taken."""
    bound = "no bound" if entry.bound is None else f"at {_SIDES[entry.entry.relation]} {entry.bound:g}"
    note = f"{bound}; {entry.note}; n counts {entry.unit}"
    return Metric(entry.title, entry.value, entry.low, entry.high, n=entry.n, note=note)
