"""``/metrics``: counts and times of requests, for Prometheus."""

from __future__ import annotations

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe
from django_prometheus.exports import ExportToDjangoView


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Show them where ``ASSAY_METRICS`` says so; elsewhere there is no such address.

    Raises:
        Http404: they are not switched on.
    """
    if not settings.ASSAY_METRICS:
        raise Http404
    response: HttpResponse = ExportToDjangoView(request)
    return response
