"""Everything that one address shows of one explanation: what the page draws and the exports write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from audits import attributions as files
from audits.attributions import Attributions, Neighbours, Pictures
from audits.explained import texts
from audits.explained.asked import Asked
from audits.explained.classes import classes_figure
from audits.explained.dependence import LEAST_SHARE, dependence_figure, interactions
from audits.explained.figures import Figure
from audits.explained.hierarchy import hierarchy_figure
from audits.explained.one_row import Found, find_row, heatmap_figure, neighbours_table, waterfall_figure
from audits.explained.overall import (
    Importance,
    beeswarm_figure,
    importance,
    importance_figure,
    rows_figure,
)
from audits.explained.overlays import Overlay, overlay_png, overlays, png
from audits.explained.shown import Shown, outputs_of, shown
from audits.explained.slices import Slices
from audits.explained.words import Words
from audits.models import Explanation
from governance.exceptions import NotFound, StateConflict

#: Features that the page offers to slice by and to draw, those of the largest importance.
OFFERED_FEATURES = 20
OFFERED_INTERACTIONS = 5
DEFAULT_ORDER = "similarity"


@dataclass(frozen=True)
class Portrait:
    """One explanation as one address asks for it; every part is worked out when it is first used."""

    explanation: Explanation
    asked: Asked
    attributions: Attributions
    words: Words

    @cached_property
    def shown(self) -> Shown:
        return shown(self.sliced, self.asked)

    @cached_property
    def sliced(self) -> Slices:
        """By what the rows may be sliced."""
        digest, row_count = self.explanation.files.get(files.COLUMNS_FILE), self.attributions.row_count
        columns = files.read_columns(digest, row_count=row_count) if digest is not None else None
        return Slices(self.attributions, self.words, columns)

    @cached_property
    def importance(self) -> list[Importance]:
        """How large the values of each feature are, or of each word of a text."""
        if self.text_words is not None:
            return self.text_words.importance
        return importance(np.abs(self.shown.values), self.shown.errors, self.shown.feature_names)

    @cached_property
    def text_words(self) -> texts.Words | None:
        """The words of the rows shown, where they are texts."""
        return texts.words_of(self.shown, self.tokens) if self.tokens else None

    @cached_property
    def found(self) -> Found:
        """The row that is asked for."""
        return find_row(self.shown, self.words, self.asked)

    @property
    def unit(self) -> str:
        return self.words.unit(self.shown.output.name)

    @property
    def is_table(self) -> bool:
        return not (self.attributions.is_image or self.tokens)

    @cached_property
    def tokens(self) -> Mapping[int, tuple[str, ...]]:
        digest = self.explanation.files.get(files.TOKENS_FILE)
        if digest is None:
            return {}
        return files.read_tokens(digest, feature_count=len(self.attributions.feature_names))

    @cached_property
    def pictures(self) -> Pictures | None:
        digest = self.explanation.files.get(files.PICTURES_FILE)
        return files.read_pictures(digest) if digest and self.attributions.is_image else None

    @cached_property
    def neighbours(self) -> Neighbours | None:
        digest = self.explanation.files.get(files.NEIGHBOURS_FILE)
        if digest is None:
            return None
        return files.read_neighbours(
            digest, row_count=self.attributions.row_count, feature_count=len(self.attributions.feature_names)
        )

    @cached_property
    def overall_figures(self) -> list[Figure]:
        """The charts of all rows shown, as the kind of data has them."""
        if self.attributions.is_image:
            return [classes_figure(self.shown, self.words)]
        drawn = [
            importance_figure(
                self.importance,
                unit=self.unit,
                row_count=self.shown.row_count,
                noun="word" if self.tokens else "feature",
                with_all=self.asked.features == "all",
            )
        ]
        if self.is_table and self.shown.row_count > 1:
            towards = self.shown.output.name
            drawn += [
                beeswarm_figure(self.shown, self.importance, unit=self.unit, towards=towards),
                dependence_figure(
                    self.shown,
                    feature=self.dependence_feature,
                    colour=self.asked.colour,
                    unit=self.unit,
                    towards=towards,
                    with_errors=bool(self.asked.errors),
                ),
                rows_figure(self.shown, self.importance, unit=self.unit, order=self.asked.order or DEFAULT_ORDER),
            ]
        return drawn

    @property
    def dependence_feature(self) -> str:
        return self.asked.feature or self.importance[0].feature

    @cached_property
    def interactions(self) -> list[tuple[str, float]]:
        """The features that go with most of what is left of the attribution at equal value, each with its share."""
        place = self.shown.feature(self.dependence_feature)
        shares = interactions(self.shown.values[:, place], self.shown.data, place)
        if shares is None:
            return []
        leading = np.argsort(-shares, kind="stable")[:OFFERED_INTERACTIONS]
        return [(self.shown.feature_names[at], float(shares[at])) for at in leading if shares[at] >= LEAST_SHARE]

    @cached_property
    def row_figure(self) -> Figure:
        """The row as a waterfall, or as a heat map where it is an image."""
        if self.attributions.is_image:
            return heatmap_figure(self.found.row, self.attributions.feature_names, self.attributions.grid)
        return waterfall_figure(self.found.row, self.attributions.feature_names)

    @cached_property
    def hierarchy_figure(self) -> Figure | None:
        """How the features of the row join, where the method joined them."""
        if self.attributions.hierarchy is None:
            return None
        return hierarchy_figure(
            self.found.row,
            self.attributions.hierarchy,
            feature_names=self.attributions.feature_names,
            grid=self.attributions.grid,
            tokens=self.tokens.get(self.found.row.number),
        )

    @property
    def figures(self) -> list[Figure]:
        """Every chart that is shown."""
        hierarchy = [] if self.hierarchy_figure is None else [self.hierarchy_figure]
        return [*self.overall_figures, self.row_figure, *hierarchy]

    def neighbours_table(self) -> dict[str, Any] | None:
        """The row beside its nearest rows of the background's data set."""
        if self.neighbours is None:
            return None
        return neighbours_table(self.found.row, self.neighbours, self.attributions.feature_names)

    @cached_property
    def overlays(self) -> list[Overlay]:
        """The pictures that are shown, that of the row first."""
        return overlays(self.shown, self.words, self.pictures, self.found.row) if self.pictures is not None else []

    def picture(self, overlay: Overlay, *, is_over: bool) -> bytes:
        """Return the picture of a row as PNG, or what its parts add, to be laid over it."""
        if self.pictures is None:
            raise NotFound(f"{str(self.explanation).capitalize()} has no pictures.")
        if not is_over:
            return png(self.pictures.pictures[overlay.at])
        patch = self.explanation.summary.get("patch")
        side = patch if isinstance(patch, int) and patch > 0 else 1
        return overlay_png(overlay.row, self.attributions.grid, (overlay.height, overlay.width), side)

    @cached_property
    def text(self) -> texts.Text | None:
        """The row as a text, where it is one."""
        tokens = self.tokens.get(self.found.row.number)
        return texts.text_of(self.found.row, tokens) if tokens else None

    def outputs(self) -> list[tuple[str, str, bool]]:
        """The outputs that may be chosen: key, name, and whether it is shown."""
        return [(output.key, output.name, output == self.shown.output) for output in outputs_of(self.attributions)]

    def slices(self) -> list[tuple[str, list[tuple[str, str, bool]]]]:
        """The slices that may be chosen: a name and its values, as key, words, and whether it is shown."""
        features = [entry.feature for entry in self.importance[:OFFERED_FEATURES]] if self.is_table else []
        offered = []
        for name in self.sliced.names(features):
            kinds = self.sliced.kinds(name).offered
            if len(kinds) > 1:
                is_chosen = self.asked.slice == name
                offered.append((name, [(key, said, is_chosen and self.asked.value == key) for key, said in kinds]))
        return offered


def portrait(explanation: Explanation, asked: Asked) -> Portrait | None:
    """Return what an address shows of an explanation, or None while it has no values.

    Raises:
        IntegrityFailure: its files are not what its job writes.
    """
    digest = explanation.files.get(files.ATTRIBUTIONS_FILE)
    if digest is None:
        return None
    return Portrait(explanation, asked, files.read_attributions(digest), Words.of(explanation))


def portrait_with_values(explanation: Explanation, asked: Asked) -> Portrait:
    """Return what an address shows of an explanation that has values.

    Raises:
        StateConflict: it has none.
    """
    shown = portrait(explanation, asked)
    if shown is None:
        raise StateConflict(f"{str(explanation).capitalize()} has no values: its job has not ended with a result.")
    return shown
