"""Every route of the router, with every role: what each may is written here, and a route nobody wrote down fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import User
from django.urls import get_resolver
from rest_framework.test import APIClient

from tests import factories

pytestmark = pytest.mark.django_db

ROLES = {
    "anonymous": None,
    "carol": (),
    "alice": ("engineers",),
    "dave": ("auditors",),
    "bob": ("approvers",),
    "erin": ("administrators",),
}
EVERYBODY = {"alice", "bob", "dave", "erin"}
ENGINEERS = {"alice"}
AUDITORS = {"dave"}
APPROVERS = {"bob"}
ENGINEERS_AND_AUDITORS = {"alice", "dave"}

#: Route -> method -> who gets past the permission. What they get then (404, 409, 422) is not asked here.
EXPECTED: dict[str, dict[str, set[str]]] = {
    "models/": {"get": EVERYBODY, "post": ENGINEERS},
    "models/<str:name>/": {"get": EVERYBODY},
    "models/<str:name>/versions/": {"get": EVERYBODY, "post": ENGINEERS},
    "models/<str:name>/versions/<int:number>/": {"get": EVERYBODY},
    "models/<str:name>/versions/<int:number>/bom/": {"get": EVERYBODY},
    "models/<str:name>/versions/<int:number>/release/": {"post": {"erin"}},
    "models/<str:name>/versions/<int:number>/reject/": {"post": {"erin"}},
    "datasets/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "datasets/<str:name>/": {"get": EVERYBODY},
    "datasets/<str:name>/versions/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "datasets/<str:name>/versions/<int:number>/": {"get": EVERYBODY},
    "datasets/<str:name>/datasheet/": {"get": EVERYBODY, "put": ENGINEERS_AND_AUDITORS},
    "datasets/<str:name>/datasheet.md/": {"get": EVERYBODY},
    "datasets/<str:name>/versions/<int:number>/croissant/": {"get": EVERYBODY},
    "datasets/<str:name>/versions/<int:number>/lineage/": {"get": EVERYBODY},
    "splits/": {"get": EVERYBODY, "post": ENGINEERS},
    "splits/<int:pk>/": {"get": EVERYBODY},
    "comparisons/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "comparisons/<int:pk>/": {"get": EVERYBODY},
    "comparisons/<int:pk>/differences/": {"get": EVERYBODY},
    "uploads/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "uploads/<int:pk>/": {
        "get": EVERYBODY,
        "patch": ENGINEERS_AND_AUDITORS,
        "delete": ENGINEERS_AND_AUDITORS | {"erin"},
    },
    "trainings/": {"get": EVERYBODY, "post": ENGINEERS},
    "trainings/<int:pk>/": {"get": EVERYBODY},
    "evaluations/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "evaluations/<int:pk>/": {"get": EVERYBODY},
    "reviews/": {"get": EVERYBODY, "post": ENGINEERS},
    "reviews/<int:pk>/": {"get": EVERYBODY},
    "reviews/<int:pk>/decide/": {"post": APPROVERS},
    "jobs/": {"get": EVERYBODY},
    "jobs/<int:pk>/": {"get": EVERYBODY},
    "jobs/<int:pk>/log/": {"get": EVERYBODY},
    "jobs/<int:pk>/cancel/": {"post": EVERYBODY},
    "policies/": {"get": EVERYBODY, "post": {"erin"}},
    "policies/<str:name>/": {"get": EVERYBODY},
    "policies/<str:name>/<int:number>/": {"get": EVERYBODY},
    "events/": {"get": EVERYBODY},
    "events/<int:sequence>/": {"get": EVERYBODY},
    "health/": {"get": {"dave", "erin"}},
    "events/verify/": {"get": {"bob", "dave", "erin"}, "post": {"bob", "dave", "erin"}},
    "statements/": {"get": EVERYBODY},
    "statements/<int:pk>/": {"get": EVERYBODY},
    "statements/<int:pk>/envelope/": {"get": EVERYBODY},
    "keys/": {"get": EVERYBODY},
    "suites/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "suites/suggest/": {"post": ENGINEERS_AND_AUDITORS},
    "proposals/": {"get": EVERYBODY},
    "proposals/<int:pk>/": {"get": EVERYBODY},
    "proposals/<int:pk>/accept/": {"post": ENGINEERS_AND_AUDITORS},
    "suites/<reference:ref>/": {"get": EVERYBODY},
    "suites/<reference:ref>/require/": {"post": ENGINEERS_AND_AUDITORS},
    "validations/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "validations/<int:pk>/": {"get": EVERYBODY},
    "validations/<int:pk>/rows/": {"get": EVERYBODY},
    "validations/<int:pk>/failures/": {"get": EVERYBODY},
    "validations/<int:pk>/results/": {"get": EVERYBODY},
    "validations/<int:pk>/waive/": {"post": APPROVERS},
    "cleanings/": {"get": EVERYBODY, "post": ENGINEERS},
    "cleanings/<int:pk>/": {"get": EVERYBODY},
    "cleanings/<int:pk>/files/<str:name>/": {"get": EVERYBODY},
    "screenings/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "screenings/<int:pk>/": {"get": EVERYBODY},
    "screenings/<int:pk>/rows/": {"get": EVERYBODY},
    "screenings/<int:pk>/plan/": {"get": EVERYBODY},
    "cleanings/<int:pk>/removed/": {"get": EVERYBODY},
    "cleanings/<int:pk>/changed/": {"get": EVERYBODY},
    "cleanings/<int:pk>/replay/": {"post": ENGINEERS_AND_AUDITORS},
    "cleanings/<int:pk>/restore/": {"post": ENGINEERS_AND_AUDITORS | {"erin"}},
    "restorations/": {"get": EVERYBODY},
    "restorations/<int:pk>/": {"get": EVERYBODY},
    "explanations/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "explanations/<int:pk>/": {"get": EVERYBODY},
    "explanations/<int:pk>/files/<str:name>/": {"get": EVERYBODY},
    "explanations/<int:pk>/export/": {"get": EVERYBODY},
    "explanations/<int:pk>/more/": {"post": ENGINEERS_AND_AUDITORS},
    "explanations/<int:pk>/comments/": {"get": EVERYBODY, "post": {"alice", "bob", "dave"}},
    "explanations/compare/": {"get": EVERYBODY},
    "explanations/compare/export/": {"get": EVERYBODY},
    "audits/": {"get": EVERYBODY, "post": ENGINEERS_AND_AUDITORS},
    "audits/<int:pk>/": {"get": EVERYBODY},
    "audits/<int:pk>/report/": {"get": EVERYBODY},
    "audits/<int:pk>/pack/": {"get": EVERYBODY},
    "findings/": {"get": EVERYBODY, "post": AUDITORS},
    "findings/<int:pk>/": {"get": EVERYBODY, "patch": {"alice", "bob", "dave"}},
    "findings/<int:pk>/comments/": {"post": {"alice", "bob", "dave"}},
}
METHODS = ("get", "post", "put", "patch", "delete")


def routes() -> Iterator[tuple[str, set[str]]]:
    """Yield each route of the API with the methods that its viewset takes."""
    for pattern in get_resolver().url_patterns:
        if getattr(pattern, "namespace", None) == "api":
            for route in pattern.url_patterns:
                yield str(route.pattern), set(route.callback.actions) & set(METHODS)


def client_of(role: str) -> APIClient:
    groups = ROLES[role]
    return APIClient() if groups is None else factories.api_client(factories.person(role, *groups))


def address_of(route: str) -> str:
    """Return an address of a route; nothing that it names exists."""
    for part, value in (
        ("<str:name>", "nothing"),
        ("<int:number>", "7"),
        ("<int:pk>", "999999"),
        ("<int:sequence>", "999999"),
        ("<reference:ref>", "nothing/7"),
    ):
        route = route.replace(part, value)
    assert "<" not in route
    return f"/api/v1/{route}"


def test_every_route_and_method_is_written_down():
    assert dict(routes()) == {route: set(methods) for route, methods in EXPECTED.items()}


CASES = [(route, method, role) for route, methods in EXPECTED.items() for method in methods for role in ROLES]


@pytest.mark.parametrize(("route", "method", "role"), CASES, ids=[" ".join((m, r, w)) for r, m, w in CASES])
def test_a_role_gets_past_the_permission_or_not(route, method, role):
    client = client_of(role)

    response = getattr(client, method)(address_of(route), data={}, format="json")

    names_a_thing = "<" in route
    if role == "anonymous":
        assert response.status_code == 401
    elif role == "carol":
        assert response.status_code == (404 if names_a_thing else 403)
    elif role in EXPECTED[route][method]:
        assert response.status_code not in (401, 403, 405, 500)
    else:
        assert response.status_code == 403
    if response.status_code >= 400:
        assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("route", sorted(EXPECTED))
def test_no_route_takes_another_method(route):
    client = client_of("erin")
    client.force_authenticate(User.objects.create_superuser("root"))

    for method in set(METHODS) - set(EXPECTED[route]):
        response = getattr(client, method)(address_of(route), data={}, format="json")
        assert response.status_code in (403, 405), f"{method} answered {response.status_code}"


def test_what_describes_the_api_is_open_to_everybody():
    for address in ("/api/v1/schema/", "/api/v1/docs/"):
        assert APIClient().get(address).status_code == 200
