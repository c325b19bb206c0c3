"""Detects that training no longer moves: a collective whose peer is alive but stuck waits forever."""

import faulthandler
import sys
import threading
from collections.abc import Callable

from trainer.process.activity import Activity

TICK_SECONDS = 1.0


class Watchdog:
    """Calls `stalled(line)` on a thread of its own when `activity` shows no progress for longer than it may.

    It counts its own ticks, so that neither a process that was stopped and goes on, nor a clock that jumps, is taken
    for one that hangs. While `excused` says so, another worker is known to be slow for a reason that is no stall.
    """

    def __init__(
        self,
        activity: Activity,
        stall_timeout: str,
        stalled: Callable[[str], None],
        tick: float = TICK_SECONDS,
        excused: Callable[[], bool] = lambda: False,
    ) -> None:
        self._activity, self._stall_timeout, self._stalled, self._tick = activity, stall_timeout, stalled, tick
        self._excused = excused
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def __enter__(self) -> "Watchdog":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(self._tick):
            silent, limit = self._activity.tick(), self._activity.limit(self._stall_timeout)
            if silent > limit and not self._excused():
                show_stacks()
                self._stalled(f"{self._activity.doing}: no progress for {silent} s, and {limit:.0f} s are allowed")
                return


def show_stacks() -> None:
    """What each thread is doing, to standard error: the log of a stalled run, and with it a doctor's bundle, has it."""
    print("catdog: stacks of all threads, the most recent call first:", file=sys.stderr, flush=True)
    faulthandler.dump_traceback(sys.stderr, all_threads=True)
