"""SIGTERM, SIGINT and SIGHUP as a value the loop reads, handled on a thread of its own.

Python runs signal handlers between bytecodes of the main thread, which can be in a C++ op for seconds, or forever in a
collective whose peer is dead. The C-level handler writes the signal's number to a pipe at once
(signal.set_wakeup_fd); the thread here reads it. Install before TensorFlow is imported, since importing takes seconds
and PID 1 ignores a SIGTERM that has no handler.
"""

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType

from trainer.exits import Exit

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_SIGINT_WEIGHT = 1024.0  # more than a gang has workers, and exact in a float32 sum


class StopRequest:
    """Whether this process was asked to stop, and by which signal. Read by the loop, written by the signal thread."""

    def __init__(self) -> None:
        self.signal: int | None = None
        self.came = threading.Event()
        self.on_give_up: Callable[[Exit], None] = os._exit  # must not return

    @property
    def requested(self) -> bool:
        """Whether a signal was received."""
        return self.signal is not None

    @property
    def weight(self) -> float:
        """What this worker adds to a step's sum of stop requests, from which `stop_code` gets the exit code."""
        return 0.0 if self.signal is None else _SIGINT_WEIGHT if self.signal == signal.SIGINT else 1.0

    @property
    def exit_code(self) -> Exit:
        """130 after SIGINT, else 143."""
        return Exit.INTERRUPTED if self.signal == signal.SIGINT else Exit.TERMINATED


def stop_code(weights: float) -> Exit:
    """The exit code of all ranks after a step whose stop requests add up to `weights` > 0; a person's SIGINT wins."""
    return Exit.INTERRUPTED if weights >= _SIGINT_WEIGHT else Exit.TERMINATED


def handle(handler: Callable[[int, FrameType | None], object]) -> None:
    """Install a handler for every stop signal, in the main thread; a SIGHUP that nohup has us ignore stays ignored."""
    for number in STOP_SIGNALS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def install(grace_period: float) -> StopRequest:
    """Handle the stop signals from now on; call once, in the main thread.

    The first signal sets the request. `on_give_up(code)` is called, on another thread, when a second signal comes, or
    when half of `grace_period` (seconds) has passed and the process is still running. SIGHUP is not counted as one of
    two: a terminal that closes sends it several times, and then whoever ends the session sends SIGTERM.
    """
    stop = StopRequest()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    take_back()
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader, stop, grace_period / 2), name="signals", daemon=True).start()
    return stop


def take_back() -> None:
    """Install our signal handlers, in the main thread; call it again after a multi-worker strategy is created.

    TensorFlow's coordination service then installs its own SIGTERM handler, which only notifies its preemption service:
    a worker would not notice that it is asked to stop.
    """
    handle(lambda *_: None)


def _watch(reader: int, stop: StopRequest, patience: float) -> None:
    while True:
        for number in os.read(reader, 64):
            if number not in STOP_SIGNALS:
                continue
            if stop.requested and number == signal.SIGHUP:
                continue
            if stop.requested and stop.signal != signal.SIGHUP:
                stop.on_give_up(stop.exit_code)
            stop.signal = number
            stop.came.set()
            grace = threading.Timer(patience, lambda: stop.on_give_up(stop.exit_code))
            grace.daemon = True
            grace.start()
