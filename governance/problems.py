"""Turns every refusal into a problem document (RFC 9457), those of Django and the REST framework included."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.exceptions import ValidationError as ModelValidationError
from django.db import IntegrityError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework import exceptions as rest
from rest_framework.response import Response
from rest_framework.views import set_rollback

from governance.exceptions import AssayError, InvalidInput, NotFound, StateConflict

CONTENT_TYPE = "application/problem+json"

_TITLES = {
    400: ("bad_request", "The request cannot be read."),
    401: ("not_authenticated", "Who you are is not known."),
    403: ("not_allowed", "You may not do this."),
    404: (NotFound.code, NotFound.title),
    405: ("method_not_allowed", "This address does not take this method."),
    406: ("not_acceptable", "No answer of the kind that was asked for exists."),
    413: ("too_large", "The request is larger than this installation accepts."),
    415: ("unsupported_media_type", "This address does not take content of this type."),
    429: ("too_many_requests", "There are too many requests."),
    500: ("internal_error", "Something broke on our side."),
}


def document(
    *,
    status: int,
    code: str,
    title: str,
    detail: str,
    errors: Sequence[Mapping[str, Any]] = (),
    reasons: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a problem document; ``reasons`` stands in it only where a gate said no."""
    problem: dict[str, Any] = {
        "type": f"urn:assay:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "errors": [dict(error) for error in errors],
    }
    if reasons:
        problem["reasons"] = list(reasons)
    return problem


def of_error(error: AssayError) -> dict[str, Any]:
    """Return the problem document of one of our own errors."""
    return document(
        status=error.status,
        code=error.code,
        title=error.title,
        detail=error.detail,
        errors=error.errors,
        reasons=error.reasons,
    )


def problem_response(error: Exception, context: Mapping[str, Any]) -> Response | None:  # noqa: ARG001 - the signature of an exception handler
    """Answer an exception of an API view; None lets it through as a breakage (500)."""
    headers: dict[str, str] = {}
    if isinstance(error, AssayError):
        problem = of_error(error)
    elif isinstance(error, Http404):
        problem = _of_status(404, NotFound.title)
    elif isinstance(error, PermissionDenied):
        problem = _of_status(403, "You may not do this.")
    elif isinstance(error, rest.ValidationError):
        problem = _of_invalid(_flat(error.detail))
    elif isinstance(error, ModelValidationError):
        problem = _of_invalid(_of_model(error))
    elif isinstance(error, rest.APIException):
        problem = _of_status(error.status_code, _sentence(error.detail))
        if getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = error.auth_header  # type: ignore[attr-defined]
    elif isinstance(error, RequestDataTooBig):
        problem = _of_status(413, "The body is too large; files travel as multipart uploads.")
    elif isinstance(error, SuspiciousOperation):
        problem = _of_status(400, str(error))
    elif isinstance(error, IntegrityError):
        problem = of_error(StateConflict("Somebody else changed the same thing at the same moment; ask again."))
    else:
        return None
    set_rollback()
    return Response(problem, status=problem["status"], headers=headers, content_type=CONTENT_TYPE)


def is_api(request: HttpRequest) -> bool:
    return request.path.startswith("/api/")


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler400``: a problem document under ``/api/``, a page elsewhere."""
    return _plain(400, str(exception)) if is_api(request) else defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler403``: a problem document under ``/api/``, a page elsewhere."""
    return _plain(403, "You may not do this.") if is_api(request) else defaults.permission_denied(request, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler404``: a problem document under ``/api/``, a page elsewhere."""
    if not is_api(request):
        return defaults.page_not_found(request, exception)
    return _plain(404, "There is no such address; /api/v1/schema/ lists those that exist.")


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``: a problem document under ``/api/``, a page elsewhere."""
    if not is_api(request):
        return defaults.server_error(request)
    return _plain(500, "The log of the web server says what broke. What was asked for was not done.")


def _plain(status: int, detail: str) -> JsonResponse:
    return JsonResponse(_of_status(status, detail), status=status, content_type=CONTENT_TYPE)


def _of_status(status: int, detail: str) -> dict[str, Any]:
    code, title = _TITLES.get(status, ("error", AssayError.title))
    return document(status=status, code=code, title=title, detail=detail)


def _of_invalid(errors: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    places = ", ".join(dict.fromkeys(error["place"] for error in errors if error["place"]))
    detail = f"{places}: {errors[0]['detail']}" if len(errors) == 1 and places else ""
    if not detail:
        detail = f"{len(errors)} entries are not valid: {places}." if places else str(errors[0]["detail"])
    return document(
        status=InvalidInput.status, code=InvalidInput.code, title=InvalidInput.title, detail=detail, errors=errors
    )


def _flat(detail: Any, place: str = "") -> list[dict[str, str]]:
    """Return ``{"place": "columns.age", "detail": "..."}`` for each message of the framework's nested ones."""
    if isinstance(detail, Mapping):
        return [error for key, entry in detail.items() for error in _flat(entry, _inside(place, key))]
    if isinstance(detail, list | tuple):
        nested = any(isinstance(entry, Mapping | list) for entry in detail)
        return [
            error
            for index, entry in enumerate(detail)
            for error in _flat(entry, f"{place}[{index}]" if nested else place)
        ]
    return [{"place": place, "detail": str(detail)}]


def _inside(place: str, key: Any) -> str:
    if key == "non_field_errors":
        return place
    return f"{place}[{key}]" if isinstance(key, int) else f"{place}.{key}".lstrip(".")


def _of_model(error: ModelValidationError) -> list[dict[str, str]]:
    if hasattr(error, "error_dict"):
        return [
            {"place": "" if field == "__all__" else field, "detail": message}
            for field, messages in error.message_dict.items()
            for message in messages
        ]
    return [{"place": "", "detail": message} for message in error.messages]


def _sentence(detail: Any) -> str:
    flat = _flat(detail)
    return " ".join(error["detail"] for error in flat)
