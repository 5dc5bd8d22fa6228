"""Data sets and their versions: created, taken in, imported."""

from __future__ import annotations

import pytest

from governance import job_kinds
from governance.exceptions import InvalidInput, NotAllowed, RefusedResult, StateConflict
from governance.models import Dataset, DatasetState, DatasetVersion, Event
from governance.services import datasets
from tests import factories
from tests.governance import results
from workers.protocol import ErrorReport

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset(alice) -> Dataset:
    return datasets.create_dataset(name="applicants", description="Who asked for a loan.", by=alice)


def upload(dataset: Dataset, by, **changes) -> DatasetVersion:
    values = {"file": factories.StoredFileFactory(), "filename": "applicants.csv", **changes}
    return datasets.upload_version(dataset=dataset, by=by, **values)


def test_who_creates_a_data_set_owns_it(dataset, alice):
    assert dataset.owner == alice
    assert Event.objects.get(name="dataset.created").subject == "applicants"


def test_a_name_is_taken_once(dataset, alice):
    with pytest.raises(StateConflict, match="'applicants' already"):
        datasets.create_dataset(name="applicants", by=alice)


def test_an_approver_creates_no_data_set(bob):
    with pytest.raises(NotAllowed):
        datasets.create_dataset(name="applicants", by=bob)


def test_an_upload_is_imported_by_a_job_that_knows_the_stated_schema(dataset, alice):
    version = upload(dataset, alice, stated_schema=factories.SCHEMA)

    assert (version.number, version.state) == (1, DatasetState.IMPORTING)
    assert version.job.kind == "dataset_import"
    assert version.job.spec["parameters"] == {"filename": "applicants.csv", "schema": factories.SCHEMA}
    assert version.job.spec["inputs"]["upload"]["digest"] == version.upload.digest
    assert upload(dataset, alice).job.spec["parameters"]["schema"] is None


def test_only_the_owner_uploads(dataset):
    with pytest.raises(NotAllowed, match="Only the owner"):
        upload(dataset, factories.person("another", "engineers"))


def test_a_schema_that_is_none_is_told_with_its_column(dataset, alice):
    schema = {"modality": "tabular", "columns": {"age": {"role": "hero", "type": "float"}}}

    with pytest.raises(InvalidInput, match="'age' has the role 'hero'") as refusal:
        upload(dataset, alice, stated_schema=schema)
    assert refusal.value.errors[0]["place"] == "schema"
    assert not DatasetVersion.objects.exists()


def test_an_import_makes_a_version_ready(dataset, alice):
    version = upload(dataset, alice)
    value, files = results.dataset_import()

    job_kinds.get("dataset_import").record(version.job, value, files)

    version.refresh_from_db()
    assert version.state == DatasetState.READY
    assert (version.table, version.tree) == (files["table.parquet"], files["tree.json"])
    assert (version.digest, version.row_count) == (results.DIGEST, 40)
    assert version.schema == factories.SCHEMA
    assert Event.objects.get(name="dataset.imported").detail["content_digest"] == results.DIGEST


def test_a_schema_that_the_job_made_up_is_refused(dataset, alice):
    version = upload(dataset, alice)
    value, files = results.dataset_import(schema={"modality": "smell", "columns": {}})

    with pytest.raises(RefusedResult, match="schema that is none"):
        job_kinds.get("dataset_import").record(version.job, value, files)


def test_an_import_that_fails_rejects_the_version_and_says_where(dataset, alice):
    version = upload(dataset, alice)
    error = ErrorReport("ragged_rows", "Row 17 has 4 values; the header names 3.", place="row 17")

    job_kinds.get("dataset_import").record_failure(version.job, error)

    version.refresh_from_db()
    assert version.state == DatasetState.REJECTED
    assert version.state_reason == "Row 17 has 4 values; the header names 3. (row 17)"


def test_numbers_of_versions_follow_each_other_in_each_data_set(dataset, alice):
    other = datasets.create_dataset(name="others", by=alice)

    assert [upload(dataset, alice).number, upload(other, alice).number, upload(dataset, alice).number] == [1, 1, 2]
