"""How far an explanation is, in rows, so that the time that is left can be read from it."""

from __future__ import annotations

from workers.context import JobContext

#: What follows the explaining (measures, drawing, writing) takes about as long as this many explained rows.
ROWS_AFTERWARDS = 24


class Stages:
    """Tells the progress of one job: the explaining row by row, then what follows, as if it were some more rows.

    The share that is done never falls and is 1 at the end only, so that the time so far over the share is a fair guess
    of the whole.
    """

    def __init__(self, context: JobContext, row_count: int) -> None:
        self._context = context
        self._row_count = row_count
        self._weight = row_count / (row_count + ROWS_AFTERWARDS)
        self._done = 0.0

    def go_on(self, row: int) -> None:
        """Tell that so many rows were explained by an earlier attempt."""
        if row:
            self._tell(row * self._weight, f"{row:,} rows were explained before this attempt")

    def explaining(self, done: float, total: float, message: str) -> None:  # noqa: ARG002 - what explainers call
        """Tell how many rows are explained; a fraction is of those that are being explained."""
        words = f"{int(done):,} of {self._row_count:,} rows"
        self._tell(done * self._weight, f"{words}; {message}" if message else words)

    def following(self, message: str) -> None:
        """Tell the next step of what follows. How many there are is not known: each takes a third of what is left."""
        explained = self._row_count * self._weight
        self._tell(max(explained, self._done + (self._row_count - max(explained, self._done)) / 3), message)

    def end(self) -> None:
        """Tell that everything is done."""
        self._tell(self._row_count, "done")

    def _tell(self, done: float, message: str) -> None:
        self._done = max(self._done, min(done, self._row_count))
        self._context.progress(round(self._done, 3), self._row_count, "rows", message)
