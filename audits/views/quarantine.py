"""The way out of quarantine: what an administrator decides by, and the decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from django.contrib import messages
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from governance import permissions
from governance.exceptions import InvalidInput
from governance.models import ModelVersion, ModelVersionState
from governance.permissions import Action
from governance.services import registry
from governance.views.page import find, verb


@dataclass(frozen=True)
class Source:
    """One source of a model package, and the name under which it is handed out."""

    name: str
    digest: str

    @property
    def filename(self) -> str:
        return f"{self.name.replace('/', '.')}.txt"


def sources_of(version: ModelVersion) -> list[Source]:
    """Return the sources of a package, as the inspection read them."""
    return [Source(name, digest) for name, digest in sorted(version.inspection.get("sources", {}).items())]


def quarantine_context(version: ModelVersion, request: HttpRequest) -> dict[str, Any] | None:
    """Return what the box of a quarantined version needs; None where nobody has to say a word."""
    inspected = version.inspection.get("verdict") == ModelVersionState.QUARANTINED
    under_way = version.job is not None and not version.job.is_finished
    if version.state != ModelVersionState.QUARANTINED or not inspected or under_way:
        return None
    return {
        "findings": version.inspection["findings"],
        "sources": sources_of(version),
        "refusal": permissions.refusal(request.user, Action.RELEASE_VERSION, version),
    }


_VERBS = {"release": registry.release_version, "reject": registry.reject_version}


@verb
def version_decide(request: HttpRequest, *, name: str, number: int) -> HttpResponse:
    """Release or reject a quarantined version."""
    found = find(
        ModelVersion.objects.select_related("model__owner", "created_by"),
        f"There is no model version {name}/{number}.",
        model__name=name,
        number=number,
    )
    decide = _VERBS.get(request.POST.get("decision", ""))
    if decide is None:
        raise InvalidInput(f"A decision is one of {' and '.join(_VERBS)}.")
    decided = decide(version=found, reason=request.POST.get("reason", ""), by=cast(User, request.user))
    messages.success(request, f"Your decision on {decided.ref} is kept. {decided.state_reason}")
    return redirect("version", name=name, number=number)
