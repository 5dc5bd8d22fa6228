"""Work in the admin: trainings and evaluations are started here, jobs are followed and cancelled."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin.base import JSONField, ReadOnly, StartedHere, as_json, job_link, person, sentences_of
from governance.exceptions import AssayError
from governance.models import DatasetState, DatasetVersion, Evaluation, Job, ModelVersion, ModelVersionState, Training
from governance.permissions import Action
from governance.services import evaluations, jobs, trainings

DEVICES = "cpu, cuda, or cuda*2 for two GPUs"


def registered_versions() -> QuerySet[ModelVersion]:
    return ModelVersion.objects.select_related("model").filter(state=ModelVersionState.REGISTERED)


def _datasets() -> QuerySet[DatasetVersion]:
    return DatasetVersion.objects.select_related("dataset").filter(state=DatasetState.READY)


class TrainingForm(forms.ModelForm[Training]):
    """What to train on what."""

    version = forms.ModelChoiceField(registered_versions())
    dataset = forms.ModelChoiceField(_datasets(), label="data set")
    recipe = JSONField(required=False, help_text="Leave it empty for the version's own recipe; a .pt2 brings none.")
    devices = forms.CharField(initial="cpu", help_text=DEVICES)

    class Meta:
        model = Training
        fields = ["version", "dataset", "recipe"]


@admin.register(Training)
class TrainingAdmin(StartedHere[Training]):
    """Trainings: adding one starts it."""

    form = TrainingForm
    add_action = Action.REQUEST_TRAINING
    list_display = ["__str__", "version", "dataset", "produced", "job_state", "created_by", "created_at"]
    list_select_related = ["version__model", "dataset__dataset", "produced__model", "job", "created_by"]
    search_fields = ["version__model__name", "dataset__dataset__name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["version", "dataset", "recipe", "devices"],
                "description": "Saving starts a job that makes a new version, if the gate lets the data through.",
            },
        )
    ]
    readonly_when_kept = [
        "version",
        "dataset",
        "produced",
        "recipe_shown",
        "summary_shown",
        "job_state",
        "created_by",
        "created_at",
    ]

    @admin.display(description="job", ordering="job__state")
    def job_state(self, training: Training) -> SafeString | str:
        return job_link(training.job)

    @admin.display(description="recipe")
    def recipe_shown(self, training: Training) -> SafeString:
        return as_json(training.recipe)

    @admin.display(description="summary")
    def summary_shown(self, training: Training) -> SafeString:
        return as_json({key: value for key, value in training.summary.items() if key != "charts"})

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Training:
        return trainings.request_training(by=person(request), **values)


class EvaluationForm(forms.ModelForm[Evaluation]):
    """What to measure on what."""

    version = forms.ModelChoiceField(registered_versions())
    dataset = forms.ModelChoiceField(_datasets(), label="data set")
    compare_with = forms.ModelChoiceField(registered_versions(), required=False)
    slices = forms.CharField(required=False, help_text="Names of columns, parted by commas.")
    devices = forms.CharField(initial="cpu", help_text=DEVICES)

    class Meta:
        model = Evaluation
        fields = ["version", "dataset", "compare_with", "slices"]

    def clean_slices(self) -> list[str]:
        return [name.strip() for name in self.cleaned_data["slices"].split(",") if name.strip()]


@admin.register(Evaluation)
class EvaluationAdmin(StartedHere[Evaluation]):
    """Evaluations: adding one starts it."""

    form = EvaluationForm
    add_action = Action.REQUEST_EVALUATION
    list_display = ["__str__", "version", "dataset", "compare_with", "job_state", "created_by", "created_at"]
    list_select_related = ["version__model", "dataset__dataset", "compare_with__model", "job", "created_by"]
    search_fields = ["version__model__name", "dataset__dataset__name"]
    fieldsets = [
        (
            None,
            {
                "fields": ["version", "dataset", "compare_with", "slices", "devices"],
                "description": "Saving starts a job that measures the version, paired with the other if there is one.",
            },
        )
    ]
    readonly_when_kept = [
        "version",
        "dataset",
        "compare_with",
        "slices",
        "metrics_shown",
        "comparison_shown",
        "digest",
        "job_state",
        "created_by",
        "created_at",
    ]

    @admin.display(description="job", ordering="job__state")
    def job_state(self, evaluation: Evaluation) -> SafeString | str:
        return job_link(evaluation.job)

    @admin.display(description="metrics")
    def metrics_shown(self, evaluation: Evaluation) -> SafeString:
        return as_json(evaluation.metrics)

    @admin.display(description="comparison")
    def comparison_shown(self, evaluation: Evaluation) -> SafeString:
        return as_json(evaluation.comparison)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Evaluation:
        return evaluations.request_evaluation(by=person(request), **values)


@admin.register(Job)
class JobAdmin(ReadOnly[Job]):
    """Jobs: where each stands; its page is live."""

    actions = ["cancel"]
    list_display = [
        "job_page",
        "kind",
        "subject",
        "state",
        "attempt",
        "worker",
        "created_by",
        "created_at",
        "finished_at",
    ]
    list_display_links = None
    list_filter = ["state", "kind"]
    list_select_related = ["created_by"]
    search_fields = ["subject", "kind"]
    readonly_when_kept = [
        "job_page",
        "kind",
        "subject",
        "state",
        "attempt",
        "max_attempts",
        "worker",
        "devices",
        "progress",
        "error",
        "timings",
        "environment",
        "peak_memory_bytes",
        "spec_shown",
        "spec_digest",
        "result_digest",
        "created_by",
        "created_at",
        "started_at",
        "finished_at",
    ]

    @admin.display(description="job", ordering="pk")
    def job_page(self, job: Job) -> SafeString | str:
        return job_link(job)

    @admin.display(description="spec")
    def spec_shown(self, job: Job) -> SafeString:
        return as_json(job.spec)

    @admin.action(description="Cancel the selected jobs")
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        for job in queryset.select_related("created_by"):
            try:
                jobs.cancel(job=job, by=person(request))
            except AssayError as error:
                self.message_user(request, " ".join(sentences_of(error)), messages.ERROR)
            else:
                self.message_user(request, f"{str(job).capitalize()} was asked to end.", messages.SUCCESS)
