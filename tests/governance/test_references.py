"""How people write what they mean, and where an alias leads."""

from __future__ import annotations

import pytest

from governance import references
from governance.exceptions import NotFound, StateConflict
from governance.models import Alias, Evaluation, ReviewState
from tests import factories

pytestmark = pytest.mark.django_db


def champion(state: str = ReviewState.APPROVED) -> Alias:
    evidence = factories.EvidenceFactory(review__state=state)
    review = evidence.review
    return Alias.objects.create(model=review.version.model, name="champion", version=review.version, review=review)


def test_versions_data_sets_and_policies_are_written_name_slash_number():
    version, dataset, policy = (
        factories.ModelVersionFactory(),
        factories.DatasetVersionFactory(),
        factories.PolicyFactory(),
    )

    assert references.model_version(version.ref) == version
    assert references.dataset_version(dataset.ref) == dataset
    assert references.policy(policy.ref) == policy


@pytest.mark.parametrize(
    "written",
    [
        "",
        "credit-scorer",
        "credit-scorer/",
        "credit-scorer/0",
        "credit-scorer/01",
        "a/1/2",
        "a/-1",
        "a@",
        "A/1",
    ],
)
def test_what_is_written_otherwise_is_told_with_an_example(written):
    with pytest.raises(NotFound, match="write it as credit-scorer/3"):
        references.model_version(written)


def test_what_does_not_exist_is_told_by_its_reference():
    with pytest.raises(NotFound, match=r"no model version credit-scorer/9"):
        references.model_version("credit-scorer/9")
    with pytest.raises(NotFound, match=r"no data set version applicants/9"):
        references.dataset_version("applicants/9")
    with pytest.raises(NotFound, match=r"no policy strict/9"):
        references.policy("strict/9")
    with pytest.raises(NotFound, match="has no alias champion"):
        references.model_version("credit-scorer@champion")


def test_an_alias_leads_to_its_version():
    alias = champion()

    assert references.model_version(str(alias)) == alias.version


def test_an_alias_whose_evidence_changed_leads_nowhere_and_says_why():
    alias = champion()
    Evaluation.objects.update(digest="sha256:" + "0" * 64)

    with pytest.raises(StateConflict, match=r"leads nowhere.*is void.*no longer what was cited"):
        references.model_version(str(alias))
    alias.refresh_from_db()
    assert alias.review.state == ReviewState.VOID
