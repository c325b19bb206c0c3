"""Watches how much memory this process holds while it does each thing.

The kernel keeps the most that a process ever held, but resetting that would also lower what `time -v` and whoever
started the process are told. So memory is looked at ten times a second; where its all-time peak has risen since the
last look, the peak is exact, and belongs to what was being done then.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from trainer.process.activity import Activity
from trainer.process.container import peak_memory, resident_memory

EVERY_SECONDS = 0.1


@contextmanager
def watched(activity: Activity, every: float = EVERY_SECONDS) -> Iterator[None]:
    """Tell `activity` what this process holds, until the block is left; nothing where the system does not say."""
    left = threading.Event()
    thread = threading.Thread(target=_watch, args=(activity, every, left), name="footprint", daemon=True)
    thread.start()
    try:
        yield
    finally:
        left.set()
        thread.join()


def _watch(activity: Activity, every: float, left: threading.Event) -> None:
    highest, doing = 0, activity.doing
    while True:
        peak, now, before, doing = peak_memory(), resident_memory(), doing, activity.doing
        if not peak:
            return
        activity.hold(doing, now)
        if peak > highest:
            activity.hold(before, peak)
            highest = peak
        if left.wait(every):
            return
