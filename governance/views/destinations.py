"""Where the jobs of the record lead: the page of what each is about or has made."""

from __future__ import annotations

from django.urls import reverse

from governance.models import DatasetVersion, Evaluation, Job, ModelVersion, Training

Destination = tuple[str, str] | None


def of_version(version: ModelVersion) -> tuple[str, str]:
    return version.ref, reverse("version", args=[version.model.name, version.number])


def of_dataset(version: DatasetVersion) -> tuple[str, str]:
    return version.ref, reverse("dataset-version", args=[version.dataset.name, version.number])


def of_inspection(job: Job) -> Destination:
    """Lead to the version that was inspected."""
    versions = ModelVersion.objects.select_related("model")
    found = versions.filter(job=job).first()
    if found is None:
        # A released version was inspected again, by another job; the first one leads to it by its name.
        name, _, number = job.subject.rpartition("/")
        found = versions.filter(model__name=name, number=number).first() if number.isdecimal() else None
    return None if found is None else of_version(found)


def of_import(job: Job) -> Destination:
    """Lead to the data set version that was read."""
    found = DatasetVersion.objects.select_related("dataset").filter(job=job).first()
    return None if found is None else of_dataset(found)


def of_training(job: Job) -> Destination:
    """Lead to the version that was made, or until then to the one that is trained further."""
    found = Training.objects.select_related("version__model", "produced__model").filter(job=job).first()
    return None if found is None else of_version(found.produced or found.version)


def of_evaluation(job: Job) -> Destination:
    """Lead to the numbers on the page of the version."""
    found = Evaluation.objects.select_related("version__model").filter(job=job).first()
    if found is None:
        return None
    words, address = of_version(found.version)
    return words, f"{address}#evaluations"
