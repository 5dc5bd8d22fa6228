"""Each job that makes a version of another one keeps the pictures that it wrote with the version that it makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User

from governance import job_kinds
from governance.exceptions import RefusedResult
from governance.models import DatasetVersion, Job, StoredFile
from tests import factories, page_factories
from tests.validators.test_cleaning_services import answer
from validators.services import cleanings, restorations, splits
from workers.protocol import digest_of_bytes

PICTURES = "images-0.png"
SHOWN = {
    "file": PICTURES,
    "cells": [{"row": 3, "group": "darkest", "value": 0.25}],
    "problem_count": 0,
    "problems": [],
    "note": "",
}
TABLES = ("clean", "quarantine", "changes", "flags", "rows", "table", "split")
VERSION = {
    "content_digest": digest_of_bytes(b"made"),
    "row_count": 39,
    "schema": factories.SCHEMA,
    "profile": {},
    "media": {"image": SHOWN},
}
Ended = tuple[Job, dict[str, Any]]


def cleaned(alice: User) -> Ended:
    plan = [{"action": "impute", "column": "age"}]
    cleaning = cleanings.request_cleaning(dataset=factories.DatasetVersionFactory(), plan=plan, by=alice)
    return cleaning.job, answer(cleaning, media={"image": SHOWN}, validation=None)


def restored(alice: User) -> Ended:
    cleaning = page_factories.cleaning(factories.DatasetVersionFactory())
    return restorations.restore_rows(cleaning=cleaning, rows=[4], reason="Checked.", by=alice).job, VERSION


def split(alice: User) -> Ended:
    plan = {"fractions": {"train": 0.6, "validation": 0.2, "test": 0.2}, "group": "age"}
    made = splits.request_split(dataset=factories.DatasetVersionFactory(), plan=plan, by=alice)
    return made.job, {**VERSION, "plan": made.plan, "report": {"parts": [], "target": None}}


def record(job: Job, value: dict[str, Any], *, pictures: bool = True) -> StoredFile:
    """End a job as its child would; return the stored file of the pictures."""
    import jsonschema

    files = {f"{name}.parquet": factories.StoredFileFactory() for name in TABLES}
    files |= {name: factories.StoredFileFactory() for name in ("tree.json", "report.json", "results.json")}
    stored = factories.StoredFileFactory()
    kind = job_kinds.get(job.kind)
    jsonschema.validate(value["media"], kind.result_schema["properties"]["media"])
    kind.record(job, value, {**files, PICTURES: stored} if pictures else files)
    return stored


@pytest.mark.django_db
@pytest.mark.parametrize("make", [cleaned, restored, split])
def test_a_made_version_keeps_its_pictures(alice: User, make: Callable[[User], Ended]) -> None:
    job, value = make(alice)
    pictures = record(job, value)
    assert DatasetVersion.objects.get(job=job).media == {"image": {**SHOWN, "digest": pictures.digest}}


@pytest.mark.django_db
@pytest.mark.parametrize("make", [cleaned, restored, split])
def test_pictures_that_are_named_and_not_there_make_no_version(alice: User, make: Callable[[User], Ended]) -> None:
    job, value = make(alice)
    with pytest.raises(RefusedResult, match=PICTURES):
        record(job, value, pictures=False)
