"""``manage.py verify`` finds what is no longer what was recorded."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from governance.models import DatasetVersion, Evaluation, ReviewState, SignedStatement
from governance.services import events, provenance
from governance.storage import store
from tests import factories

pytestmark = pytest.mark.django_db

events.register("test.happened")


@pytest.fixture
def record() -> str:
    """Make one event and one stored file; return the digest of the file."""
    with transaction.atomic():
        events.record(name="test.happened", subject="thing/1", by=None)
    return store().put([b"content"]).digest


def verify() -> tuple[str, str]:
    out, err = StringIO(), StringIO()
    try:
        call_command("verify", stdout=out, stderr=err)
    except CommandError as error:
        err.write(str(error))
    return out.getvalue(), err.getvalue()


def test_a_whole_record_verifies_and_says_how_much_was_checked(record):
    out, err = verify()

    assert err == ""
    assert "events: 1 of 1" in out
    assert "files: 1 of 1" in out
    assert "The record verifies." in out


def test_a_changed_event_is_found(record):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE governance_event SET actor = 'mallory'")

    out, err = verify()

    assert "Event 1 is not what was recorded" in err
    assert "The record does not verify" in err
    assert "The record verifies" not in out


def test_an_event_that_was_deleted_in_the_middle_is_found(record):
    for subject in ("thing/2", "thing/3"):
        with transaction.atomic():
            events.record(name="test.happened", subject=subject, by=None)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM governance_event WHERE sequence = 2")

    out, err = verify()

    assert "Event 2 is missing" in err
    assert "The record verifies" not in out


@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_damaged_file_is_found_by_its_digest(record, damage):
    path = store().path(record)
    path.chmod(0o640)
    if damage == "change":
        path.write_bytes(b"cOntent")
    else:
        path.unlink()

    _, err = verify()

    assert record in err
    assert "The record does not verify: 1" in err


def test_a_review_whose_evidence_changed_is_voided_and_told(record):
    evidence = factories.EvidenceFactory(review__state=ReviewState.APPROVED)
    Evaluation.objects.update(digest="sha256:" + "0" * 64)
    out, _ = verify()

    assert f"VOID    review {evidence.review.pk} of {evidence.review.version.ref}" in out
    evidence.review.refresh_from_db()
    assert evidence.review.state == ReviewState.VOID


def test_statements_are_verified_and_counted(signing_key):
    with transaction.atomic():
        provenance.sign_dataset(factories.DatasetVersionFactory(upload=None, table=None), by=None)
    out, err = verify()

    assert err == ""
    assert "statements: 1 of 1" in out


def test_a_statement_that_does_not_hold_is_found(signing_key):
    version = factories.DatasetVersionFactory(upload=None, table=None)
    with transaction.atomic():
        provenance.sign_dataset(version, by=None)
    DatasetVersion.objects.update(content_digest="sha256:" + "0" * 64)

    out, err = verify()

    assert f"statements: statement 1 about data set version {version.ref}" in err.replace(
        f"statement {SignedStatement.objects.get().pk} ", "statement 1 "
    )
    assert "The record verifies" not in out
