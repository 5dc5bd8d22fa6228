"""The key of the installation: made once, rotated, kept to its owner, and never told."""

from __future__ import annotations

import logging
import stat
from io import StringIO
from pathlib import Path

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import transaction

from governance.exceptions import IntegrityFailure, StateConflict
from governance.models import Event, InstallationKey
from governance.services import signing_keys
from workers import environment
from workers.provenance.keys import PublicKey, SigningKey

pytestmark = pytest.mark.django_db


def secret_lines(path: Path) -> list[str]:
    return [line for line in path.read_text().splitlines() if not line.startswith("-")]


def told(*ids: str) -> list[str]:
    return [message.id for message in run_checks(tags=["governance"]) if message.id in ids]


def use() -> tuple[SigningKey, InstallationKey] | None:
    with transaction.atomic():
        return signing_keys.key_to_sign_with()


def test_the_command_makes_a_key_for_its_owner_alone_and_prints_the_public_half(settings):
    out = StringIO()

    call_command("create_signing_key", stdout=out)

    path = settings.ASSAY_SIGNING_KEY_FILE
    row = InstallationKey.objects.get()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert SigningKey.read(path.read_bytes()).public.id == row.id
    assert PublicKey.read(row.public_key).id == row.id
    assert row.public_key in out.getvalue()
    assert list(path.parent.glob(".signing*")) == []


def test_the_private_half_is_in_no_answer_event_log_or_job(settings, caplog, erin_api):
    out = StringIO()
    with caplog.at_level(logging.DEBUG):
        call_command("create_signing_key", stdout=out)
        call_command("create_signing_key", rotate=True, stdout=out)
    said = out.getvalue() + caplog.text + erin_api.get("/api/v1/keys/").content.decode()
    said += "".join(str(event.detail) + event.subject for event in Event.objects.all())

    assert all(line not in said for line in secret_lines(settings.ASSAY_SIGNING_KEY_FILE))


def test_a_child_gets_nothing_of_the_environment_of_its_worker(monkeypatch, tmp_path):
    monkeypatch.setenv("ASSAY_SIGNING_KEY", "TOPSECRET")

    given = environment.variables(temporary=tmp_path, module_path=[], threads=1, cards=[])

    assert "TOPSECRET" not in str(given)
    assert not [name for name in given if name.startswith("ASSAY_")]


def test_a_second_key_takes_rotation(signing_key, settings):
    before = settings.ASSAY_SIGNING_KEY_FILE.read_bytes()

    with pytest.raises(CommandError, match="--rotate"):
        call_command("create_signing_key")

    assert settings.ASSAY_SIGNING_KEY_FILE.read_bytes() == before
    assert InstallationKey.objects.count() == 1


def test_rotation_retires_the_old_key_and_keeps_its_public_half(signing_key):
    new = signing_keys.create_key(rotate=True)

    signing_key.refresh_from_db()
    assert signing_key.retired_at is not None
    assert new.retired_at is None
    assert use()[1] == new
    assert {key.id for key in signing_keys.public_keys()} == {signing_key.id, new.id}
    assert list(Event.objects.filter(name="signing_key.retired").values_list("subject", flat=True)) == [signing_key.id]


def test_a_rotation_that_cannot_write_leaves_the_old_key_in_use(signing_key, monkeypatch):
    def full(key: SigningKey) -> None:
        raise OSError("The disk is full.")

    monkeypatch.setattr(signing_keys, "_write", full)
    with pytest.raises(OSError, match="full"):
        signing_keys.create_key(rotate=True)

    assert use()[1] == signing_key


def test_without_a_key_nothing_is_signed_and_a_check_says_so():
    assert use() is None
    assert told("governance.W020") == ["governance.W020"]


def test_a_usable_key_leaves_the_checks_silent(signing_key):
    assert told("governance.W020", "governance.E020", "governance.E021") == []


def test_a_key_that_others_may_read_is_told(signing_key, settings):
    settings.ASSAY_SIGNING_KEY_FILE.chmod(0o640)

    assert told("governance.E021") == ["governance.E021"]


def test_a_broken_key_is_an_error_and_not_a_missing_signature(signing_key, settings):
    settings.ASSAY_SIGNING_KEY_FILE.write_text("TOPSECRET, but no key")

    with pytest.raises(IntegrityFailure, match="cannot be used") as caught:
        use()
    assert "TOPSECRET" not in str(caught.value)
    assert told("governance.E020") == ["governance.E020"]


def test_a_retired_key_signs_nothing(signing_key, settings):
    old = settings.ASSAY_SIGNING_KEY_FILE.read_bytes()
    signing_keys.create_key(rotate=True)
    settings.ASSAY_SIGNING_KEY_FILE.write_bytes(old)

    with pytest.raises(IntegrityFailure, match="was retired"):
        use()


def test_a_key_in_the_environment_is_taken_up_at_its_first_use_and_retires_the_one_before(settings):
    first, second = SigningKey.generate(), SigningKey.generate()
    for key in (first, second):
        settings.ASSAY_SIGNING_KEY = key.to_pem().decode()
        assert use()[1].id == key.public.id

    assert InstallationKey.objects.get(pk=first.public.id).retired_at is not None
    assert InstallationKey.objects.get(pk=second.public.id).retired_at is None
    with pytest.raises(StateConflict, match="ASSAY_SIGNING_KEY carries the key"):
        signing_keys.create_key(rotate=True)
    assert not settings.ASSAY_SIGNING_KEY_FILE.exists()


def test_the_keys_are_listed_newest_first(signing_key, dave_api):
    new = signing_keys.create_key(rotate=True)

    rows = dave_api.get("/api/v1/keys/").json()["results"]

    assert [row["id"] for row in rows] == [new.id, signing_key.id]
    assert rows[0]["until"] is None
    assert rows[1]["until"] is not None
    assert PublicKey.read(rows[0]["public_key"]).id == new.id
