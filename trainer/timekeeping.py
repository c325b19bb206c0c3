"""The ledger of a run while this process goes on with it."""

import threading

from trainer.ledger import Ledger, by_category, lost_since, passed
from trainer.process.activity import Activity, Doing


class Timekeeper:
    """Adds what a process does, its `activity`, to the ledger that it found. `now` can be called from any thread."""

    def __init__(self, activity: Activity, found: Ledger) -> None:
        self.activity, self._ledger = activity, found
        self._added: dict[Doing, float] = {}  # what of the activity's seconds is in the ledger already
        self._guard = threading.Lock()

    def now(self) -> Ledger:
        """The ledger up to this moment."""
        with self._guard:
            return self._now(self.activity.seconds())

    def lose(self, kept: Ledger, steps: int) -> None:
        """Note that what came after the checkpoint with the ledger `kept` is done again, `steps` among it."""
        with self._guard:
            seconds = self.activity.seconds()
            self._ledger = lost_since(self._now(seconds), kept, steps)
            self._added = seconds

    def _now(self, seconds: dict[Doing, float]) -> Ledger:
        new = {doing: value - self._added.get(doing, 0.0) for doing, value in seconds.items()}
        return passed(self._ledger, by_category(new))
