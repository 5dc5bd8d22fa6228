"""The detectors by name: what the catalogue lists, each with the class that does it."""

from __future__ import annotations

from validators.engine.screening.base import Detector
from validators.engine.screening.columns import ConstantColumns, DuplicateColumns
from validators.engine.screening.domain import TableDrift
from validators.engine.screening.drift import ColumnDrift
from validators.engine.screening.giveaway import LabelGiveaway
from validators.engine.screening.labels import ClassImbalance, LabelIssues
from validators.engine.screening.mahalanobis import MahalanobisOutliers
from validators.engine.screening.near import NearDuplicates
from validators.engine.screening.same import ConflictingLabels, ExactDuplicates
from validators.engine.screening.univariate import IqrOutliers, MadOutliers

DETECTORS: dict[str, type[Detector]] = {
    detector.entry.name: detector
    for detector in (
        IqrOutliers,
        MadOutliers,
        MahalanobisOutliers,
        LabelIssues,
        ConflictingLabels,
        ExactDuplicates,
        NearDuplicates,
        LabelGiveaway,
        ClassImbalance,
        ConstantColumns,
        DuplicateColumns,
        ColumnDrift,
        TableDrift,
    )
}
