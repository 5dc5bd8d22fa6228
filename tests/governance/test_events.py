"""The event chain: complete, in order, keyed, and written with the change that it tells."""

from __future__ import annotations

import threading

import pytest
from django.db import connection, transaction

from governance.models import Event
from governance.services import events

events.register("test.happened")


def happen(count: int = 1, **detail) -> list[Event]:
    with transaction.atomic():
        return [events.record(name="test.happened", subject="thing/1", by=None, detail=detail) for _ in range(count)]


def overwrite(number: int, **values) -> None:
    """Change a row behind the back of the application."""
    assignments = ", ".join(f"{name} = %s" for name in values)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE governance_event SET {assignments} WHERE sequence = %s", [*values.values(), number])


@pytest.mark.django_db
def test_events_are_numbered_without_gaps_and_each_names_the_one_before(alice):
    first, second = happen(2, reason="a reason")

    assert (first.sequence, second.sequence) == (1, 2)
    assert first.previous == events.GENESIS
    assert second.previous == first.mac
    assert events.verify() == events.ChainState(intact=True, event_count=2, head=second.mac)


@pytest.mark.django_db
def test_the_actor_and_the_subject_are_copied_as_people_write_them(alice):
    from tests.factories import ModelVersionFactory

    version = ModelVersionFactory()
    with transaction.atomic():
        event = events.record(name="test.happened", subject=version, by=alice)

    assert (event.actor, event.subject) == ("alice", version.ref)
    assert happen()[0].actor == events.SYSTEM


@pytest.mark.django_db
def test_an_unknown_name_is_an_error():
    with pytest.raises(ValueError, match=r"'test\.never'"), transaction.atomic():
        events.record(name="test.never", subject="thing/1", by=None)


@pytest.mark.django_db(transaction=True)
def test_an_event_needs_the_transaction_of_its_change():
    with pytest.raises(transaction.TransactionManagementError):
        events.record(name="test.happened", subject="thing/1", by=None)


@pytest.mark.django_db(transaction=True)
def test_an_event_goes_with_the_change_that_fails():
    happen()

    def fail() -> None:
        with transaction.atomic():
            events.record(name="test.happened", subject="thing/1", by=None)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert Event.objects.count() == 1
    assert happen()[0].sequence == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("values", "because"),
    [
        ({"actor": "mallory"}, "is not what was recorded"),
        ({"detail": '{"reason": "another"}'}, "is not what was recorded"),
        ({"at": "2020-01-01 00:00:00"}, "is not what was recorded"),
        ({"previous": "1" * 64}, "does not follow"),
        ({"sequence": 9}, "is missing"),
    ],
)
def test_a_changed_row_breaks_the_chain_at_its_place(values, because):
    happen(3, reason="a reason")
    overwrite(2, **values)

    state = events.verify()

    assert not state.intact
    assert state.broken_at == 2
    assert because in state.reason


@pytest.mark.django_db
def test_a_row_that_is_taken_out_breaks_the_chain():
    happen(3)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM governance_event WHERE sequence = 2")

    assert events.verify().broken_at == 2


@pytest.mark.django_db
def test_who_holds_the_database_but_not_the_key_cannot_forge_an_event(settings):
    (event,) = happen()
    ours, settings.ASSAY_EVENT_KEY = settings.ASSAY_EVENT_KEY, "the key of somebody else"
    forged = Event.objects.get()
    forged.actor = "mallory"
    overwrite(event.sequence, actor="mallory", mac=events.mac_of(forged))
    assert events.verify().intact
    settings.ASSAY_EVENT_KEY = ours

    assert events.verify().broken_at == event.sequence


@pytest.mark.django_db
def test_events_are_neither_changed_nor_deleted_through_the_model():
    (event,) = happen()
    event.actor = "mallory"

    for attempt in (
        event.save,
        event.delete,
        lambda: Event.objects.update(actor="mallory"),
        lambda: Event.objects.all().delete(),
        lambda: Event.objects.bulk_update([event], ["actor"]),
    ):
        with pytest.raises(TypeError, match="never changed or deleted"), transaction.atomic():
            attempt()
    assert Event.objects.get().actor == events.SYSTEM


@pytest.mark.django_db
def test_the_events_of_one_user_action_share_a_group():
    with events.user_action() as group:
        first, second = happen(2)
        with events.user_action():
            (inner,) = happen()
    (other,) = happen()

    assert {first.group, second.group, inner.group} == {group}
    assert other.group != group


@pytest.mark.django_db
def test_numbers_that_a_database_writes_otherwise_still_verify():
    happen(1, large=1e22, whole=3.0, small=1e-7, nested=[{"share": 0.1}])

    assert events.verify().intact


@pytest.mark.django_db(transaction=True)
def test_the_numbers_stay_without_gaps_when_many_write_at_once():
    threads_count, each = 6, 8
    failures: list[BaseException] = []
    barrier = threading.Barrier(threads_count)

    def write() -> None:
        try:
            barrier.wait()
            for _ in range(each):
                happen()
        except Exception as error:  # noqa: BLE001 - told below, in the main thread
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(threads_count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    sequences = list(Event.objects.order_by("sequence").values_list("sequence", flat=True))
    assert sequences == list(range(1, threads_count * each + 1))
    assert events.verify().intact
