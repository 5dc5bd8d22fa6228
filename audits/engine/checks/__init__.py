"""Checks by id: the built-in ones first, then plug-ins of the entry-point group ``assay.checks``, named by their id."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from audits.engine.checks.base import Check

GROUP = "assay.checks"

#: Where each built-in check is; one that is not asked for is not imported.
BUILT_IN = {
    "ART-01": "audits.engine.checks.artefact:CodeInArtefact",
    "DAT-03": "audits.engine.checks.duplicates:RowsSeenInTraining",
    "DAT-04": "audits.engine.checks.validation:ValidationOfTrainingData",
    "PER-01": "audits.engine.checks.performance:TaskPerformance",
    "CAL-01": "audits.engine.checks.calibration:Calibration",
    "ROB-01": "audits.engine.checks.robustness:AccuracyUnderAttack",
    "PRI-01": "audits.engine.checks.membership:MembershipByLoss",
    "FAIR-01": "audits.engine.checks.fairness:DifferencesBetweenGroups",
    "EXP-01": "audits.engine.checks.explanation:ExplanationAdmission",
}


class CheckNotInstalledError(Exception):
    """There is no check of this id, neither built in nor as a plug-in."""


class PluginError(Exception):
    """A plug-in that does not load, or is no check of its id; the message names it."""


def check_named(check_id: str) -> Check:
    """Return a check by its id.

    Raises:
        CheckNotInstalledError: when nothing has this id.
        PluginError: when what has it does not load or is not a check of this id.
    """
    target = BUILT_IN.get(check_id) or next((p.value for p in entry_points(group=GROUP) if p.name == check_id), "")
    if not target:
        raise CheckNotInstalledError("The check is not installed.")
    point = EntryPoint(name=check_id, value=target, group=GROUP)
    try:
        # A plug-in is other people's code: whatever its import raises is told with its name.
        found = getattr(import_module(point.module), point.attr)
    except Exception as error:
        raise PluginError(f"The check {target} does not load: {type(error).__name__}: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, Check)) or getattr(found, "entry", None) is None:
        raise PluginError(f"The plug-in {target} is not a Check with an entry.")
    if found.entry.id != check_id:
        raise PluginError(f"The plug-in {target} says that its id is {found.entry.id}, not {check_id}.")
    return found()
