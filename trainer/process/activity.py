"""What this process is doing, and how long it may do that without a sign of progress.

Written by the thread that trains; read by the watchdog, by the line to the other workers, and by whoever asks whether
the process is alive. Seconds are counted in ticks of the watchdog's own: a process that was stopped, or a machine that
was suspended, finds one late tick on waking and not the hours that a clock has gone on.
"""

import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from enum import StrEnum
from typing import TypeVar

from trainer.fields import AUTO

T = TypeVar("T")

RECENT_STEPS = 64
SLOWEST_TIMES = 10.0
SHORTEST = 60.0


class Doing(StrEnum):
    """What a training process does, in words for people."""

    STARTING = "starting"
    JOINING = "joining the other workers"
    READING = "reading pictures"
    COMPILING = "compiling"
    WAITING = "waiting for input"
    TRAINING = "training"
    VALIDATING = "validating"
    SAVING = "saving"
    FINISHING = "exporting and testing the model"


LIMITS: Mapping[Doing, float] = {
    Doing.STARTING: 1200.0,  # importing TensorFlow from a cold disk; meeting the other workers has its own limit
    Doing.JOINING: 3000.0,  # all that the slowest worker does while it starts
    Doing.READING: 1800.0,  # from one picture, or one block of features, to the next
    Doing.COMPILING: 1800.0,
    Doing.WAITING: 1800.0,
    Doing.SAVING: math.inf,  # limited by --storage-timeout, which says better what is wrong
    Doing.FINISHING: 3600.0,
}
"""Seconds without progress; a step and a batch of validation pictures are limited by those before them."""


class Activity:
    """What this process does now. `dispatched` and `seen` are the steps begun, and those whose result is known;
    `own_seconds` is what it took of late for its part of a step, rather than waited for other workers;
    `is_asked_to_stop` tells whether a signal asked it to end."""

    def __init__(self) -> None:
        self.doing = Doing.STARTING
        self.dispatched = 0
        self.seen = 0
        self.is_asked_to_stop: Callable[[], bool] = lambda: False
        self.own_seconds: deque[float] = deque(maxlen=RECENT_STEPS)
        self._ticks = 0
        self._recent: dict[Doing, deque[float]] = {}
        self._guard = threading.Lock()

    def enter(self, doing: Doing) -> None:
        """Begin something else."""
        self.doing, self._ticks = doing, 0

    def progressed(self) -> None:
        """Show a sign of progress in what is being done."""
        self._ticks = 0

    def compile(self) -> None:
        """Begin to compile the steps of a phase; how long those of the phase before took says nothing of them."""
        with self._guard:
            self._recent.clear()
        self.enter(Doing.COMPILING)

    def finished_one(self, doing: Doing, seconds: float) -> None:
        """Note how long a step, or a batch of validation pictures, has taken."""
        self._ticks = 0
        with self._guard:
            self._recent.setdefault(doing, deque(maxlen=RECENT_STEPS)).append(seconds)

    def counted(self, items: Generator[T, None, None]) -> Generator[T, None, None]:
        """The same items; each that comes is progress."""
        with closing(items):
            for item in items:
                self._ticks = 0
                yield item

    def tick(self) -> int:
        """Count a second without progress; returns how many there are."""
        self._ticks += 1
        return self._ticks

    def limit(self, stall_timeout: str) -> float:
        """Seconds that what is being done may take without progress; infinite: as long as it likes.

        `stall_timeout` is `auto`, or the seconds for a step and for a batch of validation pictures; 0: no limits.
        """
        if stall_timeout != AUTO and not float(stall_timeout):
            return math.inf
        if self.doing not in (Doing.TRAINING, Doing.VALIDATING, Doing.COMPILING):
            return LIMITS[self.doing]
        if stall_timeout != AUTO:
            return float(stall_timeout)
        with self._guard:
            recent = self._recent.get(self.doing)
            return max(SHORTEST, SLOWEST_TIMES * max(recent)) if recent else LIMITS[Doing.COMPILING]
