"""Bounded retries: exponential waits with jitter, one deadline over all attempts, every retry reported.

Equal jitter (half of each wait is fixed) after
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/; which failures are transient follows
https://cloud.google.com/storage/docs/retry-strategy.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

Result = TypeVar("Result")

MIB = 1 << 20


class RetryReason(StrEnum):
    """Why an attempt failed; a small fixed set, so that it can label a metric."""

    TIMEOUT = "timeout"
    THROTTLED = "throttled"
    SERVER_ERROR = "server_error"
    CONNECTION = "connection"
    TRUNCATED = "truncated"
    CHECKSUM = "checksum"
    CREDENTIALS = "credentials"


@dataclass(frozen=True)
class RetryEvent:
    """One failed attempt that is about to be repeated: `attempt` counts from 1, `wait` is in seconds."""

    operation: str
    name: str
    reason: RetryReason
    attempt: int
    wait: float
    error: str


@dataclass(frozen=True)
class RetryPolicy:
    """How long one storage call keeps trying; all in seconds.

    `attempt`: longest silence on the connection, and longest wait for a whole body. `total`: no attempt starts later
    than this after the first. Both grow by one second per MiB moved, so a slow link is not mistaken for a dead one.
    """

    total: float = 120.0
    attempt: float = 20.0
    connect: float = 5.0
    first_wait: float = 0.25
    longest_wait: float = 16.0


class GaveUp(Exception):
    """The deadline passed; `__cause__` is the last attempt's error."""

    def __init__(self, attempts: int, seconds: float, reason: RetryReason) -> None:
        super().__init__(f"gave up after {attempts} attempt{'s' * (attempts != 1)} in {seconds:.0f} s ({reason})")


@dataclass(frozen=True)
class Try:
    """The parameters of one attempt: its number from 1, the seconds until the deadline, and its own time limit."""

    number: int
    remaining: float
    limit: float


def keep_trying(
    action: Callable[[Try], Result],
    *,
    operation: str,
    name: str,
    size: int = 0,
    policy: RetryPolicy,
    reason_of: Callable[[Exception], RetryReason | None],
    on_retry: Callable[[RetryEvent], None] | None,
) -> Result:
    """Calls `action` until it returns. An error for which `reason_of` returns None is raised as it is.

    `size` in bytes is what one attempt moves, where known. Raises `GaveUp` rather than wait beyond the deadline.
    """
    begin = time.monotonic()
    allowance = size / MIB
    total = policy.total + allowance
    ceiling = policy.first_wait
    number = 1
    while True:
        remaining = total - (time.monotonic() - begin)
        try:
            return action(Try(number, remaining, max(0.05, min(policy.attempt + allowance, remaining))))
        except Exception as error:  # what reason_of does not know is re-raised
            reason = reason_of(error)
            if reason is None:
                raise
            wait = _jitter.uniform(ceiling / 2, ceiling)
            elapsed = time.monotonic() - begin
            if elapsed + wait > total:
                raise GaveUp(number, elapsed, reason) from error
            if on_retry:
                on_retry(RetryEvent(operation, name, reason, number, wait, f"{type(error).__name__}: {error}"))
        time.sleep(wait)
        ceiling = min(ceiling * 2, policy.longest_wait)
        number += 1


# Not the global generator: in a run that seeds it, a slow network must not change its state.
_jitter = random.Random()
