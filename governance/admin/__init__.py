"""The admin of the record: a real tool for those who register, upload, start and administer."""

from django.contrib import admin

from governance.admin.arriving import UploadAdmin
from governance.admin.base import JSONField, ReadOnly, StartedHere, as_json, job_link, page_link, person, starts
from governance.admin.datasets import DatasetAdmin, DatasetVersionAdmin
from governance.admin.models import ModelVersionAdmin, RegisteredModelAdmin
from governance.admin.provenance import InstallationKeyAdmin, SignedStatementAdmin
from governance.admin.record import EventAdmin, PolicyAdmin, ReviewAdmin
from governance.admin.uploads import TakesUploads
from governance.admin.work import EvaluationAdmin, JobAdmin, TrainingAdmin

admin.site.site_header = "Assay"
admin.site.site_title = "Assay"
admin.site.index_title = "Record"

__all__ = [
    "DatasetAdmin",
    "DatasetVersionAdmin",
    "EvaluationAdmin",
    "EventAdmin",
    "InstallationKeyAdmin",
    "JSONField",
    "JobAdmin",
    "ModelVersionAdmin",
    "PolicyAdmin",
    "ReadOnly",
    "RegisteredModelAdmin",
    "ReviewAdmin",
    "SignedStatementAdmin",
    "StartedHere",
    "TakesUploads",
    "TrainingAdmin",
    "UploadAdmin",
    "as_json",
    "job_link",
    "page_link",
    "person",
    "starts",
]
