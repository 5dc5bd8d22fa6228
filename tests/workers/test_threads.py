"""Work done beside each other: all of it, each on one thread, and out of the way when it fails."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch  # noqa: TID253 - its threads are what this is about

from workers.frameworks.pytorch_threads import SHARES_A_THREAD, beside, operators_on_one_thread, share_of

PATIENCE_SECONDS = 60


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Let an operator have two threads, and find that it has them again, and that no other thread is left."""
    before, running = torch.get_num_threads(), set(threading.enumerate())
    torch.set_num_threads(2)
    yield
    given = torch.get_num_threads()
    torch.set_num_threads(before)
    assert given == 2
    assert set(threading.enumerate()) <= running


class Rendezvous:
    """Work that two threads have to be at to get on with, and what each found there."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(2)
        self.found: dict[int, tuple[int, bool, int]] = {}

    def __call__(self, item: int) -> None:
        self._barrier.wait(PATIENCE_SECONDS)
        self.found[item] = threading.get_ident(), torch.is_grad_enabled(), torch.get_num_threads()


def test_items_are_worked_on_at_once_each_on_one_thread_and_without_gradients() -> None:
    work = Rendezvous()
    with operators_on_one_thread():
        beside(work, range(2), threads=2)
    idents, with_gradients, thread_counts = zip(*(work.found[item] for item in range(2)), strict=True)
    assert threading.get_ident() in idents
    assert len(set(idents)) == 2
    assert with_gradients == (False, False)
    assert thread_counts == (1, 1)
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 100])
def test_every_item_is_worked_on_once(threads: int, count: int) -> None:
    done: list[int] = []
    with operators_on_one_thread():
        beside(done.append, range(count), threads=threads)
    assert sorted(done) == list(range(count))


def test_one_thread_is_the_caller_s_and_keeps_the_order() -> None:
    seen: list[tuple[int, int, bool]] = []
    beside(lambda item: seen.append((item, threading.get_ident(), torch.is_grad_enabled())), [3, 1, 2], threads=1)
    assert seen == [(item, threading.get_ident(), False) for item in (3, 1, 2)]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_the_first_item_that_fails_is_told_and_no_other_is_begun(error: type[BaseException]) -> None:
    both_are_there, later_has_failed = threading.Barrier(2), threading.Event()
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        both_are_there.wait(PATIENCE_SECONDS)
        if item == 0:
            assert later_has_failed.wait(PATIENCE_SECONDS)
        else:
            later_has_failed.set()
        raise error(f"item {item}")

    with pytest.raises(error, match="item 0"), operators_on_one_thread():
        beside(work, range(100), threads=2)
    assert sorted(begun) == [0, 1]


def test_an_interruption_of_the_wait_comes_out_when_the_thread_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    all_is_taken, interrupted, finished = threading.Barrier(2), threading.Event(), threading.Event()
    join = threading.Thread.join

    def interrupted_once(thread: threading.Thread, timeout: float | None = None) -> None:
        if not interrupted.is_set():
            interrupted.set()
            raise KeyboardInterrupt
        join(thread, timeout)

    def work(_item: int) -> None:
        all_is_taken.wait(PATIENCE_SECONDS)
        if threading.current_thread() is not threading.main_thread():
            assert interrupted.wait(PATIENCE_SECONDS)
            finished.set()

    monkeypatch.setattr(threading.Thread, "join", interrupted_once)
    with pytest.raises(KeyboardInterrupt), operators_on_one_thread():
        beside(work, range(2), threads=2)
    assert finished.is_set()


def test_operators_have_their_threads_again_after_a_failure() -> None:
    found: list[int] = []

    def broken(_item: int) -> None:
        found.append(torch.get_num_threads())
        raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"), operators_on_one_thread():
        beside(broken, range(2), threads=1)
    assert found == [1]
    assert torch.get_num_threads() == 2


def test_shares_leave_every_thread_something_to_do() -> None:
    assert share_of(1000, threads=1) == 1000
    assert share_of(1000, threads=4) == 1000 // (4 * SHARES_A_THREAD)
    assert share_of(3, threads=4) == 1
    assert share_of(0, threads=1) == 1
