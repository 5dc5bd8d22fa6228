"""Retraining: what is demanded before, and what is made of it."""

from __future__ import annotations

import jsonschema
import pytest

from governance import job_kinds
from governance.exceptions import GateClosed, InvalidInput, NotAllowed, RefusedResult, StateConflict
from governance.models import DatasetState, Event, Job, ModelVersionState, SignedStatement, Training
from governance.services import trainings
from tests import factories
from tests.governance import results
from workers.provenance.statement import PROVENANCE

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("open_gates")]


def request(by, **changes) -> Training:
    values = {
        "version": changes.get("version") or factories.ModelVersionFactory(),
        "dataset": changes.get("dataset") or factories.DatasetVersionFactory(),
        **changes,
    }
    return trainings.request_training(by=by, **values)


def with_columns(**columns) -> dict:
    return {"modality": "tabular", "columns": {**factories.SCHEMA["columns"], **columns}}


def test_a_training_is_a_job_on_the_rewritten_copy_and_the_canonical_table(alice):
    training = request(alice)

    spec = training.job.spec
    assert spec["inputs"]["model"]["digest"] == training.version.rewritten_id
    assert spec["inputs"]["model"]["filename"] == "model.pt2"
    assert spec["inputs"]["dataset"]["digest"] == training.dataset.table_id
    assert spec["parameters"]["framework"] == "pytorch"
    assert spec["parameters"]["recipe"] == factories.RECIPE
    assert spec["parameters"]["split"] is None
    assert spec["seed"] == factories.RECIPE["seed"]
    assert Event.objects.get(name="training.requested").subject == training.version.ref


def test_the_train_rows_are_used_where_the_data_set_is_split(alice):
    schema = with_columns(part={"role": "split", "type": "category"})

    training = request(alice, dataset=factories.DatasetVersionFactory(schema=schema))

    assert training.job.spec["parameters"]["split"] == "train"


def test_a_recipe_of_the_request_wins_over_the_versions_own(alice):
    training = request(alice, recipe={"loss": "sparse_categorical_crossentropy", "epochs": 3})

    assert (training.recipe["loss"], training.recipe["epochs"]) == ("cross_entropy", 3)
    assert training.job.spec["parameters"]["recipe"] == training.recipe


@pytest.mark.parametrize(
    ("format", "title"),
    [("h5", "a legacy Keras HDF5 model"), ("saved_model", "a TensorFlow SavedModel"), ("torchscript", "TorchScript")],
)
def test_a_version_of_a_format_that_cannot_be_saved_again_is_not_retrained(format, title, alice):
    version = factories.ModelVersionFactory(format=format)
    with pytest.raises(StateConflict, match=f"{title}.*evaluated and audited and not retrained"):
        request(alice, version=version)
    assert not Job.objects.exists()


def test_a_model_of_texts_is_told_that_no_data_set_feeds_it(alice):
    signature = {**factories.SIGNATURE, "inputs": [{"name": "words", "shape": [-1, 1], "dtype": "string"}]}
    with pytest.raises(InvalidInput) as refusal:
        request(alice, version=factories.ModelVersionFactory(signature=signature))
    assert "The input 'words' takes texts" in str(refusal.value.errors)


@pytest.mark.parametrize(
    ("version", "recipe", "because"),
    [
        ({"recipe": None}, None, "has no recipe of its own"),
        ({}, {"loss": "unheard_of"}, "'unheard_of' is not known"),
        ({}, {"loss": "cross_entropy", "epoch": 3}, "Unknown key 'epoch'"),
    ],
)
def test_a_recipe_that_is_missing_or_none_is_told(version, recipe, because, alice):
    with pytest.raises(InvalidInput, match=because) as refusal:
        request(alice, version=factories.ModelVersionFactory(**version), recipe=recipe)
    assert refusal.value.errors[0]["place"] == "recipe"
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("columns", "because"),
    [
        ({"age": {"role": "feature", "type": "float"}}, "'income', which the data set does not have"),
        (
            {"age": {"role": "feature", "type": "string"}, "income": {"role": "feature", "type": "float"}},
            "'age', which is of type string",
        ),
        (
            {"age": {"role": "feature", "type": "float", "shape": [3]}, "income": {"role": "feature", "type": "float"}},
            r"has shape \[-1, 2\], 2 values a row; its 2 columns \(age \[3\], income \[\]\) give 4",
        ),
    ],
)
def test_data_that_does_not_fit_is_told_at_request_time_with_names_and_shapes(columns, because, alice):
    dataset = factories.DatasetVersionFactory(schema={"modality": "tabular", "columns": columns})

    with pytest.raises(InvalidInput, match=because):
        request(alice, dataset=dataset)
    assert not Job.objects.exists()


def test_data_without_a_target_trains_nothing(alice):
    columns = {name: {"role": "feature", "type": "float"} for name in ("age", "income")}

    with pytest.raises(InvalidInput, match="no column of role `target`"):
        request(alice, dataset=factories.DatasetVersionFactory(schema={"modality": "tabular", "columns": columns}))


def test_a_version_that_is_not_registered_is_not_loaded(alice):
    version = factories.ModelVersionFactory(state=ModelVersionState.QUARANTINED, rewritten=None)

    with pytest.raises(StateConflict, match="is quarantined; only a registered version"):
        request(alice, version=version)


def test_a_data_set_that_is_not_ready_is_not_used(alice):
    dataset = factories.DatasetVersionFactory(state=DatasetState.REJECTED, state_reason="Row 3 is ragged.")

    with pytest.raises(StateConflict, match=r"is rejected; .* Row 3 is ragged\."):
        request(alice, dataset=dataset)


def test_only_the_owner_of_the_model_trains_it():
    with pytest.raises(NotAllowed, match="Only the owner"):
        request(factories.person("another", "engineers"))


def test_a_closed_gate_stops_the_training_with_its_reasons(settings, alice):
    settings.GOVERNANCE_GATES = {"training": ["tests.governance.gates.closes"]}

    with pytest.raises(GateClosed) as refusal:
        request(alice)

    assert refusal.value.reasons == ["The sky is grey.", "It is Monday."]
    assert not Job.objects.exists()
    assert not Event.objects.exists()


def record(training: Training, **changes) -> Training:
    value, files = results.training(**changes)
    job_kinds.get("training").record(training.job, value, files)
    training.refresh_from_db()
    return training


def test_what_a_training_made_is_the_next_version_with_its_lineage(alice):
    training = record(request(alice))

    produced, origin = training.produced, training.version
    assert (produced.model, produced.number) == (origin.model, origin.number + 1)
    assert produced.retrained_from == origin
    assert produced.training_data == training.dataset
    assert produced.recipe == training.recipe
    assert training.history[0]["epoch"] == 1
    assert training.summary["weights_digest"] == results.DIGEST
    assert training.summary["charts"][0]["svg_digest"].startswith("sha256:")
    assert Event.objects.get(name="training.ended").detail["retrained_from"] == origin.ref


def test_what_a_training_made_is_registered_with_its_inspection_and_its_rewritten_copy(alice):
    produced = record(request(alice)).produced

    assert produced.state == ModelVersionState.REGISTERED
    assert produced.inspection["verdict"] == "registered"
    assert produced.rewritten_id not in (None, produced.artifact_id)
    assert produced.job.kind == "training"


@pytest.mark.parametrize("verdict", ["rejected", "quarantined"])
def test_a_training_cannot_answer_with_a_model_that_its_inspection_refused(verdict):
    value, _ = results.training(inspection={"verdict": verdict, "reason": "It needs code.", "findings": []})

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(value, job_kinds.get("training").result_schema)


def test_a_result_without_the_file_that_it_names_is_refused(alice):
    training = request(alice)
    value, files = results.training()
    del files["model.pt2"]

    with pytest.raises(RefusedResult, match=r"'model\.pt2'"):
        job_kinds.get("training").record(training.job, value, files)


def test_a_training_bears_witness_once_it_has_made_a_version(alice):
    training = request(alice)
    assert trainings.training_problem(training) == f"Training {training.pk} has made no version: its job is queued."
    assert trainings.digest_of(training) == ""

    record(training)
    assert trainings.training_problem(training) is None
    assert trainings.digest_of(training) == training.produced.digest


# ---------------------------------------------------------------------------------------------- model packages
@pytest.fixture
def package():
    """A released package of one source."""
    accepted = {"ids": ["ART-03.package"], "by": "erin", "reason": "Read."}
    inspection = {
        "verdict": "registered",
        "findings": [],
        "sources": {"model.py": results.DIGEST},
        "accepted": accepted,
    }
    return factories.ModelVersionFactory(
        format="package", inspection=inspection, recipe={**factories.RECIPE, "loss": "model:loss"}
    )


def record_package(training: Training) -> Training:
    value, files = results.training(format="package", file="model.package", rewritten="rewritten.package")
    files.update({name: factories.StoredFileFactory() for name in ("model.package", "rewritten.package")})
    job_kinds.get("training").record(training.job, value, files)
    training.refresh_from_db()
    return training


def test_a_package_trains_by_its_own_loss_with_what_was_accepted_of_it(package, alice):
    spec = request(alice, version=package).job.spec

    assert spec["inputs"]["model"]["filename"] == "model.package"
    assert (spec["parameters"]["format"], spec["parameters"]["accepted"]) == ("package", ["ART-03.package"])
    assert spec["parameters"]["recipe"]["loss"] == "model:loss"


def test_only_a_package_has_a_loss_of_its_own(alice):
    with pytest.raises(InvalidInput, match="model:loss is a model package's own") as refusal:
        request(alice, recipe={"loss": "model:loss"})
    assert refusal.value.errors[0]["place"] == "recipe"


def test_nobody_takes_the_word_of_a_packages_code_for_what_it_wrote(package, alice, signing_key):
    training = record_package(request(alice, version=package))

    produced = training.produced
    assert (produced.state, produced.rewritten) == (ModelVersionState.QUARANTINED, None)
    assert produced.job.kind == "model_inspection"
    parameters = produced.job.spec["parameters"]
    assert parameters["accepted"] == ["ART-03.package"]
    assert parameters["sources"] == {"model.py": results.DIGEST}
    assert "is quarantined" in trainings.training_problem(training)
    assert not SignedStatement.objects.exists()


def test_a_package_that_a_training_made_is_signed_as_retrained_once_it_is_registered(package, alice, signing_key):
    training = record_package(request(alice, version=package))
    finding = results.finding(id="ART-03.package", severity="medium")
    value, files = results.inspection(format="package", framework="pytorch", findings=[finding])

    job_kinds.get("model_inspection").record(training.produced.job, value, files)
    training.produced.refresh_from_db()
    assert training.produced.state == ModelVersionState.QUARANTINED
    assert not SignedStatement.objects.exists()
    job_kinds.get("model_loading").record(training.produced.job, *results.loading())

    training.produced.refresh_from_db()
    assert training.produced.state == ModelVersionState.REGISTERED
    assert training.produced.accepted == package.accepted
    assert trainings.training_problem(training) is None
    assert SignedStatement.objects.get().predicate_type == PROVENANCE
