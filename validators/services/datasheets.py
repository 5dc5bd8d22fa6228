"""Write the datasheet of a data set; every writing is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Max

from governance import permissions
from governance.exceptions import InvalidInput
from governance.models import Dataset
from governance.permissions import Action
from governance.services import events
from validators.datasheets import problems_of
from validators.models import Datasheet
from workers.protocol import digest_of_json

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def write_datasheet(*, dataset: Dataset, answers: Any, by: User) -> Datasheet:
    """Keep answers as the next number; the same answers as before are no new number. Empty answers are left out.

    Raises:
        InvalidInput: with the key of each answer that is none.
    """
    permissions.require(by, Action.WRITE_DATASHEET, dataset)
    problems = [{"place": place, "detail": detail} for place, detail in problems_of(answers)]
    if problems:
        raise InvalidInput(f"The datasheet is not valid: {problems[0]['detail']}", errors=problems)
    kept = {key: answer.strip() for key, answer in sorted(answers.items()) if answer.strip()}
    digest = digest_of_json(kept)
    with transaction.atomic():
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        newest = newest_datasheet(dataset)
        if newest is not None and newest.digest == digest:
            return newest
        last: int | None = Datasheet.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"]
        datasheet = Datasheet.objects.create(
            dataset=dataset, number=(last or 0) + 1, answers=kept, digest=digest, created_by=by
        )
        events.record(
            name="datasheet.written",
            subject=dataset.name,
            by=by,
            detail={"datasheet": datasheet.number, "digest": digest, "answered": sorted(kept)},
        )
    return datasheet


def newest_datasheet(dataset: Dataset) -> Datasheet | None:
    """Return what is said of a data set now; None while nobody has said anything."""
    return Datasheet.objects.filter(dataset=dataset).select_related("dataset", "created_by").order_by("-number").first()
