"""Charts of explanations as Vega-Lite specifications.

Pages draw them on demand from arrays, so these modules need the standard library and the palette only. All names stand
in the data of a specification, never in its field names.
"""

from __future__ import annotations

from audits.engine.charts.beeswarm import beeswarm_spec
from audits.engine.charts.dendrogram import dendrogram_spec
from audits.engine.charts.dependence import dependence_spec
from audits.engine.charts.heatmap import heatmap_spec
from audits.engine.charts.importance import importance_spec
from audits.engine.charts.paired import paired_spec
from audits.engine.charts.regions import regions_spec
from audits.engine.charts.rows import rows_spec
from audits.engine.charts.waterfall import waterfall_spec, waterfall_table

__all__ = [
    "beeswarm_spec",
    "dendrogram_spec",
    "dependence_spec",
    "heatmap_spec",
    "importance_spec",
    "paired_spec",
    "regions_spec",
    "rows_spec",
    "waterfall_spec",
    "waterfall_table",
]
