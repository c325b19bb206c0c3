"""What this process is doing, and how long it may do that without a sign of progress.

Written by the thread that trains; read by the watchdog, by the line to the other workers, and by whoever asks whether
the process is alive. Seconds are counted in ticks of the watchdog's own: a process that was stopped, or a machine that
was suspended, finds one late tick on waking and not the hours that a clock has gone on.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from trainer.fields import AUTO
from trainer.process.container import age

T = TypeVar("T")

RECENT_STEPS = 64
SLOWEST_TIMES = 10.0
SHORTEST = 60.0


class Doing(StrEnum):
    """What a training process does, in words for people."""

    STARTING = "starting"
    LISTING = "listing the data"
    MEETING = "waiting for the other workers"
    RESTORING = "restoring a checkpoint"
    IMPORTING = "importing TensorFlow"
    JOINING = "joining the other workers"
    READING = "reading pictures"
    BUILDING = "building the network"
    COMPILING = "compiling"
    WAITING = "waiting for input"
    TRAINING = "training"
    VALIDATING = "validating"
    COPYING = "copying weights for a checkpoint"
    SAVING = "saving"
    TESTING = "testing the model"
    EXPORTING = "exporting the model"
    DRAWING = "drawing figures"
    REPORTING = "writing the report"
    FINISHING = "finishing"


BEFORE_JOINING = (Doing.STARTING, Doing.LISTING, Doing.MEETING, Doing.RESTORING, Doing.IMPORTING)

LIMITS: Mapping[Doing, float] = {
    Doing.STARTING: 1200.0,
    Doing.LISTING: 1200.0,
    Doing.MEETING: math.inf,  # limited by --rendezvous-timeout
    Doing.RESTORING: 1800.0,
    Doing.IMPORTING: 1200.0,  # from a cold disk
    Doing.JOINING: 3000.0,  # all that the slowest worker does while it starts
    Doing.READING: 1800.0,  # from one picture, or one block of features, to the next
    Doing.BUILDING: 1200.0,
    Doing.COMPILING: 1800.0,
    Doing.WAITING: 1800.0,
    Doing.COPYING: 1800.0,
    Doing.SAVING: math.inf,  # limited by --storage-timeout, which says better what is wrong
    Doing.TESTING: 3600.0,
    Doing.EXPORTING: 3600.0,
    Doing.DRAWING: 3600.0,
    Doing.REPORTING: 3600.0,
    Doing.FINISHING: 3600.0,
}
"""Seconds without progress; a step and a batch of validation pictures are limited by those before them."""


@dataclass(frozen=True)
class Stage:
    """Something that this process did: for how many seconds in all, and the most bytes of memory that it was seen to
    hold meanwhile; None where that was not watched."""

    doing: str
    seconds: float
    peak_bytes: int | None


BEFORE = "starting Python"
"""The stage before an Activity begins."""


class Activity:
    """What this process does now. `dispatched` and `seen` are the steps begun, and those whose result is known;
    `own_seconds` is what it took of late for its part of a step, rather than waited for other workers;
    `is_asked_to_stop` tells whether a signal asked it to end; `began` is the Unix time from which `seconds` count."""

    def __init__(self) -> None:
        self.doing = Doing.STARTING
        self.began = time.time()
        self._since = time.monotonic()
        self._before = age()
        self._spent: dict[Doing, float] = {}
        self._held: dict[Doing, int] = {}
        self._compiled: set[Doing] = set()
        self.dispatched = 0
        self.seen = 0
        self.is_asked_to_stop: Callable[[], bool] = lambda: False
        self.own_seconds: deque[float] = deque(maxlen=RECENT_STEPS)
        self._ticks = 0
        self._recent: dict[Doing, deque[float]] = {}
        self._guard = threading.Lock()

    def enter(self, doing: Doing) -> None:
        """Begin something else."""
        now = time.monotonic()
        with self._guard:
            self._spent[self.doing] = self._spent.get(self.doing, 0.0) + now - self._since
            self.doing, self._since = doing, now
        self._ticks = 0

    @contextmanager
    def during(self, doing: Doing) -> Iterator[None]:
        """Do something else inside the block."""
        before = self.doing
        self.enter(doing)
        try:
            yield
        finally:
            self.enter(before)

    def seconds(self) -> dict[Doing, float]:
        """How long each was done so far, what is done now included; together since `began`."""
        with self._guard:
            spent = dict(self._spent)
            spent[self.doing] = spent.get(self.doing, 0.0) + time.monotonic() - self._since
        return spent

    def hold(self, doing: Doing, memory: int) -> None:
        """Note that this process was seen to hold so many bytes while it did that."""
        self._held[doing] = max(memory, self._held.get(doing, 0))

    def stages(self) -> tuple[Stage, ...]:
        """All that this process did since it was started, by what it first was done with."""
        before = () if self._before is None else (Stage(BEFORE, self._before, None),)
        done = (Stage(str(doing), spent, self._held.get(doing)) for doing, spent in self.seconds().items())
        return (*before, *done)

    def progressed(self) -> None:
        """Show a sign of progress in what is being done."""
        self._ticks = 0

    def compile(self) -> None:
        """Begin to compile the steps of a phase; how long those of the phase before took says nothing of them."""
        with self._guard:
            self._recent.clear()
        self._compiled.clear()
        self.enter(Doing.COMPILING)

    def begin(self, doing: Doing) -> None:
        """Begin what compiles the first time after `compile`; `compiled` says when that is over."""
        self.enter(doing if doing in self._compiled else Doing.COMPILING)

    def compiled(self, doing: Doing) -> None:
        """Go on with what was begun, which is compiled by now."""
        if doing not in self._compiled:
            self._compiled.add(doing)
            self.enter(doing)

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
