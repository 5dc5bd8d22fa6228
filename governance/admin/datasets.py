"""Data sets in the admin, and their versions as uploads."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Max, QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin.base import JSONField, StartedHere, as_json, job_link, page_link, person
from governance.admin.uploads import TakesUploads
from governance.models import Dataset, DatasetVersion, Job, StoredFile
from governance.permissions import Action
from governance.services import datasets


@admin.register(Dataset)
class DatasetAdmin(StartedHere[Dataset]):
    """Data sets; who creates one owns it."""

    add_action = Action.CREATE_DATASET
    fieldsets = [
        (
            None,
            {
                "fields": ["name", "description"],
                "description": "A name for the versions to come; who makes it owns it. Files are uploaded as versions.",
            },
        )
    ]
    list_display = ["name", "owner", "latest", "created_at"]
    list_select_related = ["owner"]
    search_fields = ["name", "description"]
    readonly_when_kept = ["name", "description", "owner", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Dataset]:
        return super().get_queryset(request).annotate(latest_number=Max("versions__number"))

    @admin.display(description="latest version", ordering="latest_number")
    def latest(self, dataset: Dataset) -> SafeString | str:
        number = getattr(dataset, "latest_number", None)
        if number is None:
            return "–"
        return page_link("dataset-version", dataset.name, number, text=f"{dataset.name}/{number}")

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Dataset:
        return datasets.create_dataset(by=person(request), **values)


class DatasetVersionForm(forms.Form):
    """What is said about the file of a version."""

    dataset = forms.ModelChoiceField(Dataset.objects.all(), label="data set")
    schema = JSONField(
        required=False,
        help_text="Modality, and the role and type of each column. Left empty, types are inferred and every column "
        "but one named split is a feature: training needs a schema that says which column is the target.",
    )


@admin.register(DatasetVersion)
class DatasetVersionAdmin(TakesUploads[DatasetVersion]):
    """Versions: uploads and what cleanings made; none can be changed."""

    add_action = Action.UPLOAD_DATASET_VERSION
    upload_form = DatasetVersionForm
    upload_sentence = (
        "A CSV, Parquet, Arrow or NPZ file, or a zip of images or texts. The page answers as soon as the file is "
        "stored; a job reads and profiles it."
    )
    list_display = ["ref", "state", "row_count", "cleaned_from", "job_state", "created_at"]
    list_filter = ["state"]
    search_fields = ["dataset__name", "content_digest"]
    readonly_when_kept = [
        "ref",
        "page",
        "state",
        "state_reason",
        "filename",
        "upload",
        "table",
        "tree",
        "content_digest",
        "row_count",
        "schema_shown",
        "cleaned_from",
        "job_state",
        "created_by",
        "created_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[DatasetVersion]:
        queryset = super().get_queryset(request)
        return queryset.select_related("dataset", "cleaned_from__dataset", "job", "created_by")

    @admin.display(description="job", ordering="job__state")
    def job_state(self, version: DatasetVersion) -> SafeString | str:
        return job_link(version.job)

    @admin.display(description="page")
    def page(self, version: DatasetVersion) -> SafeString:
        return page_link(
            "dataset-version", version.dataset.name, version.number, text=f"{version.ref} as reviewers see it"
        )

    @admin.display(description="schema")
    def schema_shown(self, version: DatasetVersion) -> SafeString:
        return as_json(version.schema)

    def take_in(
        self, request: HttpRequest, values: dict[str, Any], file: StoredFile, filename: str
    ) -> tuple[DatasetVersion, Job]:
        version = datasets.upload_version(
            dataset=values["dataset"],
            file=file,
            filename=filename,
            stated_schema=values["schema"],
            by=person(request),
        )
        assert version.job is not None
        return version, version.job
