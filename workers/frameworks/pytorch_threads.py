"""Batches beside each other, each on one thread, instead of one batch after the other on all.

An operator of a small network is over before a second thread has taken its part of it, and where other processes want
the processor too, the threads of OpenMP wait for each other many times as long as they compute. Python's threads leave
the interpreter's lock inside operators, and a batch needs no other one. How an operator adds may depend on its number
of threads; with one, the bits of an answer do not depend on how many there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

import torch

Item = TypeVar("Item")

#: So many shares of the work a thread, so that none waits long for another one's last.
SHARES_A_THREAD = 4


@contextmanager
def operators_on_one_thread() -> Iterator[None]:
    """Let each operator of the caller run on one thread; how many it had is restored, whatever happens."""
    before = torch.get_num_threads()
    if before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def share_of(count: int, threads: int) -> int:
    """Return how many of ``count`` things one of the threads takes at once; all where there is one thread."""
    return max(1, count if threads == 1 else count // (SHARES_A_THREAD * threads))


def beside(work: Callable[[Item], None], items: Sequence[Item], *, threads: int) -> None:
    """Do the work of every item, without gradients, on the caller's thread and as many others as make up ``threads``.

    To be called within ``operators_on_one_thread``. Items are begun in their order. Where work fails, no other item is
    begun, and those that were begun are finished. No thread is left when this returns or raises.

    Raises:
        BaseException: what ``work`` raised for the first of the items that it failed for, as a loop would have.
    """
    if threads == 1:
        with torch.no_grad():
            for item in items:
                work(item)
        return
    line = _Line(work, items)
    others: list[threading.Thread] = []
    try:
        for number in range(1, threads):
            other = threading.Thread(target=line.work_off, name=f"beside-{number}")
            other.start()
            others.append(other)
        line.work_off()
    finally:
        line.close()
        for other in others:
            try:
                other.join()
            finally:  # What interrupts the wait does not end the thread.
                other.join()
    line.raise_first()


class _Line(Generic[Item]):
    """Items that threads take one after the other, and what went wrong with them, by their numbers."""

    def __init__(self, work: Callable[[Item], None], items: Sequence[Item]) -> None:
        self._work = work
        self._items = enumerate(items)
        self._lock = threading.Lock()
        self._is_open = True
        self._failures: dict[int, BaseException] = {}

    def work_off(self) -> None:
        """Work on one item after the other until there is none, or the line is closed."""
        # Both are settings of a thread. A new one starts with the gradients on and OpenMP's own number of threads.
        torch.set_num_threads(1)
        with torch.no_grad():
            while (taken := self._next()) is not None:
                number, item = taken
                try:
                    self._work(item)
                except BaseException as error:  # noqa: BLE001 - the thread of the caller raises it again
                    self._failures[number] = error
                    self.close()

    def close(self) -> None:
        """Let nobody take another item."""
        self._is_open = False

    def raise_first(self) -> None:
        """Raise what the first of the items failed with, if one did."""
        if self._failures:
            raise self._failures[min(self._failures)]

    def _next(self) -> tuple[int, Item] | None:
        with self._lock:
            return next(self._items, None) if self._is_open else None
