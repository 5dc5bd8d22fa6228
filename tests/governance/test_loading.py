"""A package that passed its inspection is loaded by another job, whose word counts where there is no other."""

from __future__ import annotations

import pytest

from governance import job_kinds
from governance.exceptions import RefusedResult, StateConflict
from governance.models import Event, Job, JobState, ModelVersion, ModelVersionState, SignedStatement
from governance.services import registry
from tests import factories
from tests.governance import results
from workers.protocol import ErrorReport
from workers.provenance.statement import REGISTRATION

pytestmark = pytest.mark.django_db

PACKAGE = results.finding(id="ART-03.package", severity="medium", place="model.py")


@pytest.fixture
def inspected(alice):
    """Return a package whose inspection has just passed; keywords change what was found."""

    def inspect(**changes) -> ModelVersion:
        model = factories.RegisteredModelFactory(owner=alice)
        version = registry.upload_version(
            model=model, file=factories.StoredFileFactory(), filename="package.zip", by=alice
        )
        value, files = results.inspection(format="package", framework="pytorch", findings=[PACKAGE], **changes)
        job_kinds.get("model_inspection").record(version.job, value, files)
        return ModelVersion.objects.select_related("model", "job").get(pk=version.pk)

    return inspect


def load(version: ModelVersion, **changes) -> ModelVersion:
    job_kinds.get("model_loading").record(version.job, *results.loading(**changes))
    return ModelVersion.objects.get(pk=version.pk)


def test_it_is_loaded_from_the_copy_that_the_inspection_wrote(inspected, signing_key):
    version = inspected()

    assert (version.state, version.inspection["verdict"]) == (ModelVersionState.QUARANTINED, "quarantined")
    assert "a job of its own loads it now" in version.state_reason
    spec = version.job.spec
    assert (version.job.kind, spec["runner"]) == ("model_loading", "workers.artifacts.loading:run")
    assert spec["inputs"]["model"]["digest"] == version.rewritten_id
    assert spec["inputs"]["model"]["filename"] == "model.package"
    assert spec["parameters"] == {"framework": "pytorch", "signature": factories.SIGNATURE}
    assert not SignedStatement.objects.exists()


def test_a_format_without_code_is_registered_at_once(alice):
    model = factories.RegisteredModelFactory(owner=alice)
    version = registry.upload_version(model=model, file=factories.StoredFileFactory(), filename="m.pt2", by=alice)
    job_kinds.get("model_inspection").record(version.job, *results.inspection(format="pt2"))
    version.refresh_from_db()
    assert version.state == ModelVersionState.REGISTERED
    assert not Job.objects.filter(kind="model_loading").exists()
    assert "said_by_code" not in version.inspection


def test_what_the_inspection_measured_stays_and_the_layers_are_the_code_s_word(inspected, signing_key):
    before = inspected()

    version = load(before)

    assert (version.state, version.state_reason) == (ModelVersionState.REGISTERED, "")
    assert (version.inspection["verdict"], version.inspection["said_by_code"]) == ("registered", ["layers"])
    for fact in ("rewritten_id", "weights_digest", "parameter_count", "signature", "format", "framework"):
        assert getattr(version, fact) == getattr(before, fact)
    assert version.layers == [results.LAYER]
    event = Event.objects.get(name="version.loaded")
    assert (event.subject, event.detail["verdict"]) == (version.ref, "registered")
    assert SignedStatement.objects.get().predicate_type == REGISTRATION


def test_a_signature_that_nobody_stated_is_the_code_s_word(inspected):
    version = load(inspected(signature=None))

    assert version.signature == factories.SIGNATURE
    assert version.inspection["said_by_code"] == ["layers", "signature"]


def test_another_signature_than_the_stated_one_is_refused(inspected):
    version = inspected()
    outputs = [{**output, "name": "other"} for output in factories.SIGNATURE["outputs"]]
    forged = {**factories.SIGNATURE, "outputs": outputs}

    with pytest.raises(RefusedResult, match="another signature than the one that is stated"):
        load(version, signature=forged)
    version.refresh_from_db()
    assert version.state == ModelVersionState.QUARANTINED


def test_a_signature_that_is_none_is_refused(inspected):
    with pytest.raises(RefusedResult, match="a signature that is none"):
        load(inspected(signature=None), signature={"inputs": "all"})


def test_a_file_that_the_code_wrote_is_refused(inspected):
    version = inspected()
    value, _ = results.loading()

    with pytest.raises(RefusedResult, match=r"The code wrote rewritten\.package"):
        job_kinds.get("model_loading").record(version.job, value, {"rewritten.package": factories.StoredFileFactory()})


def test_a_package_that_does_not_load_is_rejected_and_nothing_of_its_copy_is_kept(inspected, signing_key):
    version = load(inspected(), findings=[results.not_loaded()], reason="It does not load: nine.")

    assert (version.state, version.state_reason) == (ModelVersionState.REJECTED, "It does not load: nine.")
    assert [finding["id"] for finding in version.inspection["findings"]] == ["ART-03.package", "SIG-01.load"]
    assert (version.rewritten, version.weights_digest, version.signature, version.layers) == (None, "", None, [])
    assert Event.objects.get(name="version.loaded").detail["findings"] == ["SIG-01.load"]
    assert not SignedStatement.objects.exists()


def test_it_is_loaded_once(inspected):
    version = inspected()
    load(version)

    with pytest.raises(StateConflict, match="inspected before"):
        load(version)


def test_a_loading_that_did_not_end_leaves_it_in_quarantine_to_be_released_again(inspected, erin):
    version = inspected()
    Job.objects.filter(pk=version.job.pk).update(state=JobState.FAILED)
    job_kinds.get("model_loading").record_failure(version.job, ErrorReport("no_sandbox", "No file isolation."))
    version = ModelVersion.objects.select_related("model", "job").get(pk=version.pk)
    assert version.state == ModelVersionState.QUARANTINED
    assert version.state_reason == "Its inspection did not end: No file isolation."

    again = registry.release_version(version=version, reason="Try again.", by=erin)
    assert again.job.kind == "model_inspection"


def test_the_page_of_the_job_leads_to_the_version(inspected):
    version = inspected()
    leads_to = job_kinds.get("model_loading").leads_to
    assert leads_to is not None
    assert leads_to(version.job)[0] == version.ref
