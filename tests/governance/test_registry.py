"""Models and their versions: registered, taken in, inspected."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError

from governance import job_kinds
from governance.exceptions import InvalidInput, NotAllowed, RefusedResult, StateConflict
from governance.models import Event, Job, ModelVersion, ModelVersionState, RegisteredModel
from governance.services import registry
from tests import factories
from tests.governance import results
from workers.protocol import ErrorReport

pytestmark = pytest.mark.django_db


def register(by, **changes) -> RegisteredModel:
    values = {"name": "credit-scorer", "task": "classification", "intended_use": "Tells who repays.", **changes}
    return registry.register_model(by=by, **values)


def upload(by, **changes) -> ModelVersion:
    values = {
        "model": changes.get("model") or RegisteredModel.objects.filter(owner=by).first() or register(by),
        "file": factories.StoredFileFactory(),
        "filename": "model.pt2",
        **changes,
    }
    return registry.upload_version(by=by, **values)


def test_who_registers_a_model_owns_it(alice):
    model = register(alice)

    assert model.owner == alice
    event = Event.objects.get(name="model.registered")
    assert (event.subject, event.actor) == ("credit-scorer", "alice")


def test_a_name_is_taken_once(alice):
    register(alice)

    with pytest.raises(StateConflict, match="'credit-scorer' already"):
        register(alice)
    assert Event.objects.filter(name="model.registered").count() == 1


@pytest.mark.parametrize("name", ["Credit", "a b", "-a", "a/b", "a@b", "", "a" * 101])
def test_a_name_that_could_not_stand_in_a_reference_is_refused(name, alice):
    with pytest.raises(ValidationError):
        register(alice, name=name)


def test_an_auditor_registers_no_model(dave):
    with pytest.raises(NotAllowed, match="member of engineers"):
        register(dave)


def test_an_upload_is_quarantined_until_its_inspection_has_ended(alice):
    version = upload(alice, stated_signature=factories.SIGNATURE, stated_recipe=factories.RECIPE)

    assert (version.number, version.state) == (1, ModelVersionState.QUARANTINED)
    assert version.job.kind == "model_inspection"
    assert version.job.spec["parameters"] == {
        "filename": "model.pt2",
        "stated_signature": factories.SIGNATURE,
        "stated_recipe": factories.RECIPE,
        "limits": {},
        "accepted": [],
        "sources": None,
    }
    assert version.job.spec["inputs"]["artifact"]["digest"] == version.digest
    assert upload(alice).number == 2
    assert Event.objects.filter(name="version.uploaded").count() == 2


def test_only_the_owner_uploads(alice):
    model = register(alice)

    with pytest.raises(NotAllowed, match="Only the owner"):
        upload(factories.person("another", "engineers"), model=model)
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("stated", "place"),
    [
        ({"stated_signature": {"inputs": []}}, "signature"),
        ({"stated_signature": [1]}, "signature"),
        ({"stated_recipe": {"loss": "unheard_of"}}, "recipe"),
    ],
)
def test_what_is_stated_wrongly_is_told_before_anything_is_kept(stated, place, alice):
    with pytest.raises(InvalidInput) as refusal:
        upload(alice, **stated)

    assert refusal.value.errors[0]["place"] == place
    assert not ModelVersion.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("model.pt2", "model.pt2"),
        ("../../etc/passwd", "passwd"),
        ("C:\\models\\net.keras", "net.keras"),
        (" a .pt2", "a .pt2"),
    ],
)
def test_a_file_name_is_kept_without_its_folders(sent, kept, alice):
    assert upload(alice, filename=sent).filename == kept


@pytest.mark.parametrize("filename", ["", "models/", "a\nb", "a" * 256])
def test_a_file_name_that_cannot_be_shown_is_refused(filename, alice):
    with pytest.raises(InvalidInput, match="file name"):
        upload(alice, filename=filename)


def test_an_inspection_registers_what_it_rewrote(alice):
    version = upload(alice)
    value, files = results.inspection(format="pt2")

    job_kinds.get("model_inspection").record(version.job, value, files)

    version.refresh_from_db()
    assert version.state == ModelVersionState.REGISTERED
    assert version.rewritten == files["rewritten.pt2"]
    assert version.signature == factories.SIGNATURE
    assert version.framework == "pytorch"
    assert version.inspection["verdict"] == "registered"
    assert Event.objects.get(name="version.inspected").detail["digest"] == version.digest


def test_an_inspection_rejects_with_its_reason_and_findings(alice):
    version = upload(alice)
    finding = results.finding()
    value, files = results.inspection(verdict="rejected", reason="It calls code.", findings=[finding])

    job_kinds.get("model_inspection").record(version.job, value, files)

    version.refresh_from_db()
    assert (version.state, version.state_reason) == (ModelVersionState.REJECTED, "It calls code.")
    assert version.inspection["findings"] == [finding]
    assert version.rewritten is None


def test_a_result_that_names_a_file_it_did_not_write_is_refused(alice):
    version = upload(alice)
    value, _ = results.inspection()

    with pytest.raises(RefusedResult, match=r"'rewritten\.pt2', which the job did not write"):
        job_kinds.get("model_inspection").record(version.job, value, {})
    version.refresh_from_db()
    assert version.state == ModelVersionState.QUARANTINED


@pytest.mark.parametrize("lie", [{"signature": {"inputs": "none"}}, {"recipe": {"loss": 3}}])
def test_a_result_whose_signature_or_recipe_does_not_parse_is_refused(lie, alice):
    version = upload(alice)
    value, files = results.inspection(**lie)

    with pytest.raises(RefusedResult, match=f"a {min(lie)} that is none"):
        job_kinds.get("model_inspection").record(version.job, value, files)


def test_a_version_is_inspected_once(alice):
    version = upload(alice)
    value, files = results.inspection()
    job_kinds.get("model_inspection").record(version.job, value, files)

    with pytest.raises(StateConflict, match="inspected before"):
        job_kinds.get("model_inspection").record(version.job, value, files)


def test_a_version_whose_inspection_did_not_end_stays_quarantined_and_says_why(alice):
    version = upload(alice)
    kind = job_kinds.get("model_inspection")

    kind.record_failure(version.job, ErrorReport("timed_out", "It took longer than an hour."))

    version.refresh_from_db()
    assert version.state == ModelVersionState.QUARANTINED
    assert version.state_reason == "Its inspection did not end: It took longer than an hour."
