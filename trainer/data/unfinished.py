"""A mark in a data set that an import has begun and not finished, so that nobody trains on the part that is there."""

import threading
from collections.abc import Container

from trainer.exits import Exit, ExitError
from trainer.storage.base import Storage

UNFINISHED = ".catdog-import"
"""The object that is the mark; its name makes it litter to everything else."""


class Unfinished:
    """The mark of one import. Safe to use from many threads; `there`: what the target holds before it."""

    def __init__(self, target: Storage, there: Container[str]) -> None:
        self._target, self._marked = target, UNFINISHED in there
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Set the mark, before the first picture is stored; again, it does nothing."""
        with self._lock:
            if not self._marked:
                self._target.write(UNFINISHED, b"An import into this place has not finished; repeat it.\n")
                self._marked = True

    def end(self) -> None:
        """Remove the mark; the data set is whole."""
        if self._marked:
            self._target.delete(UNFINISHED)


def require_finished(uri: str, there: Container[str]) -> None:
    """Refuse a data set that holds the mark.

    Raises:
        ExitError: 65.
    """
    if UNFINISHED in there:
        raise ExitError(
            Exit.BAD_DATA, f"{uri}: an import into this place was interrupted or refused; repeat `catdog data import`"
        )
