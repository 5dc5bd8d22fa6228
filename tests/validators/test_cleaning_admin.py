"""Cleanings and restorations in the admin: started by a form that keeps what was typed when it is refused."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from tests import factories, page_factories
from validators.models import Cleaning, Restoration

pytestmark = pytest.mark.django_db


@pytest.fixture
def engineer(alice: User) -> Client:
    alice.is_staff = True
    alice.save()
    client = Client()
    client.force_login(alice)
    return client


def test_a_cleaning_is_started_by_a_plan(engineer: Client) -> None:
    dataset = factories.DatasetVersionFactory()
    plan = [{"action": "quarantine", "column": "age", "bounds": {"method": "iqr"}}]

    engineer.post(
        reverse("admin:validators_cleaning_add"), {"dataset": dataset.pk, "suite": "", "plan": json.dumps(plan)}
    )

    assert Cleaning.objects.get().job.spec["parameters"]["plan"] == plan


@pytest.mark.parametrize("plan", ["", "[]", '[{"action": "burn"}]', '"x"', "{"])
def test_a_plan_that_is_none_is_refused_above_the_form(engineer: Client, plan: str) -> None:
    dataset = factories.DatasetVersionFactory()

    answer = engineer.post(reverse("admin:validators_cleaning_add"), {"dataset": dataset.pk, "suite": "", "plan": plan})

    assert answer.status_code == 200
    assert b"errornote" in answer.content or b"errorlist" in answer.content
    assert not Cleaning.objects.exists()


def test_rows_are_put_back_and_the_restoration_can_be_read(engineer: Client) -> None:
    cleaning = page_factories.cleaning(factories.DatasetVersionFactory())

    engineer.post(
        reverse("admin:validators_restoration_add"), {"cleaning": cleaning.pk, "rows": "[4, 31]", "reason": "Checked."}
    )

    restoration = Restoration.objects.get()
    assert (restoration.rows, restoration.reason) == ([4, 31], "Checked.")
    for name, pk in (("restoration", restoration.pk), ("cleaning", cleaning.pk)):
        assert engineer.get(reverse(f"admin:validators_{name}_change", args=[pk])).status_code == 200
        assert engineer.get(reverse(f"admin:validators_{name}_changelist")).status_code == 200


@pytest.mark.parametrize("rows", ["[5]", "[]", '"4"', "[true]", "[4.5]", "[-1]", "four"])
def test_rows_that_cannot_go_back_are_told_above_the_form(engineer: Client, rows: str) -> None:
    cleaning = page_factories.cleaning(factories.DatasetVersionFactory())

    answer = engineer.post(
        reverse("admin:validators_restoration_add"), {"cleaning": cleaning.pk, "rows": rows, "reason": "Checked."}
    )

    assert answer.status_code == 200
    assert not Restoration.objects.exists()
