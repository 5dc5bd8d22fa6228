"""``/metrics`` is there where an installation says so."""

from __future__ import annotations

from django.test import Client


def test_there_are_no_metrics_by_default(db):
    assert Client().get("/metrics").status_code == 404


def test_metrics_count_requests_where_they_are_switched_on(db, settings):
    settings.ASSAY_METRICS = True
    Client().get("/login/")

    response = Client().get("/metrics")

    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain")
    assert 'django_http_requests_total_by_view_transport_method_total{method="GET"' in response.content.decode()


def test_metrics_are_only_read(db, settings):
    settings.ASSAY_METRICS = True

    assert Client().post("/metrics").status_code == 405
