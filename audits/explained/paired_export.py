"""Two explanations compared, as files: what the page shows, and every pair of values behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from audits.explained.context import comparison_context, record_of
from audits.explained.csv_lines import csv_lines, interleaved
from audits.explained.figures import Figure
from audits.explained.html import standalone_html
from audits.explained.paired import paired_figure, unit_of
from audits.services.comparisons import Comparison


@dataclass(frozen=True)
class ComparisonContent:
    """What changed between two explanations, to take away."""

    comparison: Comparison

    @property
    def name(self) -> str:
        return f"explanations-{self.comparison.first.pk}-and-{self.comparison.second.pk}"

    @property
    def figures(self) -> list[Figure]:
        return [paired_figure(self.comparison)]

    def html(self) -> str:
        first, second = self.comparison.first, self.comparison.second
        return standalone_html(
            "audits/explanation_comparison_file.html",
            comparison_context(self.comparison),
            foot=f"explanations {first.pk} and {second.pk}, {second.version.ref} against {first.version.ref}",
        )

    def lines(self) -> Iterator[bytes]:
        """Write a line for each row: who it is, what each feature added and adds, and the error of the change."""
        pairs = self.comparison.pairs
        head = ["row", "id", "base before", "base now", "score before", "score now"]
        for name in pairs.feature_names:
            head += [f"{name} before", f"{name} now", f"change of {name}", f"standard error of the change of {name}"]
        rows: Iterator[list[str | int | float]] = (
            [number, identifier, *numbers]
            for number, identifier, *numbers in zip(
                pairs.row_numbers.tolist(),
                pairs.ids,
                pairs.before.base.tolist(),
                pairs.after.base.tolist(),
                pairs.before.scores.tolist(),
                pairs.after.scores.tolist(),
                strict=True,
            )
        )
        return csv_lines(head, rows, interleaved(pairs.before.values, pairs.after.values, pairs.changes, pairs.errors))

    def arrays(self) -> Mapping[str, NDArray[Any]]:
        pairs = self.comparison.pairs
        return {
            "values_before": pairs.before.values,
            "values_now": pairs.after.values,
            "errors_before": pairs.before.errors,
            "errors_now": pairs.after.errors,
            "base_values_before": pairs.before.base,
            "base_values_now": pairs.after.base,
            "row_numbers": pairs.row_numbers,
            "feature_names": np.asarray(pairs.feature_names, dtype=np.str_),
        }

    def document(self) -> dict[str, Any]:
        comparison = self.comparison
        return {
            "first": record_of(comparison.first),
            "second": record_of(comparison.second),
            "output": {"name": comparison.output, "unit": unit_of(comparison)},
            "rows": comparison.row_count,
            "rows_of_other_outputs": comparison.other_output_count,
            "changed_share": comparison.changed_share,
            "features": [{**asdict(entry), "is_beyond_error": entry.is_beyond_error} for entry in comparison.features],
            "largest_rows": [{**asdict(row), "is_beyond_error": row.is_beyond_error} for row in comparison.rows],
            "charts": [figure.to_json() for figure in self.figures],
        }
