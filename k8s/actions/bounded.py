"""Calls that may hang, side by side, with one bound in time for all of them together."""

import queue
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class Bounded(Generic[K, T]):
    """Runs calls on threads; what has not returned after `seconds` in all is left behind.

    The threads are daemons, so that a call that hangs does not keep the process from exiting.
    """

    def __init__(self, seconds: float, threads: int) -> None:
        self._deadline = time.monotonic() + seconds
        self._limit = threads
        self._threads = 0
        self._asked: queue.SimpleQueue[tuple[K, Callable[[], T]]] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[K, T | None, BaseException | None]] = queue.SimpleQueue()
        self._open: set[K] = set()

    def start(self, key: K, call: Callable[[], T]) -> None:
        """Make one more call; its result is told with this key."""
        self._open.add(key)
        self._asked.put((key, call))
        if self._threads < self._limit:
            self._threads += 1
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            key, call = self._asked.get()
            try:
                self._answers.put((key, call(), None))
            except BaseException as error:  # noqa: BLE001 - raised where the results are taken
                self._answers.put((key, None, error))

    def results(self) -> Iterator[tuple[K, T]]:
        """The results as they come, until all are there or the time is up; more calls may be started meanwhile.

        Raises:
            BaseException: what a call raised.
        """
        while self._open and (left := self._deadline - time.monotonic()) > 0:
            try:
                key, result, error = self._answers.get(timeout=left)
            except queue.Empty:
                return
            self._open.discard(key)
            if error is not None:
                raise error
            yield key, result  # type: ignore[misc]  # without an error there is a result

    @property
    def late(self) -> set[K]:
        """The calls without a result so far."""
        return set(self._open)
