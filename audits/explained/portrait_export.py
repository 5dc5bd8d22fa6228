"""One explanation as files: what its page shows for the same choices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.explained.context import page_context, record_of
from audits.explained.csv_lines import csv_lines, interleaved
from audits.explained.figures import Figure
from audits.explained.html import standalone_html
from audits.explained.portrait import Portrait


@dataclass(frozen=True)
class PortraitContent:
    """What one address shows of one explanation, to take away."""

    portrait: Portrait

    @property
    def name(self) -> str:
        return f"explanation-{self.portrait.explanation.pk}"

    @property
    def figures(self) -> list[Figure]:
        return self.portrait.figures

    def html(self) -> str:
        explanation = self.portrait.explanation
        return standalone_html(
            "audits/explanation_file.html",
            page_context(self.portrait),
            foot=f"{explanation}, {explanation.version.ref} on {explanation.dataset.ref} · {explanation.digest[:17]}",
        )

    def lines(self) -> Iterator[bytes]:
        """Write a line for each row: who it is, and of each feature its value, what it adds and the error of that."""
        shown = self.portrait.shown
        head = ["row", "id", "target", "predicted", "output", "base"]
        for name in shown.feature_names:
            head += [f"value of {name}", f"attribution of {name}", f"standard error of {name}"]
        return csv_lines(head, self._rows(), interleaved(shown.data, shown.values, shown.errors))

    def _rows(self) -> Iterator[list[str | int | float]]:
        shown, words, attributions = self.portrait.shown, self.portrait.words, self.portrait.attributions
        for at, place in enumerate(shown.places.tolist()):
            column, predicted = int(shown.columns[at]), int(attributions.predicted[place])
            number = int(attributions.output_numbers[place, column])
            yield [
                int(attributions.row_numbers[place]),
                str(attributions.ids[place]),
                str(attributions.targets[place]),
                words.class_name(predicted) if predicted >= 0 else "",
                words.output_name(number, attributions.output_names, column),
                float(shown.base[at]),
            ]

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return the arrays of what is shown; the whole explanation stands in ``attributions.npz``."""
        shown, attributions = self.portrait.shown, self.portrait.attributions
        output_numbers = np.take_along_axis(attributions.output_numbers[shown.places], shown.columns[:, None], axis=1)
        return {
            "values": shown.values.reshape(-1, *attributions.grid),
            "errors": shown.errors.reshape(-1, *attributions.grid),
            "data": shown.data.reshape(-1, *attributions.grid),
            "base_values": shown.base,
            "row_numbers": attributions.row_numbers[shown.places],
            "output_numbers": output_numbers[:, 0],
            "feature_names": np.asarray(attributions.feature_names, dtype=np.str_),
        }

    def document(self) -> dict[str, Any]:
        portrait = self.portrait
        row, shown = portrait.found.row, portrait.shown
        return {
            **record_of(portrait.explanation),
            "asked": portrait.asked.given(),
            "output": {"key": shown.output.key, "name": shown.output.name, "unit": portrait.unit},
            "rows": shown.available,
            "rows_used": shown.row_count,
            "importance": [entry.to_json() for entry in portrait.importance],
            "row": {
                "row": row.number,
                "id": row.id,
                "predicted": row.predicted,
                "target": row.target,
                "output": row.output_name,
                "unit": row.unit,
                **row.entry(),
            },
            "charts": [figure.to_json() for figure in portrait.figures],
        }
