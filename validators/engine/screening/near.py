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
from validators.engine.screening.screened import Sample
from workers.datasets.canonical import missing_rows, tensor_values
from workers.statistics import wilson
from workers.words import counted, share_with_interval


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
        return self._told(context, twins, ours, "image")

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
        return self._told(context, twins, ours, "text")

    def _table(self, context: ScreeningContext, names: Sequence[str]) -> Detection:
        data, other, settings = context.data, context.against, context.parameters
        ours, theirs = _samples(context, names, settings.rows)
        scales = robust_scales(ours, names)
        if not scales:
            return not_applicable("No feature is a measured number, so that rows are the same or are not.")
        reach = {name: settings.tolerance * scale for name, scale in scales.items()}
        mine = TableRows.of(ours, names, scales)
        pairs = near_rows(
            mine,
            None if other is None else TableRows.of(theirs, names, scales),
            tolerance=settings.tolerance,
            generator=context.generator,
            tell=context.tell,
        )
        expected = expected_twins(data, other, names, context.generator, reach=reach)
        if pairs and expected >= CHANCE_SHARE * len(pairs):
            return not_applicable(
                f"Rows of so few columns lie as near by chance: about {expected:,.0f} of {data.count:,} would if the "
                f"columns were independent, and {len(pairs):,} do.",
                expected_by_chance=expected,
            )
        twins = [
            NearTwin(
                int(ours.rows[row]),
                int(theirs.rows[twin]),
                1 - distance,
                f"no feature more than {distance:.2g} robust standard deviations apart",
            )
            for row, twin, distance in pairs
        ]
        return self._told(context, twins, ours, "row", expected_by_chance=expected)

    @staticmethod
    def _told(context: ScreeningContext, twins: list[NearTwin], ours: Sample, noun: str, **detail: object) -> Detection:
        other = context.against
        where = f" of {other.ref}" if other else ""
        context.rows.keep(
            [twin.row for twin in twins],
            scores=[twin.score for twin in twins],
            reasons=[f"Almost row {twin.other:,}{where}: {twin.reason}." for twin in twins],
        )
        found, n = len(twins), ours.count
        share = wilson(found, n)
        whose = f"one of {other.ref}" if other else "an earlier one"
        sentence = (
            f"{counted(found, noun)} of {n:,} ({share_with_interval(share)}) "
            f"{'is' if found == 1 else 'are'} almost {whose}."
            if found
            else f"No {noun} of {n:,} is almost {whose}."
        )
        if not ours.is_whole:
            sentence += f" Compared were {n:,} of {context.data.count:,}, drawn with seed {context.seed}."
        return Detection(
            "found" if found else "not_found",
            sentence,
            count=found,
            share=share,
            detail=detail,
            looked_at=None if ours.is_whole else n,
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
