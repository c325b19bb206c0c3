"""The run folder in the hands of the attempt that has its lease.

A write that we gave up for lost may still be stored, later and more than once, and a process may be stopped for minutes
between looking and writing. So a file that is replaced is written over the generation that we last saw. If it has
another one, we look at that, then at the lease, and only then write again: whoever takes the folder over later replaces
what we looked at, and our write fails again. docs/architecture.md, "Late writes".
"""

import logging
import threading
from collections.abc import Callable

from trainer.contract import LEASE
from trainer.folder import lease as leases
from trainer.folder.lease import TRIES, Lease, Lost
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import PreconditionFailed, StorageFailed

log = logging.getLogger(__name__)


def again_if_late(write: Callable[[], None]) -> None:
    """Call `write` again where an earlier write of ours, given up for lost and stored meanwhile, has made it fail.

    `write` confirms the lease after it has looked at what it replaces. Raises PreconditionFailed if others write all
    the time.
    """
    for _ in range(TRIES - 1):
        try:
            return write()
        except PreconditionFailed as error:
            log.info("writing again: %s", error.message)
    return write()


def _never() -> bool:
    return False


class Held:
    """A run folder and the lease on it. Safe to use from many threads, each writing files of its own."""

    def __init__(self, run: Storage, lease: Lease) -> None:
        self.holder = lease.holder
        self._run = run
        self._lease: Lease | None = lease
        self._lost: Lost | None = None
        self._guard = threading.Lock()
        self._seen: dict[str, str] = {}  # name → generation

    @property
    def lost(self) -> Lost | None:
        """The error to stop with, once another attempt is known to have the folder."""
        return self._lost

    def renew(self) -> None:
        """Record that this process is alive. Raises Lost."""
        self._with_lease(leases.renew)

    def confirm(self) -> None:
        """Check that the folder is ours, before anything in it is replaced or deleted. Raises Lost."""
        self._with_lease(leases.confirm)

    def release(self) -> None:
        """Let the folder go, unless another attempt has it."""
        with self._guard:
            if self._lease is not None:
                leases.release(self._run, self._lease)
                self._lease = None

    def write(self, name: str, data: bytes, spare: Callable[[], bool] = _never) -> Stat | None:
        """Write a file that only the folder's holder replaces; None where another writer's is spared.

        `spare` is asked about a file that is not as we wrote it.

        Raises:
            Lost: another attempt has the folder.
            StorageFailed: it could not be written, or is written by others all the time.
        """
        for _ in range(TRIES):
            try:
                if name not in self._seen:
                    seen = self._run.stat(name)
                    self.confirm()
                    if spare():
                        return None
                    self._seen[name] = seen.generation if seen else ""
                stat = self._run.write(name, data, if_generation=self._seen[name])
            except PreconditionFailed:
                self._seen.pop(name, None)
            else:
                self._seen[name] = stat.generation
                return stat
        raise StorageFailed(f"{self._run.uri}/{name}: another process writes it all the time")

    def _with_lease(self, action: Callable[[Storage, Lease], Lease]) -> None:
        with self._guard:
            if self._lost is not None:
                raise self._lost
            if self._lease is None:
                raise StorageFailed(f"{self._run.uri}/{LEASE} was released")
            try:
                self._lease = action(self._run, self._lease)
            except Lost as error:
                self._lost, self._lease = error, None
                raise
