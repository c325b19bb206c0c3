"""Wait for a condition with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.cluster.errors import ClusterError


def wait_until(condition: Callable[[], bool], seconds: float, what: str, poll: float = 0.2) -> None:
    """Return when `condition()` is true; raise ClusterError naming `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"waited {seconds:.0f} s for {what}")
        time.sleep(poll)
