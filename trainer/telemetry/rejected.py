"""Pictures that cannot be used, told as they are found."""

import json
import logging
from collections.abc import Mapping

from trainer.contract import REJECTED
from trainer.data.load import SHOWN, Checked, listed, write_rejected
from trainer.exits import ExitError
from trainer.folder.attempt import Attempt
from trainer.telemetry.metrics import Metrics
from trainer.training.agreement import told_by_all
from trainer.training.state import LoopState
from trainer.training.strategy import Distribution

log = logging.getLogger(__name__)


class RejectedPictures:
    """Those that cannot be used: in the log and the metrics as this worker finds them, in rejected.json on rank 0.

    New ones are found at any time, by the rank that reads them.
    """

    def __init__(self, splits: Mapping[str, Checked], attempt: Attempt, metrics: Metrics) -> None:
        self._splits, self._attempt, self._metrics = splits, attempt, metrics
        self._known: dict[str, set[str]] = {}
        self._others: dict[str, list[dict[str, str]]] = {}
        self._new = 0
        self._show(told=True)

    def share(self, distribution: Distribution) -> None:
        """Tell every rank of those that this one found, and learn of theirs; waits for all ranks.

        Raises:
            ExitError: 75 when a peer is lost meanwhile.
        """
        mine = {name: listed({name: split}) for name, split in self._splits.items()}
        told = [json.loads(text) for text in told_by_all(distribution, json.dumps(mine))]
        for name, own in mine.items():
            paths = {one["path"] for one in own}
            found = {one["path"]: one for by_split in told for one in by_split.get(name, [])}
            self._others[name] = [one for path, one in found.items() if path not in paths]

    def number(self, name: str) -> int:
        """How many of a split cannot be used, as far as this rank knows, and all that were shared."""
        own = {one.path for one in self._splits[name].rejected}
        return len(own | {one["path"] for one in self._others.get(name, [])})

    def epoch(self, _state: LoopState) -> None:
        """Tell those that are new since the epoch before."""
        self._show()

    def close(self) -> None:
        """Tell the last ones, and list all."""
        others = [one for found in self._others.values() for one in found]
        new = self._show() or others
        if not new or self._attempt.rank:
            return
        try:
            write_rejected(self._attempt, self._attempt.run, [*listed(self._splits), *others])
        except ExitError as error:  # what ended the loop is told, and matters more
            log.warning("%s could not be written: %s", REJECTED, error.message)

    def evaluated(self, name: str, share: float) -> None:
        """Tell of a split that was read after training; then too many end nothing any more."""
        self.close()
        split = self._splits[name]
        if len(split.rejected) > share * split.pictures:
            told = f"{len(split.rejected)} of {split.pictures} pictures of {name} cannot be used"
            log.warning("%s, more than %.1f %%: what is told of %s is of the others", told, 100 * share, name)

    def _show(self, told: bool = False) -> bool:
        """Whether there are new ones since the beginning."""
        for name, split in self._splits.items():
            rejected, known = split.rejected, self._known.setdefault(name, set())
            new = [one for one in rejected if one.path not in known]
            known |= {one.path for one in new}
            self._metrics.show_rejected(name, len(rejected), [one.reason for one in new])
            self._new += 0 if told else len(new)
            for one in [] if told else new[:SHOWN]:
                log.warning("rejected %s: %s", one.path, one.reason)
            if not told and len(new) > SHOWN:
                log.warning("… and %d more of %s", len(new) - SHOWN, name)
        return self._new > 0
