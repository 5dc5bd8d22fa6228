"""Rows that are almost the same: of tables, images and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from validators.engine.likeness import near_images
from validators.engine.screening.base import Detection, Detector, ScreeningContext, not_applicable
from validators.engine.screening.catalogue import ENTRIES
from validators.engine.screening.chance import expected_twins
from validators.engine.screening.features import image_column, kind_of, text_column
from validators.engine.screening.near_rows import TableRows, near_rows, robust_scales
from validators.engine.screening.near_texts import near_texts
from validators.engine.screening.same import CHANCE_SHARE, shared_features
from validators.engine.screening.screened import BLOCK_ROWS, Sample
from workers.datasets.canonical import missing_rows, tensor_values
from workers.statistics import wilson
from workers.words import counted, share_with_interval

_UNIT = "robust standard deviations"


@dataclass(frozen=True)
class NearTwin:
    """A row that is almost another one; the score is 1 for the same and 0 for nothing in common."""

    row: int
    other: int
    score: float
    reason: str


class NearDuplicates(Detector):
    """Rows that are almost repeated, or that training and evaluation data almost share.

    How: tables: rows that fall into the same cell of one of several shifted grids over all features, confirmed by the
    largest difference of any feature (locality-sensitive hashing, Datar et al., 2004); images: difference hashes
    (Krawetz, 2013), confirmed by their pixels; texts: MinHash (Broder, 1997; datasketch) of sequences of three words,
    confirmed by the share of sequences that both have (Jaccard). Rows that are wholly the same are left to that
    detector. What tables would have by chance is estimated and told.

    Signs of high risk: rows of an evaluation that were almost trained on; one source that sends everything twice.

    What it does not show: table rows that differ much in one column, crops and rotations of images, paraphrases. With
    more rows than are compared, of two near rows both have to be among those drawn.
    """

    entry = ENTRIES["near_duplicates"]

    def run(self, context: ScreeningContext) -> Detection:
        data, other = context.data, context.against
        names, problem = shared_features(data, other)
        if problem:
            return not_applicable(problem)
        kind = kind_of(data)
        if kind == "image":
            return self._images(context, image_column(data))
        if kind == "text":
            return self._texts(context, text_column(data))
        return self._table(context, names)

    def _images(self, context: ScreeningContext, name: str | None) -> Detection:
        if name is None:
            return not_applicable("No image column has a height and a width.")
        settings = context.parameters
        ours, theirs = _samples(context, [name], settings.images)
        (our_images, our_rows), (their_images, their_rows) = _present(ours, name), _present(theirs, name)
        if our_images.shape[1:] != their_images.shape[1:]:
            return not_applicable(f"The images of the two versions differ in their shape in {name!r}.")
        pairs = near_images(
            our_images,
            their_images,
            hash_distance=settings.hash_distance,
            pixel_difference=settings.pixel_difference,
            earlier_only=context.against is None,
            tell=context.tell,
        )
        twins = [
            NearTwin(
                int(our_rows[pair.row]),
                int(their_rows[pair.other]),
                1 - pair.pixel_difference,
                f"hashes {pair.hash_distance} of 64 bits apart, "
                f"pixels {100 * pair.pixel_difference:.2g} % of the range",
            )
            for pair in pairs
            if pair.pixel_difference > 0
        ]
        _keep(context, twins)
        return self._told(context, len(twins), ours.count, "image")

    def _texts(self, context: ScreeningContext, name: str | None) -> Detection:
        if name is None:
            return not_applicable("No feature holds texts.")
        ours, theirs = _samples(context, [name], context.parameters.texts)
        our_texts, their_texts = ([text or "" for text in sample.column(name).to_pylist()] for sample in (ours, theirs))
        pairs = near_texts(
            our_texts,
            None if context.against is None else their_texts,
            jaccard=context.parameters.jaccard,
            seed=context.seed % 2**32,
            tell=context.tell,
        )
        twins = [
            NearTwin(
                int(ours.rows[row]),
                int(theirs.rows[twin]),
                share,
                f"{share:.0%} of their sequences of three words alike",
            )
            for row, twin, share in pairs
        ]
        _keep(context, twins)
        return self._told(context, len(twins), ours.count, "text")

    def _table(self, context: ScreeningContext, names: Sequence[str]) -> Detection:
        data, other, settings = context.data, context.against, context.parameters
        sample = data.sample(names, settings.rows, context.generator)
        scales = robust_scales(sample, names)
        if not scales:
            return not_applicable("No feature is a measured number, so that rows are the same or are not.")
        ours = theirs = sample.rows
        first_other = 0 if other is None else len(ours)
        table = TableRows.empty(len(ours) + (0 if other is None else other.sample_size(names, settings.rows)), scales)
        table.fill(0, sample, names, scales)
        if other is not None:
            sample = other.sample(names, settings.rows, context.generator)
            theirs = sample.rows
            table.fill(first_other, sample, names, scales)
        # A sample may be a quarter of a GiB, and is no longer needed.
        del sample
        near = near_rows(
            table, first_other, tolerance=settings.tolerance, generator=context.generator, tell=context.tell
        )
        reach = {name: settings.tolerance * scale for name, scale in scales.items()}
        expected = expected_twins(data, other, names, context.generator, reach=reach)
        found = len(near.rows)
        if found and expected >= CHANCE_SHARE * found:
            return not_applicable(
                f"Rows of so few columns lie as near by chance: about {expected:,.0f} of {data.count:,} would if the "
                f"columns were independent, and {found:,} do.",
                expected_by_chance=expected,
            )
        for start in range(0, found, BLOCK_ROWS):
            part = slice(start, start + BLOCK_ROWS)
            pairs = zip(ours[near.rows[part]].tolist(), theirs[near.others[part]].tolist(), strict=True)
            _keep(
                context,
                [
                    NearTwin(*pair, 1 - distance, f"no feature more than {distance:.2g} {_UNIT} apart")
                    for pair, distance in zip(pairs, near.distances[part].tolist(), strict=True)
                ],
            )
        return self._told(context, found, len(ours), "row", expected_by_chance=expected)

    @staticmethod
    def _told(context: ScreeningContext, found: int, n: int, noun: str, **detail: object) -> Detection:
        other = context.against
        share = wilson(found, n)
        whose = f"one of {other.ref}" if other else "an earlier one"
        sentence = (
            f"{counted(found, noun)} of {n:,} ({share_with_interval(share)}) "
            f"{'is' if found == 1 else 'are'} almost {whose}."
            if found
            else f"No {noun} of {n:,} is almost {whose}."
        )
        is_whole = n == context.data.count
        if not is_whole:
            sentence += f" Compared were {n:,} of {context.data.count:,}, drawn with seed {context.seed}."
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=found,
            share=share,
            detail=detail,
            looked_at=None if is_whole else n,
        )


def _keep(context: ScreeningContext, twins: Sequence[NearTwin]) -> None:
    """Keep rows with the one that they are almost the same as."""
    where = f" of {context.against.ref}" if context.against else ""
    context.rows.keep(
        [twin.row for twin in twins],
        scores=[twin.score for twin in twins],
        reasons=[f"Almost row {twin.other:,}{where}: {twin.reason}." for twin in twins],
    )


def _samples(context: ScreeningContext, names: Sequence[str], limit: int) -> tuple[Sample, Sample]:
    """Return our rows and those that they are compared with: the same where there is no other version."""
    ours = context.data.sample(names, limit, context.generator)
    return ours, ours if context.against is None else context.against.sample(names, limit, context.generator)


def _present(sample: Sample, name: str) -> tuple[NDArray[np.generic], NDArray[np.int64]]:
    """Return the images that are there, and their row numbers."""
    column = sample.column(name)
    present = ~missing_rows(column)
    return tensor_values(column)[present], sample.rows[present]
