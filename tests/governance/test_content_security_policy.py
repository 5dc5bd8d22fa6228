"""No page loads anything from elsewhere."""

from __future__ import annotations

import pytest
from django.http import HttpResponse
from django.test import Client, RequestFactory

from governance.middleware import ContentSecurityPolicyMiddleware

pytestmark = pytest.mark.django_db

DIRECTIVES = [
    "default-src 'none'",
    "script-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
]


def policy(address: str) -> list[str]:
    return Client().get(address)["Content-Security-Policy"].split("; ")


@pytest.mark.parametrize("address", ["/api/v1/models/", "/login/", "/no-such-page/", "/api/v1/schema/"])
def test_every_answer_is_strict(address):
    assert set(policy(address)) == {*DIRECTIVES, "style-src 'self'"}


@pytest.mark.parametrize("address", ["/admin/login/", "/api/v1/docs/"])
def test_inline_styles_are_let_through_where_foreign_pages_need_them_and_scripts_nowhere(address):
    directives = policy(address)

    assert "style-src 'self' 'unsafe-inline'" in directives
    assert set(DIRECTIVES) <= set(directives)


def test_a_view_may_be_stricter():
    def view(request):
        return HttpResponse(headers={"Content-Security-Policy": "default-src 'none'; sandbox"})

    response = ContentSecurityPolicyMiddleware(view)(RequestFactory().get("/"))

    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
