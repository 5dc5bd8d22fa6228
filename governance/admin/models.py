"""The registry in the admin: models, and their versions as uploads."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Max, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.safestring import SafeString

from governance.admin.base import JSONField, StartedHere, as_json, job_link, page_link, person, starts
from governance.admin.uploads import TakesUploads
from governance.models import (
    Alias,
    DatasetState,
    DatasetVersion,
    Job,
    ModelVersion,
    ModelVersionState,
    RegisteredModel,
    StoredFile,
)
from governance.permissions import Action
from governance.services import registry


class AliasInline(admin.TabularInline[Alias, RegisteredModel]):
    """Aliases, for reading: they move by an approved review only."""

    model = Alias
    extra = 0
    can_delete = False
    fields = ("name", "version", "review", "review_state", "moved_at")
    readonly_fields = fields

    @admin.display(description="state of the review")
    def review_state(self, alias: Alias) -> str:
        return alias.review.get_state_display()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Alias]:
        return super().get_queryset(request).select_related("model", "version__model", "review")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


@admin.register(RegisteredModel)
class RegisteredModelAdmin(StartedHere[RegisteredModel]):
    """Registered models; who registers one owns it."""

    add_action = Action.REGISTER_MODEL
    fieldsets = [
        (
            "What it is",
            {
                "fields": ["name", "task", "tier"],
                "description": "Who registers a model owns it. The tier chooses the policy of its audits.",
            },
        ),
        (
            "What it is for",
            {
                "fields": ["intended_use", "limitations"],
                "description": "Stands on top of every page of its versions; a reviewer decides against it.",
            },
        ),
    ]
    inlines = [AliasInline]
    list_display = ["name", "task", "tier", "owner", "latest", "created_at"]
    list_filter = ["tier", "task"]
    list_select_related = ["owner"]
    search_fields = ["name", "intended_use"]
    readonly_when_kept = ["name", "task", "tier", "owner", "intended_use", "limitations", "created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[RegisteredModel]:
        return super().get_queryset(request).annotate(latest_number=Max("versions__number"))

    @admin.display(description="latest version", ordering="latest_number")
    def latest(self, model: RegisteredModel) -> SafeString | str:
        number = getattr(model, "latest_number", None)
        if number is None:
            return "–"
        return page_link("version", model.name, number, text=f"{model.name}/{number}")

    def get_inlines(self, request: HttpRequest, obj: RegisteredModel | None) -> list[Any]:
        return [] if obj is None else [AliasInline]

    def start(self, request: HttpRequest, values: dict[str, Any]) -> RegisteredModel:
        return registry.register_model(by=person(request), **values)


class VersionForm(forms.Form):
    """What is said about the file of a version."""

    model = forms.ModelChoiceField(RegisteredModel.objects.all())
    signature = JSONField(
        required=False,
        help_text="Inputs with the columns that feed them, outputs with their classes. "
        "Needed where the file does not state them itself: a .pt2 never says which columns feed it.",
    )
    recipe = JSONField(required=False, help_text="How to retrain it; the file's own compile settings otherwise.")
    model_signature = JSONField(
        required=False,
        help_text="The OpenSSF signature over the file (the content of its model.sig), where somebody signed it.",
    )
    training_data = forms.ModelChoiceField(
        DatasetVersion.objects.select_related("dataset").filter(state=DatasetState.READY),
        required=False,
        help_text="The data set version that it was trained on, where it is here.",
    )


@admin.action(description="Release or reject the selected quarantined version …")
def decide_on_quarantine(
    modeladmin: admin.ModelAdmin[ModelVersion], request: HttpRequest, queryset: QuerySet[ModelVersion]
) -> HttpResponse | None:
    """Open the box of the one selected version, where its findings and sources are in sight of who decides."""
    chosen = list(queryset.select_related("model")[:2])
    if len(chosen) != 1 or chosen[0].state != ModelVersionState.QUARANTINED:
        modeladmin.message_user(request, "Select one quarantined version for this.", messages.WARNING)
        return None
    return redirect(f"{reverse('version', args=[chosen[0].model.name, chosen[0].number])}#quarantine")


@admin.register(ModelVersion)
class ModelVersionAdmin(TakesUploads[ModelVersion]):
    """Versions: uploads and what trainings made; none can be changed."""

    add_action = Action.UPLOAD_VERSION
    upload_form = VersionForm
    upload_sentence = (
        "A .keras or .pt2 file, or a model package (.zip). The page answers as soon as the file is stored; "
        "a job inspects it before anything loads it."
    )
    actions = [
        decide_on_quarantine,
        starts("admin:governance_training_add", "version", "Train the selected version further …"),
        starts("admin:governance_evaluation_add", "version", "Evaluate the selected version …"),
    ]
    list_display = [
        "ref",
        "state",
        "held_for",
        "framework",
        "parameter_count",
        "retrained_from",
        "job_state",
        "created_at",
    ]
    list_filter = ["state", "framework"]
    search_fields = ["model__name", "artifact__digest"]
    readonly_when_kept = [
        "ref",
        "page",
        "state",
        "state_reason",
        "filename",
        "artifact",
        "rewritten",
        "weights_digest",
        "framework",
        "format",
        "signature_shown",
        "recipe_shown",
        "inspection_shown",
        "parameter_count",
        "model_signature_state",
        "model_signature_key_id",
        "model_signature_reason",
        "training_data",
        "retrained_from",
        "job_state",
        "created_by",
        "created_at",
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelVersion]:
        queryset = super().get_queryset(request)
        return queryset.select_related("model", "training_data__dataset", "retrained_from__model", "job", "created_by")

    @admin.display(description="job", ordering="job__state")
    def job_state(self, version: ModelVersion) -> SafeString | str:
        return job_link(version.job)

    @admin.display(description="held for")
    def held_for(self, version: ModelVersion) -> str:
        """Name the findings that keep a version in quarantine."""
        if version.state != ModelVersionState.QUARANTINED:
            return "–"
        return ", ".join(sorted({entry["id"] for entry in version.inspection.get("findings", [])})) or "inspection"

    @admin.display(description="page")
    def page(self, version: ModelVersion) -> SafeString:
        return page_link("version", version.model.name, version.number, text=f"{version.ref} as reviewers see it")

    @admin.display(description="signature")
    def signature_shown(self, version: ModelVersion) -> SafeString:
        return as_json(version.signature)

    @admin.display(description="recipe")
    def recipe_shown(self, version: ModelVersion) -> SafeString:
        return as_json(version.recipe)

    @admin.display(description="inspection")
    def inspection_shown(self, version: ModelVersion) -> SafeString:
        return as_json(version.inspection)

    def take_in(
        self, request: HttpRequest, values: dict[str, Any], file: StoredFile, filename: str
    ) -> tuple[ModelVersion, Job]:
        version = registry.upload_version(
            model=values["model"],
            file=file,
            filename=filename,
            stated_signature=values["signature"],
            stated_recipe=values["recipe"],
            training_data=values["training_data"],
            model_signature=values["model_signature"],
            by=person(request),
        )
        assert version.job is not None
        return version, version.job
