"""The way out of quarantine: a policy or an administrator accepts by name what was found, or it is closed."""

from __future__ import annotations

import pytest

from governance import job_kinds
from governance.exceptions import InvalidInput, NotAllowed, RefusedResult, StateConflict
from governance.models import Event, Job, JobState, ModelVersion, ModelVersionState, Policy
from governance.services import policies, registry
from tests import factories
from tests.governance import results
from workers.artifacts.findings import ACCEPTABLE
from workers.protocol import ErrorReport

pytestmark = pytest.mark.django_db

PACKAGE = results.finding(id="ART-03.package", severity="medium", place="model.py")
IMPORT = results.finding(id="ART-03.package_import", severity="medium", place="model.py, line 3")
REASON = "Read both sources: tensors in, tensors out."


def policy(erin, *accepts: str, tier: str = "medium") -> Policy:
    document = {"name": "lenient", "tier": tier, "checks": {"ART-01": {}}, "accepts": list(accepts)}
    return policies.create_policy(document=document, by=erin)


def upload(alice) -> ModelVersion:
    model = factories.RegisteredModelFactory(owner=alice)
    return registry.upload_version(model=model, file=factories.StoredFileFactory(), filename="package.zip", by=alice)


def inspect(version: ModelVersion, *findings, verdict: str = "quarantined", **changes) -> ModelVersion:
    """End the inspection of a version with these findings."""
    assert version.job is not None
    Job.objects.filter(pk=version.job.pk).update(state=JobState.SUCCEEDED)
    value, files = results.inspection(
        format="package",
        framework="pytorch",
        findings=list(findings),
        verdict=verdict,
        reason="It needs code.",
        **changes,
    )
    job_kinds.get("model_inspection").record(version.job, value, files)
    return ModelVersion.objects.select_related("model", "job").get(pk=version.pk)


def load(version: ModelVersion, **changes) -> ModelVersion:
    """End the job that loads a version."""
    assert version.job is not None
    assert version.job.kind == "model_loading"
    Job.objects.filter(pk=version.job.pk).update(state=JobState.SUCCEEDED)
    job_kinds.get("model_loading").record(version.job, *results.loading(**changes))
    return ModelVersion.objects.select_related("model", "job").get(pk=version.pk)


@pytest.fixture
def quarantined(alice) -> ModelVersion:
    return inspect(upload(alice), PACKAGE)


def test_an_administrator_releases_what_was_found_and_nothing_else(quarantined, erin):
    first = quarantined.job

    released = registry.release_version(version=quarantined, reason=f" {REASON} ", by=erin)

    assert released.state == ModelVersionState.QUARANTINED
    assert released.job != first
    assert released.job.spec["parameters"]["accepted"] == ["ART-03.package"]
    assert released.job.spec["inputs"] == first.spec["inputs"]
    event = Event.objects.get(name="version.released")
    assert (event.actor, event.subject) == ("erin", quarantined.ref)
    assert event.detail["accepted"] == ["ART-03.package"]
    assert (event.detail["reason"], event.detail["digest"]) == (REASON, quarantined.digest)

    registered = load(inspect(released, PACKAGE, verdict="registered"))
    assert registered.state == ModelVersionState.REGISTERED
    assert registered.accepted["ids"] == ["ART-03.package"]
    assert (registered.accepted["by"], registered.accepted["reason"]) == ("erin", REASON)
    assert Event.objects.filter(name="version.inspected").latest("sequence").detail["accepted"]["by"] == "erin"


def test_a_new_finding_quarantines_again_and_needs_a_word_of_its_own(quarantined, erin):
    released = registry.release_version(version=quarantined, reason=REASON, by=erin)

    again = inspect(released, PACKAGE, IMPORT)

    assert again.state == ModelVersionState.QUARANTINED
    second = registry.release_version(version=again, reason=REASON, by=erin)
    assert second.job.spec["parameters"]["accepted"] == ["ART-03.package", "ART-03.package_import"]


def test_findings_that_need_no_word_are_not_accepted(alice, erin):
    version = inspect(upload(alice), PACKAGE, results.finding(id="ART-03.extra_files", severity="low"))

    registry.release_version(version=version, reason=REASON, by=erin)

    assert Event.objects.get(name="version.released").detail["accepted"] == ["ART-03.package"]


def test_neither_engineer_nor_owner_nor_uploader_releases_or_rejects(quarantined, alice, bob, dave):
    owner = factories.person("alice", "engineers", "administrators")
    uploader = factories.person("uploader", "engineers", "administrators")
    other = inspect(upload(owner), PACKAGE)
    ModelVersion.objects.filter(pk=other.pk).update(created_by=uploader)
    other.refresh_from_db()

    for version, person in ((quarantined, bob), (quarantined, dave), (quarantined, owner), (other, uploader)):
        for verb in (registry.release_version, registry.reject_version):
            with pytest.raises(NotAllowed):
                verb(version=version, reason=REASON, by=person)
    assert not Event.objects.filter(name__in=["version.released", "version.rejected"]).exists()


@pytest.mark.parametrize("reason", ["", "  \n", "x" * 2001])
def test_a_decision_needs_a_reason(reason, quarantined, erin):
    for verb in (registry.release_version, registry.reject_version):
        with pytest.raises(InvalidInput) as refusal:
            verb(version=quarantined, reason=reason, by=erin)
        assert refusal.value.errors[0]["place"] == "reason"


def test_a_version_that_is_being_inspected_waits(alice, erin):
    version = upload(alice)

    for verb in (registry.release_version, registry.reject_version):
        with pytest.raises(StateConflict, match="still being inspected"):
            verb(version=version, reason=REASON, by=erin)


@pytest.mark.parametrize("verdict", ["registered", "rejected"])
def test_what_is_decided_stays_decided(verdict, alice, erin):
    findings = () if verdict == "registered" else (results.finding(),)
    version = inspect(upload(alice), *findings, verdict=verdict)
    version = load(version) if verdict == "registered" else version

    for verb in (registry.release_version, registry.reject_version):
        with pytest.raises(StateConflict, match=f"is {verdict}"):
            verb(version=version, reason=REASON, by=erin)


def test_an_inspection_that_did_not_end_leaves_nothing_to_accept(alice, erin):
    version = upload(alice)
    Job.objects.update(state=JobState.FAILED)
    job_kinds.get("model_inspection").record_failure(version.job, ErrorReport("timed_out", "It took too long."))
    version = ModelVersion.objects.get(pk=version.pk)

    with pytest.raises(StateConflict, match=r"no findings that could be accepted\. Its inspection did not end"):
        registry.release_version(version=version, reason=REASON, by=erin)
    assert registry.reject_version(version=version, reason=REASON, by=erin).state == ModelVersionState.REJECTED


def test_an_administrator_closes_a_version_for_good(quarantined, erin):
    rejected = registry.reject_version(version=quarantined, reason="It opens files.", by=erin)

    rejected.refresh_from_db()
    assert (rejected.state, rejected.state_reason) == (ModelVersionState.REJECTED, "erin rejected it: It opens files.")
    assert Event.objects.get(name="version.rejected").detail["reason"] == "It opens files."
    with pytest.raises(StateConflict, match="is rejected"):
        registry.release_version(version=rejected, reason=REASON, by=erin)


# ---------------------------------------------------------------------------------------------- by the policy
def test_the_newest_policy_of_the_tier_accepts_from_the_start(alice, erin):
    accepting = policy(erin, "ART-03.package")
    version = upload(alice)
    assert version.job.spec["parameters"]["accepted"] == ["ART-03.package"]

    registered = load(inspect(version, PACKAGE, verdict="registered"))

    assert registered.accepted == {"ids": ["ART-03.package"], "policy": accepting.ref}
    assert Event.objects.get(name="version.inspected").detail["accepted"]["policy"] == accepting.ref


def test_what_a_policy_accepts_and_nobody_found_is_not_told(alice, erin):
    policy(erin, "ART-03.package", "ART-03.operator")

    version = inspect(upload(alice), verdict="registered")

    assert version.accepted == {}
    assert "accepted" not in Event.objects.get(name="version.inspected").detail


@pytest.mark.parametrize(("tier", "newest"), [("high", ()), ("medium", ("ART-03.operator",))])
def test_neither_another_tier_nor_an_older_policy_accepts(tier, newest, alice, erin):
    policy(erin, "ART-03.package", tier=tier)
    policy(erin, *newest)

    assert upload(alice).job.spec["parameters"]["accepted"] == list(newest)


def test_a_policy_accepts_only_what_can_be_accepted(erin):
    assert policies.accepted_by(policy(erin, *sorted(ACCEPTABLE))) == sorted(ACCEPTABLE)
    assert policies.accepted_by(policies.newest_for_tier("low")) == []
    for identifier in ("ART-01.pickle", "ART-02.archive", "ART-03.extra_files", "ART-03.unheard_of"):
        assert identifier not in ACCEPTABLE
        with pytest.raises(InvalidInput) as refusal:
            policy(erin, identifier)
        assert refusal.value.errors[0]["place"] == "accepts[0]"


# ---------------------------------------------------------------------------------------------------- sources
def test_the_sources_of_a_package_are_kept_by_digest(alice):
    file = factories.StoredFileFactory()
    version = upload(alice)
    Job.objects.update(state=JobState.SUCCEEDED)
    value, _ = results.inspection(
        verdict="quarantined", format="package", framework="pytorch", findings=[PACKAGE], sources={"m.py": file.digest}
    )

    with pytest.raises(RefusedResult, match="a source that the job did not write"):
        job_kinds.get("model_inspection").record(version.job, value, {})
    job_kinds.get("model_inspection").record(version.job, value, {"source_1.txt": file})

    version.refresh_from_db()
    assert version.inspection["sources"] == {"m.py": file.digest}


def test_the_limits_of_the_installation_go_with_every_inspection(alice, settings):
    settings.ASSAY_INSPECTION_LIMITS = {"entries": 7}

    assert upload(alice).job.spec["parameters"]["limits"] == {"entries": 7}
