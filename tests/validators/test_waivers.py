"""Waivers over REST: who let a failed validation pass, why, and until when; and who may not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.test import APIClient

from tests.factories import ValidationFactory
from validators.models import Validation

REASON = "The sensor of hall 3 is known to drift; its rows are weighted down."


@pytest.fixture
def failed(alice: User) -> Validation:
    return ValidationFactory(results=[{"status": "failed"}], created_by=alice)


def waive(api: APIClient, validation: Validation, **changes: Any) -> Any:
    tomorrow = (timezone.now() + timedelta(days=1)).isoformat()
    body = {"reason": REASON, "expires_at": tomorrow, **changes}
    return api.post(f"/api/v1/validations/{validation.pk}/waive/", body, format="json")


def test_a_waiver_carries_who_why_and_until_when(failed: Validation, bob_api: APIClient, dave_api: APIClient) -> None:
    answer = waive(bob_api, failed)

    assert answer.status_code == 201, answer.content
    shown = dave_api.get(f"/api/v1/validations/{failed.pk}/").json()
    assert shown["success"] is False
    assert (shown["waiver"]["granted_by"], shown["waiver"]["reason"]) == ("bob", REASON)
    assert shown["waiver"]["expires_at"] == answer.json()["expires_at"]


def test_one_that_has_ended_stays_on_the_record_and_is_in_force_no_more(failed: Validation, bob_api: APIClient) -> None:
    waive(bob_api, failed)
    failed.waivers.update(expires_at=timezone.now() - timedelta(seconds=1))

    shown = bob_api.get(f"/api/v1/validations/{failed.pk}/").json()

    assert shown["waiver"] is None
    assert [entry["is_in_force"] for entry in shown["waivers"]] == [False]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"reason": " "}, "reason"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
    ],
    ids=["no reason", "in the past", "no moment"],
)
def test_a_waiver_that_is_none_is_refused_at_its_place(
    changes: dict[str, Any], place: str, failed: Validation, bob_api: APIClient
) -> None:
    answer = waive(bob_api, failed, **changes)

    assert answer.status_code in (400, 422)
    assert place in str(answer.json()["errors"])
    assert not failed.waivers.exists()


def test_owners_auditors_and_strangers_waive_nothing(
    failed: Validation, alice_api: APIClient, dave_api: APIClient, carol: User
) -> None:
    stranger = APIClient()
    stranger.force_authenticate(carol)

    assert [waive(api, failed).status_code for api in (alice_api, dave_api)] == [403, 403]
    assert waive(stranger, failed).status_code in (403, 404)
    assert not failed.waivers.exists()


@pytest.mark.parametrize("success", [True, None], ids=["passed", "no result"])
def test_what_did_not_fail_is_not_waived(success: bool | None, failed: Validation, bob_api: APIClient) -> None:
    Validation.objects.filter(pk=failed.pk).update(success=success)

    assert waive(bob_api, failed).status_code == 409
