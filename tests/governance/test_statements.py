"""Signed statements: one for each thing that becomes final, immutable, and held against the record."""

from __future__ import annotations

import re

import pytest
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement as peer
from in_toto_attestation.v1 import statement_pb2

from governance import job_kinds
from governance.exceptions import IntegrityFailure
from governance.models import (
    Event,
    Job,
    ModelVersionState,
    SignedStatement,
    StatementKind,
    StatementSubject,
)
from governance.services import datasets, evaluations, registry, signing_keys, statements, trainings
from tests import factories
from tests.governance import results
from workers.provenance.dsse import Envelope
from workers.provenance.keys import PublicKey
from workers.provenance.statement import DATASET, EVAL_RESULT, PROVENANCE, REGISTRATION, TABLE, Statement

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def payload(signed: SignedStatement) -> Statement:
    """Return what a statement says, once its signature has held against the public key of the record."""
    envelope = Envelope.from_json(signed.envelope)
    assert envelope.signers([PublicKey.read(signed.key.public_key)])
    return Statement.parse(envelope.payload)


def uploaded(alice):
    version = registry.upload_version(
        model=factories.RegisteredModelFactory(), file=factories.StoredFileFactory(), filename="model.pt2", by=alice
    )
    value, files = results.inspection()
    job_kinds.get("model_inspection").record(version.job, value, files)
    version.refresh_from_db()
    return version


def test_a_registered_upload_gets_one(alice, signing_key):
    version = uploaded(alice)

    signed = statements.of(StatementKind.VERSION, version.ref)
    statement = payload(signed)
    assert signed.predicate_type == statement.predicate_type == REGISTRATION
    assert statement.has_subject(version.digest)
    assert statement.predicate["rewritten"]["digest"] == {"sha256": version.rewritten_id.removeprefix("sha256:")}
    assert statement.predicate["inspection"]["verdict"] == "registered"
    assert INSTANT.fullmatch(statement.predicate["registeredAt"])
    assert signed.key == signing_key
    event = Event.objects.get(name="statement.signed")
    assert (event.subject, event.detail["key"]) == (version.ref, signing_key.id)
    assert event.sequence == Event.objects.get(name="version.inspected").sequence + 1


def test_a_rejected_upload_gets_none(alice, signing_key):
    version = registry.upload_version(
        model=factories.RegisteredModelFactory(), file=factories.StoredFileFactory(), filename="model.pt2", by=alice
    )
    value, files = results.inspection(verdict="rejected", reason="It calls code.", findings=[results.finding()])

    job_kinds.get("model_inspection").record(version.job, value, files)

    assert not SignedStatement.objects.exists()


def test_a_retraining_gets_slsa_provenance(alice, signing_key):
    training = trainings.request_training(
        version=factories.ModelVersionFactory(), dataset=factories.DatasetVersionFactory(), by=alice
    )
    Job.objects.filter(pk=training.job_id).update(
        environment={"python": "3.11.7", "packages": {"torch": "2.13.0"}}, started_at=training.created_at
    )
    value, files = results.training()

    job_kinds.get("training").record(training.job, value, files)

    training.refresh_from_db()
    statement = payload(statements.of(StatementKind.VERSION, training.produced.ref))
    build, run = statement.predicate["buildDefinition"], statement.predicate["runDetails"]
    assert statement.predicate_type == PROVENANCE
    assert statement.has_subject(training.produced.digest)
    assert build["externalParameters"]["recipe"] == training.recipe
    assert [entry["name"] for entry in build["resolvedDependencies"]] == [training.version.ref, training.dataset.ref]
    assert build["resolvedDependencies"][0]["digest"] == {"sha256": training.version.digest.removeprefix("sha256:")}
    assert run["metadata"]["invocationId"] == f"job {training.job_id}"
    assert run["builder"]["version"] == {"python": "3.11.7", "torch": "2.13.0"}
    assert INSTANT.fullmatch(run["metadata"]["startedOn"])
    assert INSTANT.fullmatch(run["metadata"]["finishedOn"])
    # The oracle knows every field of the predicate, and takes no other.
    json_format.ParseDict(dict(statement.predicate), provenance_pb2.Provenance())


def test_an_imported_data_set_gets_one_by_rows_and_by_bytes(alice, signing_key):
    version = datasets.upload_version(
        dataset=factories.DatasetFactory(), file=factories.StoredFileFactory(), filename="a.csv", by=alice
    )
    value, files = results.dataset_import()

    job_kinds.get("dataset_import").record(version.job, value, files)

    version.refresh_from_db()
    statement = payload(statements.of(StatementKind.DATASET, version.ref))
    assert statement.predicate_type == DATASET
    assert statement.has_subject(version.digest, algorithm=TABLE)
    assert statement.has_subject(version.table_id)
    assert statement.predicate["rowCount"] == version.row_count


def test_an_evaluation_gets_one_with_its_intervals(alice, signing_key):
    evaluation = evaluations.request_evaluation(
        version=factories.ModelVersionFactory(), dataset=factories.DatasetVersionFactory(), by=alice
    )
    value, files = results.evaluation()

    job_kinds.get("evaluation").record(evaluation.job, value, files)

    evaluation.refresh_from_db()
    statement = payload(statements.of(StatementKind.EVALUATION, str(evaluation.pk)))
    assert statement.predicate_type == EVAL_RESULT
    assert statement.has_subject(evaluation.version.digest)
    assert statement.has_subject(evaluation.digest)
    assert statement.predicate["metrics"] == evaluation.metrics
    assert "verdict" not in statement.predicate


def test_the_in_toto_library_takes_every_statement(alice, signing_key):
    signed = statements.of(StatementKind.VERSION, uploaded(alice).ref)

    message = json_format.Parse(Envelope.from_json(signed.envelope).payload, statement_pb2.Statement())

    peer.Statement.copy_from_pb(message).validate()


def test_without_a_key_things_become_final_unsigned(alice):
    assert uploaded(alice).state == ModelVersionState.REGISTERED
    assert not SignedStatement.objects.exists()


def test_with_a_key_that_cannot_be_used_nothing_becomes_final(alice, signing_key, settings):
    settings.ASSAY_SIGNING_KEY_FILE.write_text("no key")

    with pytest.raises(IntegrityFailure):
        uploaded(alice)


def test_a_statement_is_never_changed_or_deleted(alice, signing_key):
    signed = statements.of(StatementKind.VERSION, uploaded(alice).ref)

    for change in (
        signed.save,
        signed.delete,
        SignedStatement.objects.all().delete,
        lambda: SignedStatement.objects.update(name="other"),
    ):
        with pytest.raises(TypeError, match="never changed or deleted"):
            change()


def test_a_statement_holds_after_its_key_was_rotated(alice, signing_key):
    signed = statements.of(StatementKind.VERSION, uploaded(alice).ref)
    signing_keys.create_key(rotate=True)

    assert statements.problem_of(SignedStatement.objects.get(pk=signed.pk)) is None


def _rows(**changes):
    """Change rows as somebody with write access to the database would, past what the model allows."""
    return lambda: super(type(SignedStatement.objects.all()), SignedStatement.objects.all()).update(**changes)


def _another_signature() -> None:
    signed = SignedStatement.objects.get()
    envelope = {**signed.envelope, "signatures": [{"keyid": signed.key_id, "sig": "AAAA"}]}
    _rows(envelope=envelope)()


def _another_payload() -> None:
    signed = SignedStatement.objects.get()
    _rows(envelope={**signed.envelope, "payload": "e30="})()


def _another_artefact() -> None:
    version = factories.ModelVersionFactory._meta.model.objects.get()
    version.artifact = factories.StoredFileFactory()
    version.save()


def _no_version() -> None:
    _rows(name="gone/1")()


def _another_public_key() -> None:
    other = signing_keys.SigningKey.generate().public
    SignedStatement.objects.get().key.__class__.objects.update(public_key=other.pem)


def _retired_before() -> None:
    signed = SignedStatement.objects.get()
    signed.key.__class__.objects.update(retired_at=signed.key.created_at)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_another_signature, "not signed by the key"),
        (_another_payload, "statement"),
        (_another_artefact, "does not name"),
        (_no_version, "does not name"),
        (_another_public_key, "not signed by the key"),
        (_retired_before, "had been retired"),
        (_rows(predicate_type="urn:other"), "recorded as urn:other"),
        (lambda: StatementSubject.objects.update(digest=results.DIGEST), "recorded under"),
    ],
)
def test_what_was_changed_since_is_told(change, words, alice, signing_key):
    uploaded(alice)
    assert statements.problem_of(SignedStatement.objects.get()) is None

    change()

    assert words in statements.problem_of(SignedStatement.objects.get())
