"""What every answer carries, and what every request is wrapped in."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from governance.services import events

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "base-uri": "'none'",
}


def _policy(**changes: str) -> str:
    directives = {**_POLICY, **{name.replace("_", "-"): value for name, value in changes.items()}}
    return "; ".join(f"{name} {value}" for name, value in directives.items())


STRICT = _policy()
#: Swagger UI and Django's admin set inline styles; no other page may.
INLINE_STYLES = _policy(style_src="'self' 'unsafe-inline'")


class ContentSecurityPolicyMiddleware:
    """Lets a page load only what this server itself serves; a view that set a policy of its own keeps it."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if "Content-Security-Policy" not in response:
            response["Content-Security-Policy"] = policy_for(request.path)
        return response


class UserActionMiddleware:
    """Gives the events of one request one group id."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with events.user_action():
            return self.get_response(request)


def policy_for(path: str) -> str:
    """Return the policy of the page at an address."""
    return INLINE_STYLES if path.startswith(("/api/v1/docs/", "/admin/")) else STRICT
