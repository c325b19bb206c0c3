import threading
import time

import pytest

from k8s.actions.bounded import Bounded


def test_results_come_as_they_are_ready_and_what_hangs_is_left() -> None:
    calls: Bounded[str, int] = Bounded(0.5, 4)
    released = threading.Event()
    calls.start("hangs", lambda: int(released.wait(60)))
    calls.start("one", lambda: 1)
    calls.start("two", lambda: 2)
    began = time.monotonic()
    assert dict(calls.results()) == {"one": 1, "two": 2}
    assert 0.4 < time.monotonic() - began < 10
    assert calls.late == {"hangs"}
    released.set()


def test_calls_may_be_started_from_results_and_all_ready_ends_it_at_once() -> None:
    calls: Bounded[int, int] = Bounded(60, 2)
    calls.start(0, lambda: 0)
    told = []
    for key, result in calls.results():
        told.append(result)
        if key < 5:
            calls.start(key + 1, lambda key=key: key + 1)  # type: ignore[misc]
    assert told == [0, 1, 2, 3, 4, 5]
    assert calls.late == set()


def test_an_error_is_raised_where_the_results_are_taken() -> None:
    calls: Bounded[int, int] = Bounded(60, 2)
    calls.start(0, lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        list(calls.results())


def test_more_calls_than_threads_are_all_made() -> None:
    calls: Bounded[int, int] = Bounded(60, 3)
    for number in range(50):
        calls.start(number, lambda number=number: number * number)  # type: ignore[misc]
    assert dict(calls.results()) == {number: number * number for number in range(50)}
