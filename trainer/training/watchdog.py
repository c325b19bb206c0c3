"""Detects that training no longer moves: a collective whose peer is alive but stuck waits forever."""

import threading
import time
from collections.abc import Callable


class Watchdog:
    """Calls `stalled(seconds)` on its own thread when `beat` was not called for `timeout` seconds; 0: never."""

    def __init__(self, timeout: float, stalled: Callable[[float], None]) -> None:
        self._timeout = timeout
        self._stalled = stalled
        self._last = time.monotonic()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        if timeout > 0:
            self._thread.start()

    def beat(self) -> None:
        """Report progress."""
        self._last = time.monotonic()

    def close(self) -> None:
        """Stop watching."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(min(1.0, self._timeout / 4)):
            silent = time.monotonic() - self._last
            if silent > self._timeout:
                self._stalled(silent)
                return
