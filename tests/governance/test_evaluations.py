"""Evaluation: what is demanded before, and what is kept of it."""

from __future__ import annotations

import pytest

from governance import job_kinds
from governance.exceptions import InvalidInput, NotAllowed, RefusedResult, StateConflict
from governance.models import Evaluation, Event, ModelVersionState
from governance.services import evaluations
from tests import factories
from tests.governance import results

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]


def request(by, **changes) -> Evaluation:
    values = {
        "version": changes.get("version") or factories.ModelVersionFactory(),
        "dataset": changes.get("dataset") or factories.DatasetVersionFactory(),
        **changes,
    }
    return evaluations.request_evaluation(by=by, **values)


def record(evaluation: Evaluation, **changes) -> Evaluation:
    value, files = results.evaluation(**changes)
    job_kinds.get("evaluation").record(evaluation.job, value, files)
    evaluation.refresh_from_db()
    return evaluation


def test_an_auditor_measures_a_model_that_is_not_theirs(dave):
    evaluation = request(dave, slices=["repaid", "repaid"])

    spec = evaluation.job.spec
    assert spec["parameters"]["task"] == "classification"
    assert spec["parameters"]["slices"] == ["repaid"]
    assert spec["parameters"]["split"] is None
    assert "other" not in spec["parameters"]
    assert set(spec["inputs"]) == {"model", "dataset"}


def test_another_version_is_measured_on_the_same_rows(dave):
    other = factories.ModelVersionFactory(framework="keras", format="keras")

    spec = request(dave, compare_with=other).job.spec

    assert spec["inputs"]["other"] == {
        "filename": "other-model.keras",
        "digest": other.rewritten_id,
        "size_bytes": other.rewritten.size_bytes,
    }
    assert spec["parameters"]["other"] == {"framework": "keras", "signature": factories.SIGNATURE}


def test_an_approver_measures_nothing(bob):
    with pytest.raises(NotAllowed):
        request(bob)


def test_a_slice_by_a_column_that_is_not_there_is_told(dave):
    with pytest.raises(InvalidInput, match="no column 'gender'") as refusal:
        request(dave, slices=["repaid", "gender"])
    assert refusal.value.errors == [{"place": "slices", "detail": "There is no column 'gender'."}]


def test_a_version_is_not_compared_with_itself_nor_with_another_task(dave):
    version = factories.ModelVersionFactory()
    with pytest.raises(InvalidInput, match="cannot be compared with itself"):
        request(dave, version=version, compare_with=version)

    regression = factories.ModelVersionFactory(model__task="regression")
    with pytest.raises(InvalidInput, match="does regression"):
        request(dave, version=version, compare_with=regression)


def test_a_version_to_compare_with_has_to_be_registered(dave):
    rejected = factories.ModelVersionFactory(state=ModelVersionState.REJECTED)

    with pytest.raises(StateConflict, match="is rejected"):
        request(dave, compare_with=rejected)


def test_what_was_measured_is_kept_with_a_digest_over_what_it_was_measured_on(dave):
    first, second = record(request(dave)), record(request(dave))

    assert first.metrics == [results.metric()]
    assert first.digest.startswith("sha256:")
    assert first.digest != second.digest  # the same numbers of another version on other data
    assert Event.objects.filter(name="evaluation.ended").count() == 2
    assert evaluations.evaluation_problem(first) is None


def test_an_evaluation_without_a_result_bears_no_witness(dave):
    evaluation = request(dave)

    assert evaluations.evaluation_problem(evaluation) == (
        f"Evaluation {evaluation.pk} has no result: its job is queued."
    )


def test_a_comparison_that_nobody_asked_for_is_refused(dave):
    comparison = {"metrics": [results.difference()], "sentence": "Better."}

    with pytest.raises(RefusedResult, match="nobody asked for"):
        record(request(dave), comparison=comparison)
    with pytest.raises(RefusedResult, match="lacks the one"):
        record(request(dave, compare_with=factories.ModelVersionFactory()))
