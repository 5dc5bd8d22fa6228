"""Where the jobs of data evidence lead: the page of the data set version."""

from __future__ import annotations

from django.urls import reverse

from governance.models import Job
from governance.views.destinations import Destination, of_dataset
from validators.models import Cleaning, Comparison, Restoration, Screening, Split, SuiteProposal, Validation


def of_validation(job: Job) -> Destination:
    """Lead to the data set version that was validated."""
    found = Validation.objects.select_related("dataset__dataset").filter(job=job).first()
    return None if found is None else of_dataset(found.dataset)


def of_cleaning(job: Job) -> Destination:
    """Lead to the version that was made, or until then to the one that is cleaned."""
    made = Cleaning.objects.select_related("dataset__dataset", "cleaned_to__dataset", "replay_of__cleaned_to__dataset")
    found = made.filter(job=job).first()
    if found is None:
        return None
    replayed = None if found.replay_of is None else found.replay_of.cleaned_to
    return of_dataset(found.cleaned_to or replayed or found.dataset)


def of_restoration(job: Job) -> Destination:
    """Lead to the version with the rows back, or until then to the one that they go back into."""
    found = Restoration.objects.select_related("base__dataset", "restored_to__dataset").filter(job=job).first()
    return None if found is None else of_dataset(found.restored_to or found.base)


def of_split(job: Job) -> Destination:
    """Lead to the version that was made, or until then to the one that is split."""
    found = Split.objects.select_related("dataset__dataset", "split_to__dataset").filter(job=job).first()
    return None if found is None else of_dataset(found.split_to or found.dataset)


def of_comparison(job: Job) -> Destination:
    """Lead to the page of the comparison."""
    found = Comparison.objects.filter(job=job).first()
    return None if found is None else (f"comparison {found.pk}", reverse("comparison", args=[found.pk]))


def of_screening(job: Job) -> Destination:
    """Lead to the data set version that was screened."""
    found = Screening.objects.select_related("dataset__dataset").filter(job=job).first()
    return None if found is None else of_dataset(found.dataset)


def of_proposal(job: Job) -> Destination:
    """Lead to the page on which the suggestions are decided."""
    found = SuiteProposal.objects.filter(job=job).first()
    return None if found is None else (f"proposal {found.pk}", reverse("proposal", args=[found.pk]))
