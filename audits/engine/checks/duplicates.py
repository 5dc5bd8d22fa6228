"""DAT-03: audited rows that were seen in training."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.engine.catalogue import ENTRIES, DuplicateParameters
from audits.engine.checks.base import Check, CheckContext, CheckResult, FindingDraft, Metric, not_applicable, skipped
from audits.engine.checks.rows import Rows
from audits.engine.checks.words import counted, percent, with_interval
from workers.statistics import wilson

#: Pairs of hashes compared at once.
BLOCK_PAIRS = 2**22
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
        exact = same_rows(audited, training)
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


def same_rows(audited: Rows, training: Rows) -> dict[int, int]:
    """Return audited row -> first training row whose inputs are the same."""
    seen: dict[bytes, int] = {}
    for number, key in enumerate(_keys(training)):
        seen.setdefault(key, number)
    return {row: seen[key] for row, key in enumerate(_keys(audited)) if key in seen}


def _keys(rows: Rows) -> list[bytes]:
    parts = []
    for name in sorted(rows.inputs):
        values = np.ascontiguousarray(rows.inputs[name].reshape(rows.count, -1))
        if values.dtype.kind == "f":
            values = values + 0.0  # minus zero is zero
        parts.append(values)
    return [
        hashlib.blake2b(b"".join(part[row].tobytes() for part in parts), digest_size=16).digest()
        for row in range(rows.count)
    ]


def _near(
    context: CheckContext, audited: Rows, training: Rows, settings: DuplicateParameters, known: set[int]
) -> tuple[dict[int, int], bool]:
    """Return audited row -> training row of almost the same image, and whether the model takes one image."""
    image = _image_input(context)
    if image is None:
        return {}, False
    name, shape = image
    ours, theirs = (_grey(rows.inputs[name].reshape(rows.count, *shape)) for rows in (audited, training))
    low, high = min(ours.min(), theirs.min()), max(ours.max(), theirs.max())
    spread = float(high - low) or 1.0
    our_hashes, their_hashes = difference_hashes(ours), difference_hashes(theirs)
    left = np.array([row for row in range(audited.count) if row not in known], dtype=np.intp)
    step = max(1, BLOCK_PAIRS // training.count)
    found: dict[int, int] = {}
    for first in range(0, len(left), step):
        chosen = left[first : first + step]
        distances = np.bitwise_count(our_hashes[chosen][:, None] ^ their_hashes[None])
        for place, other in zip(*np.nonzero(distances <= settings.hash_distance), strict=True):
            row = int(chosen[place])
            if row in found:
                continue
            if np.abs(ours[row] - theirs[other]).mean() <= settings.pixel_difference * spread:
                found[row] = int(other)
        context.tell(0.3 + 0.7 * (first + len(chosen)) / len(left), "images compared")
    return found, True


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


def _grey(images: NDArray[Any]) -> NDArray[np.float64]:
    """Return images as (rows, height, width), the mean over channels where they have some."""
    values = images.astype(np.float64)
    if values.ndim == 3:
        return values
    axis = 3 if values.shape[3] in (1, 3, 4) else 1
    return np.asarray(values.mean(axis=axis))


def difference_hashes(images: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Return 64-bit difference hashes of images (rows, height, width): is a cell brighter than the one to its left?"""
    rows, columns = _shrink(images.shape[1], 8), _shrink(images.shape[2], 9)
    small = np.einsum("rh,nhw,cw->nrc", rows, images, columns, optimize=True)
    bits = (small[:, :, 1:] > small[:, :, :-1]).reshape(len(images), 64)
    return np.ascontiguousarray(np.packbits(bits, axis=1)).view(np.uint64)[:, 0]


def _shrink(source: int, target: int) -> NDArray[np.float64]:
    """Return the (target, source) weights of a resize by area."""
    edges = np.arange(target + 1) * source / target
    starts = np.arange(source)
    overlap = np.minimum(edges[1:, None], starts + 1) - np.maximum(edges[:-1, None], starts)
    weights = np.maximum(overlap, 0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
