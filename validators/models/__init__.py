"""The record of data evidence, an entity a file."""

from validators.models.cleaning import Cleaning
from validators.models.suite import ExpectationSuite, RequiredSuite
from validators.models.validation import Validation, Waiver, WaiverQuerySet

__all__ = ["Cleaning", "ExpectationSuite", "RequiredSuite", "Validation", "Waiver", "WaiverQuerySet"]
