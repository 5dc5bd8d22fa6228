"""What every page shares: who may open it, how it is drawn, how a refusal reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Page, Paginator
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from governance import permissions
from governance.exceptions import AssayError, NotFound
from governance.permissions import Action

View = Callable[..., HttpResponse]
ModelT = TypeVar("ModelT", bound=Model)

ROWS_A_PAGE = 50


def page(view: View) -> View:
    """Open a page to those who may see the record; show an error of ours as a page of its own.

    Who is not signed in goes to the sign-in page. A thing that one may not see answers like one that is not there.
    """

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        try:
            if not permissions.may(request.user, Action.VIEW):
                if kwargs:
                    raise NotFound("There is no such thing, or you may not see it.")
                permissions.require(request.user, Action.VIEW)
            return view(request, **kwargs)
        except AssayError as error:
            return draw(request, "governance/problem.html", {"problem": error}, status=error.status)

    return login_required(require_http_methods(["GET", "HEAD"])(guarded))


def verb(view: View) -> View:
    """Open a form's address to those who may see the record; the view calls a service and returns where to go.

    An error of ours becomes a message on the page that the form stood on.
    """

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not permissions.may(request.user, Action.VIEW):
            error: AssayError = NotFound("There is no such thing, or you may not see it.")
            return draw(request, "governance/problem.html", {"problem": error}, status=error.status)
        try:
            return view(request, **kwargs)
        except NotFound as error:
            return draw(request, "governance/problem.html", {"problem": error}, status=error.status)
        except AssayError as error:
            messages.error(request, " ".join([error.detail, *error.reasons]))
            return redirect(_page_of_form(request))

    return login_required(require_http_methods(["POST"])(guarded))


def draw(
    request: HttpRequest, template: str, context: Mapping[str, Any], *, section: str = "", status: int = 200
) -> HttpResponse:
    """Draw a page inside the frame of all pages."""
    shared = {
        "section": section,
        "user_role": role_of(request),
        "may_see_health": permissions.may(request.user, Action.SEE_HEALTH),
    }
    return render(request, template, {**shared, **context}, status=status)


def role_of(request: HttpRequest) -> str:
    """Return what a person is here, in one word; nothing for who is in no group or in several."""
    if not request.user.is_authenticated:
        return ""
    groups = permissions.groups_of(request.user)
    if permissions.ADMINISTRATORS in groups:
        return "administrator"
    return next(iter(groups)).removesuffix("s") if len(groups) == 1 else ""


def find(queryset: QuerySet[ModelT], sentence: str, /, **lookups: Any) -> ModelT:
    """Return the one row, or raise NotFound with a sentence."""
    found = queryset.filter(**lookups).first()
    if found is None:
        raise NotFound(sentence)
    return found


def rows_of_page(request: HttpRequest, queryset: QuerySet[ModelT]) -> Page[ModelT]:
    """Return the page of rows that the address asks for; a page that is not there is the nearest one."""
    return Paginator(queryset, ROWS_A_PAGE).get_page(request.GET.get("page"))


def _page_of_form(request: HttpRequest) -> str:
    """Return the path that the form names, if it is one of this site; else the first page."""
    path = request.POST.get("next", "")
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
