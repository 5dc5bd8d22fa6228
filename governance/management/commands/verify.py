"""``manage.py verify``: is the record still what it was? Events, stored files, statements, the evidence of reviews."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from governance.exceptions import IntegrityFailure
from governance.models import Event, SignedStatement, StoredFile
from governance.services import events, reviews, statements
from governance.storage import store

#: Events are checked in thousands a moment; telling of each would cost more than checking it.
_EVENTS_A_LINE = 500


class Command(BaseCommand):
    help = (
        "Check the event chain, the digest of every stored file, the signature and subjects of every signed statement, "
        "and the evidence of every open and approved review. "
        "Ends with status 1 when something is not what was recorded; a review that this voids is told, and is no error."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        problems = [*self._events(), *self._files(), *self._statements()]
        self._reviews()
        for problem in problems:
            self.stderr.write(f"FAILED  {problem}")
        if problems:
            raise CommandError(f"The record does not verify: {len(problems)} of its parts are not what they were.")
        self.stdout.write("The record verifies.")

    def _events(self) -> list[str]:
        count = Event.objects.count()
        tell = self._progress("events")
        state = events.verify(progress=lambda done: tell(done, count) if done % _EVENTS_A_LINE == 0 else None)
        tell(state.event_count, count)
        self._end_line()
        return [] if state.intact else [f"events: {state.reason}"]

    def _files(self) -> list[str]:
        problems = []
        digests = StoredFile.objects.order_by("digest").values_list("digest", flat=True)
        count = digests.count()
        tell = self._progress("files")
        tell(0, count)
        for done, digest in enumerate(digests.iterator(), start=1):
            try:
                store().verify(digest)
            except IntegrityFailure as error:
                problems.append(f"files: {error.detail}")
            tell(done, count)
        self._end_line()
        return problems

    def _statements(self) -> list[str]:
        problems = []
        signed = SignedStatement.objects.select_related("key").prefetch_related("subjects").order_by("pk")
        count = signed.count()
        tell = self._progress("statements")
        tell(0, count)
        for done, statement in enumerate(signed.iterator(chunk_size=500), start=1):
            problem = statements.problem_of(statement)
            if problem is not None:
                problems.append(f"statements: {statement}: {problem}")
            tell(done, count)
        self._end_line()
        return problems

    def _reviews(self) -> None:
        tell = self._progress("reviews")
        tell(0, 0)
        voided = reviews.recheck_all(progress=tell)
        self._end_line()
        for review in voided:
            self.stdout.write(f"VOID    {review} of {review.version.ref}: {review.voided_because}")

    def _progress(self, unit: str) -> Callable[[int, int], None]:
        """Return what tells how far a part is: one line that is written over on a terminal."""

        def tell(done: int, total: int) -> None:
            if sys.stdout.isatty() or done == total:
                self.stdout.write(f"\r{unit}: {done:,} of {total:,}", ending="")
                self.stdout.flush()

        return tell

    def _end_line(self) -> None:
        self.stdout.write("")
