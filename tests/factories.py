"""The smallest true thing of each kind."""

from __future__ import annotations

from typing import Any

import factory
from django.contrib.auth.models import Group, User
from factory.django import DjangoModelFactory
from rest_framework.test import APIClient

from governance import models
from validators.models import ExpectationSuite, Validation
from workers.protocol import digest_of_bytes, digest_of_json

SIGNATURE: dict[str, Any] = {
    "inputs": [{"name": "features", "shape": [-1, 2], "dtype": "float32", "columns": ["age", "income"]}],
    "outputs": [{"name": "answer", "shape": [-1, 2], "dtype": "float32", "kind": "logits", "classes": ["no", "yes"]}],
}
SCHEMA: dict[str, Any] = {
    "modality": "tabular",
    "columns": {
        "age": {"role": "feature", "type": "float"},
        "income": {"role": "feature", "type": "float"},
        "repaid": {"role": "target", "type": "category"},
    },
}
RECIPE: dict[str, Any] = {
    "loss": "cross_entropy",
    "optimizer": {"name": "adam", "learning_rate": 0.005},
    "epochs": 2,
    "batch_size": 4,
    "metrics": ["accuracy"],
    "seed": 7,
    "precision": "float32",
    "early_stopping": None,
    "validation_split": 0.0,
}


def person(username: str, *groups: str, **fields: Any) -> User:
    """Return the user of this name, made at first use, in these groups."""
    user, _ = User.objects.get_or_create(username=username, defaults=fields)
    user.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
    return user


def api_client(user: User) -> APIClient:
    """Return a client of the API that speaks for a user; permissions are asked as ever."""
    client = APIClient()
    client.force_authenticate(User.objects.get(pk=user.pk))
    return client


def owner() -> User:
    return person("alice", "engineers")


class StoredFileFactory(DjangoModelFactory[models.StoredFile]):
    """A row of the store; the bytes are only there where a test puts them."""

    class Meta:
        model = models.StoredFile

    digest = factory.Sequence(lambda n: digest_of_bytes(f"file {n}".encode()))
    size_bytes = 100


class JobFactory(DjangoModelFactory[models.Job]):
    class Meta:
        model = models.Job

    kind = "model_inspection"
    spec = factory.LazyFunction(dict)
    spec_digest = factory.LazyAttribute(lambda job: digest_of_json(job.spec))
    created_by = factory.LazyFunction(owner)


class RegisteredModelFactory(DjangoModelFactory[models.RegisteredModel]):
    class Meta:
        model = models.RegisteredModel

    name = factory.Sequence(lambda n: f"credit-scorer-{n}")
    task = "classification"
    owner = factory.LazyFunction(owner)
    intended_use = "Tells whether a loan will be repaid."


class ModelVersionFactory(DjangoModelFactory[models.ModelVersion]):
    """A registered PyTorch version of two numeric inputs and two classes."""

    class Meta:
        model = models.ModelVersion

    model = factory.SubFactory(RegisteredModelFactory)
    number = factory.LazyAttribute(lambda version: version.model.versions.count() + 1)
    state = models.ModelVersionState.REGISTERED
    filename = "model.pt2"
    artifact = factory.SubFactory(StoredFileFactory)
    rewritten = factory.SubFactory(StoredFileFactory)
    weights_digest = factory.Sequence(lambda n: digest_of_bytes(f"weights {n}".encode()))
    framework = "pytorch"
    format = "pt2"
    signature = factory.LazyFunction(lambda: SIGNATURE)
    recipe = factory.LazyFunction(lambda: RECIPE)
    inspection = factory.LazyFunction(lambda: {"verdict": "registered", "findings": []})
    parameter_count = 6
    created_by = factory.LazyFunction(owner)


class DatasetFactory(DjangoModelFactory[models.Dataset]):
    class Meta:
        model = models.Dataset

    name = factory.Sequence(lambda n: f"applicants-{n}")
    owner = factory.LazyFunction(owner)


class DatasetVersionFactory(DjangoModelFactory[models.DatasetVersion]):
    """A ready version that feeds the model of ``ModelVersionFactory``."""

    class Meta:
        model = models.DatasetVersion

    dataset = factory.SubFactory(DatasetFactory)
    number = factory.LazyAttribute(lambda version: version.dataset.versions.count() + 1)
    state = models.DatasetState.READY
    filename = "applicants.csv"
    upload = factory.SubFactory(StoredFileFactory)
    table = factory.SubFactory(StoredFileFactory)
    content_digest = factory.Sequence(lambda n: digest_of_bytes(f"content {n}".encode()))
    schema = factory.LazyFunction(lambda: SCHEMA)
    row_count = 40
    created_by = factory.LazyFunction(owner)


class TrainingFactory(DjangoModelFactory[models.Training]):
    class Meta:
        model = models.Training

    version = factory.SubFactory(ModelVersionFactory)
    dataset = factory.SubFactory(DatasetVersionFactory)
    recipe = factory.LazyFunction(lambda: RECIPE)
    job = factory.SubFactory(JobFactory, kind="training")
    created_by = factory.LazyFunction(owner)


class EvaluationFactory(DjangoModelFactory[models.Evaluation]):
    """An evaluation that has ended."""

    class Meta:
        model = models.Evaluation

    version = factory.SubFactory(ModelVersionFactory)
    dataset = factory.SubFactory(DatasetVersionFactory)
    metrics = factory.LazyFunction(
        lambda: [
            {"name": "accuracy", "slice": None, "value": 0.9, "low": 0.77, "high": 0.96, "n": 40, "method": "wilson"}
        ]
    )
    digest = factory.Sequence(lambda n: digest_of_bytes(f"evaluation {n}".encode()))
    job = factory.SubFactory(JobFactory, kind="evaluation", state=models.JobState.SUCCEEDED)
    created_by = factory.LazyFunction(owner)


class PolicyFactory(DjangoModelFactory[models.Policy]):
    class Meta:
        model = models.Policy

    name = factory.Sequence(lambda n: f"policy-{n}")
    number = 1
    tier = "medium"
    document = factory.LazyAttribute(
        lambda policy: {
            "name": policy.name,
            "tier": policy.tier,
            "checks": {"ART-01": {}},
            "blocks": ["critical", "high"],
            "approvers": 1,
        }
    )
    digest = factory.LazyAttribute(lambda policy: digest_of_json(policy.document))


class ReviewFactory(DjangoModelFactory[models.Review]):
    """An open review of a version by its owner."""

    class Meta:
        model = models.Review

    version = factory.SubFactory(ModelVersionFactory)
    alias = "champion"
    requested_by = factory.LazyFunction(owner)


class EvidenceFactory(DjangoModelFactory[models.Evidence]):
    """An evaluation cited by a review."""

    class Meta:
        model = models.Evidence

    review = factory.SubFactory(ReviewFactory)
    kind = "evaluation"
    object_id = factory.LazyFunction(lambda: EvaluationFactory().pk)
    digest = factory.LazyAttribute(lambda evidence: models.Evaluation.objects.get(pk=evidence.object_id).digest)


class ExpectationSuiteFactory(DjangoModelFactory[ExpectationSuite]):
    """One rule: an applicant has an age."""

    class Meta:
        model = ExpectationSuite

    name = factory.Sequence(lambda n: f"applicants-suite-{n}")
    number = 1
    document = factory.LazyAttribute(
        lambda suite: {
            "name": suite.name,
            "expectations": [
                {
                    "id": "a-is-known",
                    "type": "expect_column_values_to_not_be_null",
                    "kwargs": {"column": "age"},
                    "severity": "critical",
                    "meta": {},
                }
            ],
        }
    )
    digest = factory.LazyAttribute(lambda suite: digest_of_json(suite.document))
    created_by = factory.LazyFunction(owner)


class ValidationFactory(DjangoModelFactory[Validation]):
    """One that has failed, on the content that the data set has."""

    class Meta:
        model = Validation

    dataset = factory.SubFactory(DatasetVersionFactory)
    suite = factory.SubFactory(ExpectationSuiteFactory)
    dataset_digest = factory.SelfAttribute("dataset.content_digest")
    success = False
    job = factory.SubFactory(JobFactory, kind="validation")
    created_by = factory.LazyFunction(owner)
