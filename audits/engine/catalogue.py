"""Which checks exist: id, title, severity, parameters, default condition, references.

The one place that says so. Both halves read it: the control half to show and to lock criteria, the checks to know their
own defaults. So it needs the standard library only; what a check *does* is in `audits.engine.checks`.

A condition is a small object. ``max`` or ``min`` is what the value is held against; ``high_above`` or ``high_below`` is
where a failure becomes severe. Other keys belong to one check and are told with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from audits.engine.references import Reference, references_of
from workers.parameters import NoParameters, ParameterError, defaults_of, is_number, read, schema_of, setting

#: 0.8 - 0.6 is above 0.2 in floating point.
ROUNDING = 1e-9

Severity = Literal["critical", "high", "medium", "low", "info"]


class CriteriaError(ValueError):
    """Parameters or a condition that a check does not take; the message names the check and the key."""


@dataclass(frozen=True)
class DuplicateParameters:
    """How near two images are to be the same picture."""

    hash_distance: int = setting(6, "Bits of 64 in which two difference hashes may differ.", minimum=0, maximum=32)
    pixel_difference: float = setting(
        0.02, "Mean absolute difference of two near duplicates, as a share of the range.", minimum=0, maximum=1
    )


@dataclass(frozen=True)
class PerformanceParameters:
    """Which number stands for performance."""

    metric: str = setting(
        "default",
        "The number that is judged; default is accuracy, or r2 for a regression.",
        choices=("default", "accuracy", "balanced_accuracy", "r2"),
    )
    minimum_rows: int = setting(30, "With fewer rows the check is skipped.", minimum=2)


@dataclass(frozen=True)
class CalibrationParameters:
    """How probabilities are grouped."""

    bins: int = setting(15, "Bins of equal mass.", minimum=2, maximum=1000)
    minimum_rows: int = setting(100, "With fewer rows the check is skipped.", minimum=2)


@dataclass(frozen=True)
class RobustnessParameters:
    """How strong the attack is."""

    eps: float = setting(
        0.1, "Largest change of a feature, in its standard deviations; of an image, in its range.", minimum=1e-9
    )
    l2_factor: float = setting(
        5.0, "Euclidean length of the L2 attack, as a multiple of eps (5 means 0.5 at eps 0.1).", minimum=1e-9
    )
    rows: int = setting(256, "Rows that are attacked, drawn once, stratified by label.", minimum=1)
    steps: int = setting(20, "Gradient steps of one start.", minimum=1, maximum=10_000)
    restarts: int = setting(
        2, "Starts; the first from the row itself on cross-entropy, then random ones, every other on the margin.",
        minimum=1, maximum=1000,
    )  # fmt: skip
    curve: tuple[float, ...] = setting(
        (0.25, 0.5, 1.0, 2.0), "Sizes at which the curve is measured, as multiples of eps.", minimum=1e-9
    )
    fixed_columns: tuple[str, ...] = setting((), "Columns that an attacker cannot change.")
    minimum_rows: int = setting(50, "With fewer rows that are right without an attack the check is skipped.", minimum=2)


@dataclass(frozen=True)
class MembershipParameters:
    """How many rows the attack is tried on."""

    rows: int = setting(5000, "At most so many members and as many others.", minimum=2)
    false_positive_rate: float = setting(
        0.01, "At which false positive rate the true positive rate is told.", minimum=1e-6, maximum=0.5
    )
    minimum_rows: int = setting(100, "With fewer members or fewer others the check is skipped.", minimum=2)


@dataclass(frozen=True)
class FairnessParameters:
    """How groups are formed and which class is the favourable one."""

    positive_class: str = setting(
        "", "The favourable class; empty means the second of two, and each in turn of more than two."
    )
    bands: int = setting(4, "Bands of equal mass for a protected column of many numbers.", minimum=2, maximum=100)
    minimum_group: int = setting(30, "A rate of fewer rows is not compared.", minimum=2)


@dataclass(frozen=True)
class ExplanationParameters:
    """What is explained to see whether explanations hold."""

    rows: int = setting(10, "Rows that are explained.", minimum=1, maximum=1000)
    background_rows: int = setting(50, "Background rows, at most.", minimum=2, maximum=10_000)
    tolerance: float = setting(
        0.05, "Two standard errors of the worst value, as a share of the largest one.", minimum=1e-6, maximum=1
    )
    additivity_residual: float = setting(1e-4, "Largest additivity residual that is admitted.", minimum=0)
    error_estimate: float = setting(0.05, "Largest median estimation error that is admitted.", minimum=0)
    error_estimate_worst: float = setting(0.15, "Largest estimation error of a row that is admitted.", minimum=0)
    stability: float = setting(0.2, "Largest change under small input noise that is admitted.", minimum=0)
    randomisation: float = setting(0.5, "Largest likeness to a random network that is admitted.", minimum=0)
    agreement: float = setting(0.15, "Largest difference of two estimates that is admitted.", minimum=0)
    background_sensitivity: float = setting(
        0.5, "Largest change with another background of the same size that is admitted.", minimum=0
    )
    faithfulness: float = setting(
        0.2,
        "Smallest faithfulness that is admitted; 0 is that of a random order, 1 what the values promise.",
        minimum=0,
    )


@dataclass(frozen=True)
class Entry:
    """One check as the catalogue knows it. `severity` is that of a failure, where the condition does not say more."""

    id: str
    title: str
    measures: str
    severity: Severity
    default_condition: Mapping[str, Any]
    parameters: type[Any] = NoParameters

    @property
    def default_parameters(self) -> dict[str, Any]:
        return defaults_of(self.parameters)

    @property
    def parameter_schema(self) -> dict[str, Any]:
        """The JSON schema of the parameters, from which API and admin show a form."""
        return schema_of(self.parameters)

    @property
    def references(self) -> tuple[Reference, ...]:
        return references_of(self.id)

    def read_parameters(self, document: Mapping[str, Any]) -> Any:
        """Return an instance of the parameter class; what is not given has its default.

        Raises:
            CriteriaError: an unknown key, a wrong type, a value out of range.
        """
        try:
            return read(self.parameters, document, owner=self.id)
        except ParameterError as error:
            raise CriteriaError(str(error)) from error

    def read_condition(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the condition with the defaults filled in.

        Raises:
            CriteriaError: an unknown key, or a value of another type than the default's.
        """
        condition = dict(self.default_condition)
        for name, value in document.items():
            if name not in condition:
                raise CriteriaError(f"The condition of {self.id} has no {name!r}; it has {', '.join(condition)}.")
            default = condition[name]
            if isinstance(default, bool) or not isinstance(default, int | float):
                fits = isinstance(value, type(default))
            else:
                fits = is_number(value)
            if not fits:
                raise CriteriaError(f"The condition of {self.id} has {name} = {value!r}; it is like {default!r}.")
            condition[name] = value
        return condition

    def judge(self, value: float | None, condition: Mapping[str, Any]) -> Severity | Literal[""]:
        """Hold a value against ``max`` or ``min``; return the severity of the failure, empty when it passed.

        A failure is high past ``high_above`` or ``high_below``, else of the check's own severity. No value fails.
        """
        if value is not None and not _is_past(value, condition.get("max"), condition.get("min")):
            return ""
        is_severe = value is not None and _is_past(value, condition.get("high_above"), condition.get("high_below"))
        return "high" if is_severe else self.severity

    @property
    def is_judged_by_value(self) -> bool:
        """Whether the condition is about the first metric alone, so that it can be judged again without a run."""
        return set(self.default_condition) <= {"max", "min", "high_above", "high_below"}


def _entries(*entries: Entry) -> dict[str, Entry]:
    return {entry.id: entry for entry in entries}


#: The built-in checks by id, in the order of the catalogue.
ENTRIES: dict[str, Entry] = _entries(
    Entry(
        "ART-01", "Code in the artefact", "findings of the inspection about code in the file", "critical", {"max": 0}
    ),
    Entry(
        "DAT-03",
        "Audited rows seen in training",
        "share of the audited rows that are also in the training data",
        "medium",
        {"max": 0.001, "high_above": 0.01},
        DuplicateParameters,
    ),
    Entry(
        "DAT-04",
        "Validation of the training data",
        "how the training data stand against the suite that they require",
        "high",
        {"accepts": ["passed"]},
    ),
    Entry(
        "PER-01",
        "Task performance",
        "lower end of the interval against the floor and a trivial baseline",
        "high",
        {"min": 0.0, "above_baseline": True},
        PerformanceParameters,
    ),
    Entry(
        "CAL-01",
        "Calibration",
        "expected calibration error",
        "medium",
        {"max": 0.05, "high_above": 0.15},
        CalibrationParameters,
    ),
    Entry(
        "ROB-01",
        "Accuracy under white-box attack",
        "accuracy under attack over accuracy without",
        "medium",
        {"min": 0.5, "high_below": 0.25},
        RobustnessParameters,
    ),
    Entry(
        "PRI-01",
        "Membership by loss threshold",
        "area under the ROC curve of the attack",
        "medium",
        {"max": 0.6, "high_above": 0.7},
        MembershipParameters,
    ),
    Entry(
        "FAIR-01",
        "Differences between groups of a protected column",
        "largest difference of a rate between two groups",
        "medium",
        {"max": 0.1, "high_above": 0.2},
        FairnessParameters,
    ),
    Entry(
        "EXP-01",
        "Explanation admission",
        "measures of explanation quality that are outside their bounds",
        "medium",
        {"max": 0},
        ExplanationParameters,
    ),
)


def _is_past(value: float, most: float | None, least: float | None) -> bool:
    """Tell whether a value is above the one or below the other; rounding is no difference."""
    return (most is not None and value > most + ROUNDING) or (least is not None and value < least - ROUNDING)
