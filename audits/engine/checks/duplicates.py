"""DAT-03: audited rows that were seen in training."""

from __future__ import annotations

import numpy as np

from audits.engine.catalogue import ENTRIES, DuplicateParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, not_applicable, skipped
from audits.engine.checks.rows import Rows
from validators.engine.likeness import first_same, near_images
from workers.statistics import wilson
from workers.words import counted, percent, with_interval

LISTED_PAIRS = 100


class RowsSeenInTraining(Check):
    """Which share of the audited rows the model has met before, as the same or almost the same input.

    How: two rows are the same when everything the model gets of them is, byte for byte (the target and columns that
    feed nothing are left out). Images are also compared by difference hash (Krawetz, 2013), and a near hash counts
    only when the pixels agree: hashes alone call clean small images duplicates. The interval is Wilson's.

    Signs of high risk: more than 1 %. Every number measured on such rows is too good.

    What it does not show: near duplicates of table rows, crops and rotations of images, or two rows of one person or
    object with different values. Rows of few possible values can be equal without a leak.

    References: Barz, Denzler, "Do We Train on Test Data?", 2020; NIST AI RMF MEASURE 2.5.
    """

    entry = ENTRIES["DAT-03"]

    def run(self, context: CheckContext) -> CheckResult:
        audited, training = context.audited, context.training
        if training is None:
            return not_applicable(
                "The record does not say on which data the model was trained; there is nothing to compare."
            )
        if not audited.count or not training.count:
            return skipped("One of the two sets has no rows to compare.")
        exact = first_same(audited.inputs, training.inputs)
        context.tell(0.3, "same rows compared")
        settings: DuplicateParameters = context.parameters
        near, is_image = _near(context, audited, training, settings, set(exact))
        found = len(exact) + len(near)
        share = wilson(found, audited.count)
        status, severity = context.judge(share.value)
        told = f"{counted(found, 'audited row')} of {audited.count:,} "
        told += "is" if found == 1 else "are"
        reason = f"{told} also in the training data: {with_interval(share, as_percent=True)}"
        reason += f", {len(exact):,} the same and {len(near):,} almost the same." if is_image else "."
        pairs = [
            {"audited_row": int(audited.numbers[row]), "training_row": int(training.numbers[other]), "kind": kind}
            for kind, matches in (("same", exact), ("near", near))
            for row, other in matches.items()
        ]
        findings = []
        if status == "failed":
            findings.append(
                FindingDraft(
                    severity=severity,
                    title=f"{percent(share.value, 2)} of audited rows were also in training",
                    detail=reason,
                    remedy="Remove the listed rows from the audited data, or split anew with no row on both sides.",
                    evidence=[{"kind": "check", "id": self.entry.id, "detail": "pairs"}],
                )
            )
        return CheckResult(
            status=status,
            severity=severity,
            reason=reason,
            metrics=[
                Metric.of("share of audited rows seen in training", share),
                Metric("rows that are the same", float(len(exact)), n=audited.count, unit="rows"),
                Metric(
                    "rows that are almost the same",
                    float(len(near)) if is_image else None,
                    n=audited.count,
                    unit="rows",
                    note="" if is_image else "looked for in images only",
                ),
            ],
            findings=findings,
            detail={"pairs": pairs[:LISTED_PAIRS], "pair_count": len(pairs), "training_rows": training.count},
        )


def _near(
    context: CheckContext, audited: Rows, training: Rows, settings: DuplicateParameters, known: set[int]
) -> tuple[dict[int, int], bool]:
    """Return audited row -> training row of almost the same image, and whether the model takes one image."""
    image = _image_input(context)
    if image is None:
        return {}, False
    name, shape = image
    ours, theirs = (rows.inputs[name].reshape(rows.count, *shape) for rows in (audited, training))
    pairs = near_images(
        ours,
        theirs,
        hash_distance=settings.hash_distance,
        pixel_difference=settings.pixel_difference,
        rows=np.array([row for row in range(audited.count) if row not in known], dtype=np.intp),
        tell=lambda share: context.tell(0.3 + 0.7 * share, "images compared"),
    )
    return {pair.row: pair.other for pair in pairs}, True


def _image_input(context: CheckContext) -> tuple[str, tuple[int, ...]] | None:
    """Return the name and image shape of the model's input where it takes one image column and nothing else."""
    if len(context.signature.inputs) != 1:
        return None
    spec = context.signature.inputs[0]
    columns = spec.columns or (spec.name,)
    column = context.audited.schema.columns.get(columns[0])
    if len(columns) != 1 or column is None or column.type != "image":
        return None
    shape = spec.row_shape if len(spec.row_shape) >= 2 else column.shape
    return (spec.name, shape) if len(shape) in (2, 3) else None
