"""How much memory this process holds: watched while it does each thing, and kept small.

The kernel keeps the most that a process ever held, but resetting that would also lower what `time -v` and whoever
started the process are told. So memory is looked at ten times a second; where its all-time peak has risen since the
last look, the peak is exact, and belongs to what was being done then.
"""

import ctypes
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from trainer.process.activity import Activity
from trainer.process.container import peak_memory, resident_memory

EVERY_SECONDS = 0.1

_ARENA_MAX, _MMAP_THRESHOLD, _TRIM_THRESHOLD = -8, -3, -1
"""What mallopt(3) calls them."""


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


def keep_small() -> None:
    """Make the C library's allocator keep less that is free: two arenas, however many threads there are, and blocks of
    256 KiB and more on their own. TensorFlow has its own for tensors, so steps ask this one for little."""
    for option, value in ((_ARENA_MAX, 2), (_MMAP_THRESHOLD, 256 << 10), (_TRIM_THRESHOLD, 1 << 20)):
        with suppress(AttributeError, OSError):  # another C library
            ctypes.CDLL(None).mallopt(option, value)


def give_back() -> None:
    """Return to the system what this process no longer needs: graphs in cycles, and free memory amid what is used."""
    gc.collect()
    with suppress(AttributeError, OSError):  # a C library without it keeps that memory
        ctypes.CDLL(None).malloc_trim(0)
