"""The form that asks for an explanation; what it sends is checked as the API checks it."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from audits.api.explanations import ExplanationBody
from audits.engine.methods import METHODS
from audits.models import Explanation
from audits.services import explanations
from audits.views.explanation_form import body_of, form_fields
from governance import permissions
from governance.api.base import StrictSerializer
from governance.exceptions import InvalidInput
from governance.models import DatasetState, DatasetVersion, ModelVersion, ModelVersionState
from governance.permissions import Action
from governance.views.page import draw, page, verb

#: References that the form proposes, the newest first; any other may be typed.
_PROPOSED = 200


@page
def explanation_request(request: HttpRequest) -> HttpResponse:
    """Show the form, filled with what the address says and else with what the API takes by itself."""
    versions = ModelVersion.objects.filter(state=ModelVersionState.REGISTERED).select_related("model")
    datasets = DatasetVersion.objects.filter(state=DatasetState.READY).select_related("dataset")
    fields, further, bounds = form_fields(request.GET.dict())
    context = {
        "fields": fields,
        "further": further,
        "bounds": bounds,
        "methods": METHODS.items(),
        "versions": versions.order_by("-pk")[:_PROPOSED],
        "datasets": datasets.order_by("-pk")[:_PROPOSED],
        "refusal": permissions.refusal(request.user, Action.REQUEST_EXPLANATION),
    }
    return draw(request, "audits/explanation_request.html", context, section="explanations")


@verb
def explanation_ask(request: HttpRequest) -> HttpResponse:
    """Start the explanation that the form asks for, and go to its page."""
    user = cast(User, request.user)
    permissions.require(user, Action.REQUEST_EXPLANATION)
    found = start_explanation(request.POST.dict(), by=user)
    messages.success(request, f"{str(found).capitalize()} is asked for; its values stand here when its job has ended.")
    return redirect(reverse("explanation", args=[found.pk]))


def start_explanation(written: dict[str, str], *, by: User) -> Explanation:
    """Start an explanation from what was written into the form; what was left empty is the API's own choice.

    Raises:
        InvalidInput: with what is wrong in which field.
    """
    return explanations.request_explanation(by=by, **demand_valid(ExplanationBody(data=body_of(written))))


def demand_valid(body: StrictSerializer) -> dict[str, Any]:
    """Return what a body of the API says.

    Raises:
        InvalidInput: with what is wrong in which field.
    """
    if not body.is_valid():
        problems = [{"place": name, "detail": _sentence(said)} for name, said in body.errors.items()]
        raise InvalidInput(
            "The explanation was not asked for.",
            errors=problems,
            reasons=[f"{entry['place'].replace('_', ' ')}: {entry['detail']}" for entry in problems],
        )
    valid: dict[str, Any] = body.validated_data
    return valid


def _sentence(said: Any) -> str:
    """Write what a serializer says of a field, of parts of which it may say something each."""
    if isinstance(said, dict):
        return " ".join(f"{name}: {_sentence(part)}" for name, part in said.items())
    return " ".join(map(str, said)) if isinstance(said, list) else str(said)
