"""The form that asks for an explanation; what it sends is checked as the API checks it."""

from __future__ import annotations

import re
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from audits.api.explanation_fields import OUTPUT_CHOICES
from audits.api.explanations import ExplanationBody
from audits.engine.methods import BUDGETS, METHODS
from audits.models import Explanation
from audits.services import explanations
from governance import permissions
from governance.api.base import StrictSerializer
from governance.exceptions import InvalidInput
from governance.models import DatasetState, DatasetVersion, ModelVersion, ModelVersionState
from governance.permissions import Action
from governance.views.page import draw, page, verb

#: References that the form proposes, the newest first; any other may be typed.
_PROPOSED = 200
_LIST_OF_NUMBERS = re.compile(r"\d{1,12}([,\s]+\d{1,12})*")
#: What the form asks in words of its own, apart from the choice of a method.
_FIELDS = ("model", "dataset", "background", "rows", "outputs", "tolerance", "background_rows", "seed", *BUDGETS)


@page
def explanation_request(request: HttpRequest) -> HttpResponse:
    """Show the form, filled with what the address says and else with what the API takes by itself."""
    defaults = {
        "rows": explanations.DEFAULT_ROWS,
        "outputs": "all",
        "tolerance": explanations.DEFAULT_TOLERANCE,
        "background_rows": explanations.DEFAULT_BACKGROUND_ROWS,
        "seed": 0,
        "method": "permutation",
    }
    versions = ModelVersion.objects.filter(state=ModelVersionState.REGISTERED).select_related("model")
    datasets = DatasetVersion.objects.filter(state=DatasetState.READY).select_related("dataset")
    context = {
        "asked": {**defaults, **{name: request.GET[name] for name in (*_FIELDS, "method") if name in request.GET}},
        "methods": METHODS.items(),
        "budgets": [
            (
                name,
                entry,
                [known.title for known in METHODS.values() if name in known.budgets],
                request.GET.get(name, ""),
            )
            for name, entry in BUDGETS.items()
        ],
        "outputs": OUTPUT_CHOICES,
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
    found = start_explanation({name: request.POST.get(name, "").strip() for name in (*_FIELDS, "method")}, by=user)
    messages.success(request, f"{str(found).capitalize()} is asked for; its values stand here when its job has ended.")
    return redirect(reverse("explanation", args=[found.pk]))


def start_explanation(written: dict[str, str], *, by: User) -> Explanation:
    """Start an explanation from what was written into the form; what was left empty is the API's own choice.

    Raises:
        InvalidInput: with what is wrong in which field.
    """
    body = demand_valid(ExplanationBody(data={name: _value(name, text) for name, text in written.items() if text}))
    return explanations.request_explanation(by=by, **body)


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


def numbers_or_text(text: str) -> int | list[int] | str:
    """Read a number, or several with commas or spaces between them; what is neither stays as it is."""
    if not _LIST_OF_NUMBERS.fullmatch(text):
        return text
    numbers = [int(part) for part in re.split(r"[,\s]+", text)]
    return numbers[0] if len(numbers) == 1 else numbers


def _value(name: str, text: str) -> Any:
    """Read numbers and lists of numbers where the field may be one; an output is a list also where it is one."""
    if name == "outputs" and text.isascii() and text.isdigit():
        return [int(text)]
    return numbers_or_text(text) if name in ("rows", "outputs", "background_rows") else text


def _sentence(said: Any) -> str:
    return " ".join(map(str, said)) if isinstance(said, list) else str(said)
