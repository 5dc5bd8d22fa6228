"""The record of data evidence, an entity a file."""

from validators.models.cleaning import Cleaning, Restoration, RestorationQuerySet
from validators.models.comparison import Comparison
from validators.models.datasheet import Datasheet
from validators.models.proposal import SuiteProposal
from validators.models.screening import Screening, ScreeningPurpose
from validators.models.split import Split
from validators.models.suite import ExpectationSuite, RequiredSuite
from validators.models.validation import Validation, Waiver, WaiverQuerySet

__all__ = [
    "Cleaning",
    "Comparison",
    "Datasheet",
    "ExpectationSuite",
    "RequiredSuite",
    "Restoration",
    "RestorationQuerySet",
    "Screening",
    "ScreeningPurpose",
    "Split",
    "SuiteProposal",
    "Validation",
    "Waiver",
    "WaiverQuerySet",
]
