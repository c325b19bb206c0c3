"""Writes to the run folder in the background: one at a time; the newest of each kind replaces older ones.

Training continues while storage is unavailable, for up to `patience` seconds; failed writes are retried, also at the
end, so that what is newest is stored as soon as storage is back.
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
NICENESS = 19  # of the thread: on a CPU, steps take priority over saves

Job = Callable[[], None]


class Uploads:
    """A thread with at most one waiting job of each kind; waiting kinds run in the order of `kinds`.

    `durable` returns what is safely stored, for error messages.
    """

    def __init__(self, kinds: tuple[str, ...], patience: float, durable: Callable[[], str]) -> None:
        self._kinds = kinds
        self._patience = patience
        self._durable = durable
        self._waiting: dict[str, Job] = {}
        self._changed = threading.Condition()
        self._closing = False
        self._failing_since: dict[str, float] = {}  # of each kind, in seconds of the monotonic clock
        self._fatal: ExitError | None = None
        self._crash: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="uploads", daemon=True)
        self._thread.start()

    def submit(self, kind: str, job: Job) -> None:
        """Run `job` soon; it replaces a waiting job of the same kind."""
        with self._changed:
            self._waiting[kind] = job
            self._changed.notify_all()

    def check(self) -> None:
        """Raise the error that stopped the uploads: ExitError 74 after `patience`, 77 at once."""
        if self._fatal is not None:
            raise self._fatal
        if self._crash is not None:
            raise self._crash

    def close(self) -> None:
        """Finish waiting jobs and stop the thread: a job that fails is tried again for `patience` seconds as before,
        and after that the others once each.

        Raises:
            ExitError: 74 or 77 when something could not be written; names what is durable.
        """
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
        self.check()

    def _work(self) -> None:
        if sys.platform == "linux":  # where each thread has its own priority
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
        closing = self._closing
        try:
            job()
            self._failing_since.pop(kind, None)
        except StorageFailed as error:
            now = time.monotonic()
            since = self._failing_since.setdefault(kind, now)
            message = f"{error.message}; {self._durable()}"
            if self._fatal is not None or now - since >= self._patience:
                raise ExitError(Exit.STORAGE_FAILED, message) from error
            log.warning("writing %s failed, trying again: %s", kind, message)
            with self._changed:
                self._waiting.setdefault(kind, job)
                self._changed.wait_for(lambda: self._closing != closing, timeout=RETRY_SECONDS)
        except ExitError as error:
            raise ExitError(error.code, f"{error.message}; {self._durable()}") from error
