"""Screenings as services: who may ask, what is kept, and that a result binds to what it was measured on."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from governance.exceptions import InvalidInput, NotAllowed, StateConflict
from governance.models import DatasetState, Event, Job
from tests import page_factories
from tests.factories import DatasetVersionFactory, StoredFileFactory
from validators.models import Screening
from validators.services import screenings

pytestmark = pytest.mark.django_db


def value_of(*detections: dict[str, object]) -> dict[str, object]:
    return {"detections": list(detections), "row_count": 1}


def test_a_request_pins_detectors_with_all_their_parameters(alice: User) -> None:
    screening = screenings.request_screening(
        dataset=DatasetVersionFactory(), detectors=["mad", "iqr"], parameters={"iqr": {"k": 2.5}}, by=alice
    )

    assert list(screening.detectors) == ["iqr", "mad"]
    assert screening.detectors["iqr"]["k"] == 2.5
    assert screening.detectors["mad"]["threshold"] == 3.5
    assert screening.job.spec["parameters"]["detectors"] == screening.detectors
    event = Event.objects.get(name="screening.requested")
    assert event.detail["detectors"] == ["iqr", "mad"]


def test_without_detectors_all_of_the_purpose_run(dave: User) -> None:
    version, other = DatasetVersionFactory(), DatasetVersionFactory()

    quality = screenings.request_screening(dataset=version, by=dave)
    drift = screenings.request_screening(dataset=version, against=other, purpose="drift", by=dave)

    assert len(quality.detectors) == 11
    assert list(drift.detectors) == ["column_drift", "table_drift"]
    assert drift.job.spec["inputs"]["against"]["digest"] == other.table_id
    assert drift.against_digest == other.content_digest


@pytest.mark.parametrize("who", ["bob", "erin", "carol"])
def test_who_neither_engineers_nor_audits_screens_nothing(who: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(NotAllowed):
        screenings.request_screening(dataset=DatasetVersionFactory(), by=request.getfixturevalue(who))

    assert not Job.objects.exists()


def test_a_version_that_is_not_ready_is_not_screened_on_either_side(alice: User) -> None:
    ready, importing = DatasetVersionFactory(), DatasetVersionFactory(state=DatasetState.IMPORTING, table=None)

    with pytest.raises(StateConflict, match="importing"):
        screenings.request_screening(dataset=importing, by=alice)
    with pytest.raises(StateConflict, match="importing"):
        screenings.request_screening(dataset=ready, against=importing, purpose="drift", by=alice)
    assert not Screening.objects.exists()


def test_another_version_belongs_to_two_purposes_only(alice: User) -> None:
    version, other = DatasetVersionFactory(), DatasetVersionFactory()

    for against, purpose in ((other, "quality"), (None, "evaluation"), (version, "drift")):
        with pytest.raises(InvalidInput) as refused:
            screenings.request_screening(dataset=version, against=against, purpose=purpose, by=alice)
        assert refused.value.errors[0]["place"] == "against"


def test_a_result_has_a_digest_that_time_does_not_change_and_content_does(alice: User) -> None:
    version, digests = DatasetVersionFactory(), []
    for seconds, count in ((0.1, 1), (9.9, 1), (0.1, 2)):
        screening = screenings.request_screening(dataset=version, detectors=["iqr"], by=alice)
        found = page_factories.detection("iqr", seconds=seconds, count=count)
        screenings.record_screening(screening.job, value_of(found), {"rows.parquet": StoredFileFactory()})
        screening.refresh_from_db()
        digests.append(screening.digest)

    assert digests[0] == digests[1] != digests[2]
    ended = Event.objects.filter(name="screening.ended")
    assert [event.detail["found"] for event in ended] == [["iqr"]] * 3


def test_the_event_tells_a_detector_that_broke_from_one_that_found_nothing(alice: User) -> None:
    screening = screenings.request_screening(dataset=DatasetVersionFactory(), detectors=["iqr", "mad"], by=alice)

    screenings.record_screening(
        screening.job,
        value_of(page_factories.detection("iqr", "not_found"), page_factories.detection("mad", "error")),
        {"rows.parquet": StoredFileFactory()},
    )

    detail = Event.objects.get(name="screening.ended").detail
    assert (detail["found"], detail["errors"]) == ([], ["mad"])


def test_a_plan_names_its_screening_and_pins_its_bounds(alice: User) -> None:
    screening = page_factories.screening(DatasetVersionFactory())

    plan = screenings.plan_of(screening)

    assert plan["dataset"] == screening.dataset.ref
    (step,) = plan["plan"]
    assert step["expectation"] == f"screening {screening.pk}: iqr"
    assert step["rule"]["kwargs"] == {"column": "age", "min_value": 0.0, "max_value": 110.0}
    assert 0.025 < step["max_fraction"] < 0.1
