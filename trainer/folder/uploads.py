"""Writes to the run folder in the background: one at a time, of each kind the newest wins.

Training goes on while storage is away, for as long as `patience`; what could not be written is tried again, and once
more at the end.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Callable

from trainer.exits import Exit, ExitError
from trainer.storage.errors import StorageFailed

log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
NICENESS = 19  # of the thread: on a CPU, steps go first, and a save takes as long as it takes

Job = Callable[[], None]


class Uploads:
    """A thread with room for one waiting job of each kind; of several kinds, the first of `kinds` goes first.

    `durable` says, for the message of a failure, what is safe.
    """

    def __init__(self, kinds: tuple[str, ...], patience: float, durable: Callable[[], str]) -> None:
        self._kinds = kinds
        self._patience = patience
        self._durable = durable
        self._waiting: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._failing_since: float | None = None
        self._fatal: ExitError | None = None
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._thread.start()

    def submit(self, kind: str, job: Job) -> None:
        """Run `job` soon; it takes the place of one of the same kind that has not begun."""
        with self._changed:
            self._waiting[kind] = job
            self._changed.notify_all()

    def check(self) -> None:
        """Raise what has stopped the uploads for good: ExitError 74 after `patience`, 77 at once."""
        if self._fatal is not None:
            raise self._fatal
        if self._crash is not None:
            raise self._crash

    def close(self) -> None:
        """Finish what waits, each job tried at least once more, and end the thread.

        Raises:
            ExitError: 74 or 77 when something could not be written; names what is durable.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self.check()

    def _work(self) -> None:
        if sys.platform == "linux":  # where a thread has a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        try:
            while (taken := self._next()) is not None:
                try:
                    self._run(*taken)
                except ExitError as error:
                    self._fatal = self._fatal or error
                    if not self._closing:
                        return
        except BaseException as error:  # noqa: BLE001 - a bug in a job: raised on the loop's thread by check()
            self._crash = error

    def _next(self) -> tuple[str, Job] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            if not self._waiting:
                return None
            kind = min(self._waiting, key=self._kinds.index)
            return kind, self._waiting.pop(kind)

    def _run(self, kind: str, job: Job) -> None:
        try:
            job()
            self._failing_since = None
        except StorageFailed as error:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            message = f"{error.message}; {self._durable()}"
            if self._closing or now - self._failing_since >= self._patience:
                raise ExitError(Exit.STORAGE_FAILED, message) from error
            log.warning("writing %s failed, trying again: %s", kind, message)
            with self._changed:
                self._waiting.setdefault(kind, job)
                self._changed.wait_for(lambda: self._closing, timeout=RETRY_SECONDS)
        except ExitError as error:
            raise ExitError(error.code, f"{error.message}; {self._durable()}") from error
