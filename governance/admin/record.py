"""Policies, reviews and events in the admin: rules are written, the rest is read."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString

from governance.admin.base import JSONField, ReadOnly, StartedHere, as_json, page_link, person
from governance.admin.work import registered_versions
from governance.models import Decision, Event, Evidence, Policy, Review
from governance.permissions import Action
from governance.services import policies, reviews


class PolicyForm(forms.ModelForm[Policy]):
    """A policy as people write it."""

    document = JSONField(
        label="Policy",
        rows=24,
        help_text='{"name": ..., "tier": ..., "checks": {"ROB-01": {"parameters": {...}, "condition": {...}}}, '
        '"blocks": [...], "approvers": 1, "requires_signature": false, "accepts": ["ART-03.package"]}; the next '
        "number of its name is given to it.",
    )

    class Meta:
        model = Policy
        fields = ["document"]


@admin.register(Policy)
class PolicyAdmin(StartedHere[Policy]):
    """Policies; a change is the next number of the same name."""

    form = PolicyForm
    add_action = Action.CREATE_POLICY
    fieldsets = [
        (None, {"fields": ["document"], "description": "What audits of a tier judge by. A change is the next number."})
    ]
    list_display = ["ref", "tier", "checks", "created_by", "created_at"]
    list_filter = ["tier"]
    list_select_related = ["created_by"]
    search_fields = ["name"]
    readonly_when_kept = ["name", "number", "tier", "document_shown", "digest", "created_by", "created_at"]

    @admin.display(description="checks")
    def checks(self, policy: Policy) -> str:
        return ", ".join(sorted(policy.document["checks"]))

    @admin.display(description="policy")
    def document_shown(self, policy: Policy) -> SafeString:
        return as_json(policy.document)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Policy:
        return policies.create_policy(document=values["document"], by=person(request))


class EvidenceInline(admin.TabularInline[Evidence, Review]):
    """What a review rests on."""

    model = Evidence
    extra = 0
    can_delete = False
    fields = ("kind", "object_id", "digest")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


class DecisionInline(admin.TabularInline[Decision, Review]):
    """Who decided what."""

    model = Decision
    extra = 0
    can_delete = False
    fields = ("outcome", "comment", "decided_by", "decided_at")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Decision]:
        return super().get_queryset(request).select_related("decided_by")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True


class ReviewForm(forms.ModelForm[Review]):
    """Which version should get which alias, and on what evidence."""

    version = forms.ModelChoiceField(registered_versions())
    alias = forms.CharField(initial="champion", help_text="The name by which others ask for the version.")
    evidence = forms.CharField(
        help_text="What the approval would rest on, each as kind:number, parted by commas: audit:5, explanation:5. "
        "It is kept by digest; if a piece stops being true, the approval is void."
    )

    class Meta:
        model = Review
        fields = ["version", "alias", "comment"]

    def clean_evidence(self) -> list[str]:
        return [piece.strip() for piece in self.cleaned_data["evidence"].split(",") if piece.strip()]


@admin.register(Review)
class ReviewAdmin(StartedHere[Review]):
    """Reviews: asked for here, decided on their own page, evidence in sight."""

    form = ReviewForm
    add_action = Action.REQUEST_REVIEW
    fieldsets = [
        (
            None,
            {
                "fields": ["version", "alias", "evidence", "comment"],
                "description": "An approver who neither owns the version nor asks for the review decides on its page.",
            },
        )
    ]
    inlines = [EvidenceInline, DecisionInline]
    list_display = ["__str__", "page", "version", "alias", "state", "requested_by", "requested_at", "decided_at"]
    list_filter = ["state"]
    list_select_related = ["version__model", "requested_by"]
    search_fields = ["version__model__name", "alias"]
    readonly_when_kept = [
        "page",
        "version",
        "alias",
        "state",
        "comment",
        "approvals_needed",
        "voided_because",
        "voided_at",
        "requested_by",
        "requested_at",
        "decided_at",
    ]

    @admin.display(description="page")
    def page(self, review: Review) -> SafeString:
        return page_link("review", review.pk, text=f"{review} as reviewers see it")

    def get_inlines(self, request: HttpRequest, obj: Review | None) -> list[Any]:
        return [] if obj is None else list(self.inlines)

    def start(self, request: HttpRequest, values: dict[str, Any]) -> Review:
        return reviews.request_review(by=person(request), **values)


@admin.register(Event)
class EventAdmin(ReadOnly[Event]):
    """Events; nothing changes or deletes one."""

    list_display = ["sequence", "name", "subject", "actor", "at"]
    list_filter = ["name"]
    search_fields = ["subject", "actor", "name"]
    readonly_when_kept = ["sequence", "name", "at", "actor", "subject", "detail_shown", "group", "previous", "mac"]

    @admin.display(description="detail")
    def detail_shown(self, event: Event) -> SafeString:
        return as_json(event.detail)
