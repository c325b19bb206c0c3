import time
from collections.abc import Callable

import pytest

from trainer.storage.retry import GaveUp, RetryEvent, RetryPolicy, RetryReason, Try, keep_trying

QUICK = RetryPolicy(total=0.5, attempt=0.2, first_wait=0.01, longest_wait=0.04)


def reason_of(error: Exception) -> RetryReason | None:
    return RetryReason.CONNECTION if isinstance(error, ConnectionError) else None


def run(action: Callable[[Try], str], events: list[RetryEvent], policy: RetryPolicy = QUICK, size: int = 0) -> str:
    return keep_trying(
        action, operation="read", name="a", size=size, policy=policy, reason_of=reason_of, on_retry=events.append
    )


def test_it_repeats_until_the_action_returns_and_reports_each_time() -> None:
    events: list[RetryEvent] = []

    def action(this: Try) -> str:
        if this.number < 6:
            raise ConnectionResetError("gone")
        return "done"

    assert run(action, events) == "done"
    assert [event.attempt for event in events] == [1, 2, 3, 4, 5]
    assert events[0].error == "ConnectionResetError: gone"
    for event, ceiling in zip(events, (0.01, 0.02, 0.04, 0.04, 0.04), strict=True):
        assert ceiling / 2 <= event.wait <= ceiling
    assert len({event.wait for event in events[2:]}) == 3


def test_it_gives_up_at_the_deadline_with_the_last_error_as_its_cause() -> None:
    events: list[RetryEvent] = []
    limits: list[float] = []

    def action(this: Try) -> str:
        limits.append(this.limit)
        raise ConnectionResetError(this.number)

    begin = time.monotonic()
    with pytest.raises(GaveUp, match=r"gave up after \d+ attempts in \d s \(connection\)") as caught:
        run(action, events)
    assert 0.4 < time.monotonic() - begin < 1.0
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert len(events) == len(limits) - 1
    assert limits[0] == 0.2
    assert limits[-1] < 0.2  # never beyond the deadline


def test_an_unknown_error_is_raised_at_once() -> None:
    events: list[RetryEvent] = []

    def action(this: Try) -> str:
        raise KeyError("bug")

    with pytest.raises(KeyError, match="bug"):
        run(action, events)
    assert events == []


def test_what_moves_more_gets_more_time() -> None:
    assert run(lambda this: str(this.limit), [], size=3 << 20) == str(3.2)
