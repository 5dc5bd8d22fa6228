"""The admin of data evidence: what is written, started and read, an entity a file."""

from django.contrib import admin

from governance.admin import starts
from governance.models import DatasetVersion
from validators.admin import cleanings, exchange, proposals, screenings, suites, validations

__all__ = ["cleanings", "exchange", "proposals", "screenings", "suites", "validations"]

# What is done with a data set above the record is offered where its versions are listed.
_versions = admin.site.get_model_admin(DatasetVersion)
_versions.actions = [
    *(_versions.actions or ()),
    starts("admin:validators_validation_add", "dataset", "Validate the selected version …"),
    starts("admin:validators_suiteproposal_add", "dataset", "Suggest a suite for the selected version …"),
    starts("admin:validators_cleaning_add", "dataset", "Clean the selected version …"),
    starts("admin:validators_split_add", "dataset", "Split the selected version …"),
    starts("admin:validators_screening_add", "dataset", "Screen the selected version …"),
]
