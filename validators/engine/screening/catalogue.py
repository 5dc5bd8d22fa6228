"""Which detectors exist: name, title, what they are for, what they recommend, their parameters.

The one place that says so. Both halves read it, so it needs the standard library only; what a detector *does* is in the
modules beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from workers.parameters import NoParameters, ParameterError, defaults_of, read, schema_of, setting

#: What becomes of the rows that a detector names: put aside by a cleaning, marked for a person, or only looked at.
Action = Literal["quarantine", "flag", "look"]
Purpose = Literal["quality", "evaluation", "drift"]

PURPOSES: Mapping[Purpose, str] = {
    "quality": "faults within one version",
    "evaluation": "rows that training and evaluation data share",
    "drift": "what has changed against another version",
}


@dataclass(frozen=True)
class IqrParameters:
    """How far from the middle half of a column a value may lie."""

    k: float = setting(3.0, "Interquartile ranges below the first or above the third quartile.", minimum=0.5)
    max_share: float = setting(
        0.005, "With a larger share outside the column is skewed, and its bounds are doubled.", minimum=0, maximum=0.5
    )


@dataclass(frozen=True)
class MadParameters:
    """How far from the median of a column a value may lie."""

    threshold: float = setting(3.5, "Largest modified z-score.", minimum=1)
    max_share: float = setting(
        0.005, "With a larger share outside the column is skewed, and its bounds are doubled.", minimum=0, maximum=0.5
    )


@dataclass(frozen=True)
class MahalanobisParameters:
    """When a row is far from all others although none of its values is."""

    false_discovery_rate: float = setting(
        0.01, "Expected share of false alarms among the flagged.", minimum=1e-6, maximum=0.5
    )
    fit_rows: int = setting(10_000, "Rows that location and covariance are estimated on, at most.", minimum=100)
    most_columns: int = setting(100, "With more columns the detector does not apply.", minimum=2, maximum=500)


@dataclass(frozen=True)
class LabelIssueParameters:
    """How labels are predicted from the other rows."""

    rows: int = setting(20_000, "Rows that are judged, at most.", minimum=50)
    folds: int = setting(5, "Each row is predicted by a model that has not seen its fold.", minimum=2, maximum=20)
    minimum_class: int = setting(10, "Classes of fewer rows are not judged.", minimum=2)


@dataclass(frozen=True)
class ImbalanceParameters:
    """When one class outnumbers another."""

    ratio: float = setting(10.0, "Largest class to smallest class.", minimum=1)
    minimum_class: int = setting(10, "A class of fewer rows is told in any case.", minimum=1)


@dataclass(frozen=True)
class ConstantParameters:
    """When a column says next to nothing."""

    share: float = setting(0.995, "Share of the most frequent value from which a column is near constant.", minimum=0.5)


@dataclass(frozen=True)
class DuplicateColumnParameters:
    """When two columns say the same."""

    correlation: float = setting(
        0.9999, "Correlation from which two columns are the same but for their unit.", minimum=0.9, maximum=1
    )
    rows: int = setting(10_000, "Rows by which pairs are found before they are confirmed on all.", minimum=100)


@dataclass(frozen=True)
class GiveawayParameters:
    """When one column alone says the label."""

    area: float = setting(0.99, "Smallest area under the curve (or R²) on unseen rows.", minimum=0.5, maximum=1)
    low_end: float = setting(0.95, "What the low end of its interval reaches as well.", minimum=0, maximum=1)
    rows: int = setting(
        50_000, "Rows that are looked at, at most; one half learns, the other is predicted.", minimum=50
    )


@dataclass(frozen=True)
class NearDuplicateParameters:
    """How alike two rows have to be."""

    tolerance: float = setting(
        0.01, "Tables: largest difference of any column, in robust standard deviations.", minimum=0, maximum=1
    )
    hash_distance: int = setting(
        6, "Images: bits of 64 in which two difference hashes may differ.", minimum=0, maximum=32
    )
    pixel_difference: float = setting(
        0.02, "Images: mean absolute difference, as a share of the range.", minimum=0, maximum=1
    )
    jaccard: float = setting(
        0.7, "Texts: share of the sequences of three words that both have.", minimum=0.1, maximum=1
    )
    rows: int = setting(1_000_000, "Table rows that are compared, at most.", minimum=2)
    images: int = setting(20_000, "Images that are compared, at most.", minimum=2)
    texts: int = setting(20_000, "Texts that are compared, at most.", minimum=2)


@dataclass(frozen=True)
class ColumnDriftParameters:
    """When the distribution of a column has moved."""

    false_discovery_rate: float = setting(
        0.01, "Expected share of false alarms among the columns told.", minimum=1e-6, maximum=0.5
    )
    effect: float = setting(
        0.1, "Smallest difference of distributions that matters, from 0 to 1.", minimum=0, maximum=1
    )
    rows: int = setting(50_000, "Rows of each version that are compared, at most.", minimum=50)
    charts: int = setting(4, "Columns whose two distributions are drawn.", minimum=0, maximum=20)


@dataclass(frozen=True)
class TableDriftParameters:
    """When a model can tell the two versions apart."""

    area: float = setting(
        0.55, "Area under the curve, low end of its interval, from which versions differ.", minimum=0.5, maximum=1
    )
    rows: int = setting(10_000, "Rows of each version that are compared, at most.", minimum=50)


@dataclass(frozen=True)
class Entry:
    """One detector as the catalogue knows it."""

    name: str
    title: str
    purposes: tuple[Purpose, ...]
    action: Action
    parameters: type[Any] = NoParameters

    @property
    def default_parameters(self) -> dict[str, Any]:
        return defaults_of(self.parameters)

    @property
    def parameter_schema(self) -> dict[str, Any]:
        """The JSON schema of the parameters, from which API and admin show a form."""
        return schema_of(self.parameters)


_QUALITY: tuple[Purpose, ...] = ("quality",)
_ALSO_BETWEEN: tuple[Purpose, ...] = ("quality", "evaluation")
_DRIFT: tuple[Purpose, ...] = ("drift",)

ENTRIES: Mapping[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry("iqr", "Outliers by quartiles", _QUALITY, "quarantine", IqrParameters),
        Entry("mad", "Outliers by the median", _QUALITY, "quarantine", MadParameters),
        Entry("mahalanobis", "Outliers of whole rows", _QUALITY, "flag", MahalanobisParameters),
        Entry("label_issues", "Labels that look wrong", _QUALITY, "flag", LabelIssueParameters),
        Entry("conflicting_labels", "Same features, other label", _ALSO_BETWEEN, "flag"),
        Entry("exact_duplicates", "Repeated rows", _ALSO_BETWEEN, "flag"),
        Entry("near_duplicates", "Almost repeated rows", _ALSO_BETWEEN, "flag", NearDuplicateParameters),
        Entry("label_giveaway", "Columns that give the label away", _QUALITY, "look", GiveawayParameters),
        Entry("class_imbalance", "Class imbalance", _QUALITY, "look", ImbalanceParameters),
        Entry("constant_columns", "Constant columns", _QUALITY, "look", ConstantParameters),
        Entry("duplicate_columns", "Columns that say the same", _QUALITY, "look", DuplicateColumnParameters),
        Entry("column_drift", "Columns that have moved", _DRIFT, "look", ColumnDriftParameters),
        Entry("table_drift", "The table as a whole", _DRIFT, "look", TableDriftParameters),
    )
}


class RequestError(ValueError):
    """A screening that cannot be asked for: ``place`` is the field, the message a sentence."""

    def __init__(self, place: str, detail: str) -> None:
        super().__init__(detail)
        self.place = place


def names_for(purpose: str) -> list[str]:
    """Return the detectors of a purpose, in the order in which they run."""
    return [name for name, entry in ENTRIES.items() if purpose in entry.purposes]


def read_request(
    purpose: str, detectors: Sequence[str] | None, parameters: Mapping[str, Any] | None
) -> dict[str, dict[str, Any]]:
    """Return detector -> its parameters, defaults filled in, in the order in which they run.

    Args:
        detectors: names; all of the purpose when there are none.
        parameters: detector -> parameter -> value.

    Raises:
        RequestError: an unknown purpose, detector or parameter, or a value that does not fit.
    """
    if purpose not in PURPOSES:
        raise RequestError("purpose", f"The purpose {purpose!r} is not one of {', '.join(PURPOSES)}.")
    known = names_for(purpose)
    asked = list(detectors or known)
    for name in asked:
        if name not in known:
            raise RequestError("detectors", f"{name!r} is no detector for {purpose}; those are {', '.join(known)}.")
    given = parameters or {}
    for name, values in given.items():
        if name not in asked:
            raise RequestError(
                "parameters", f"{name!r} has parameters and is not asked for; asked are {', '.join(asked)}."
            )
        if not isinstance(values, Mapping):
            raise RequestError("parameters", f"The parameters of {name} are an object, not {values!r}.")
    try:
        return {
            name: asdict(read(ENTRIES[name].parameters, given.get(name, {}), owner=name))
            for name in known
            if name in asked
        }
    except ParameterError as error:
        raise RequestError("parameters", str(error)) from error
