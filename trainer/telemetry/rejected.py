"""Pictures that cannot be used, told as they are found."""

import logging
from collections.abc import Mapping

from trainer.contract import REJECTED
from trainer.data.load import SHOWN, Checked, listed
from trainer.exits import ExitError
from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.telemetry.metrics import Metrics
from trainer.training.state import LoopState

log = logging.getLogger(__name__)


class RejectedPictures:
    """Those that cannot be used: in the log and the metrics as this worker finds them, in rejected.json on rank 0.

    Pictures that were decoded before training are known by then; of a stream, new ones are found at any time.
    """

    def __init__(self, splits: Mapping[str, Checked], attempt: Attempt, metrics: Metrics) -> None:
        self._splits, self._attempt, self._metrics = splits, attempt, metrics
        self._known: dict[str, set[str]] = {}
        self._new = 0
        self._show(told=True)

    def epoch(self, _state: LoopState) -> None:
        """Tell those that are new since the epoch before."""
        self._show()

    def close(self) -> None:
        """Tell the last ones, and list all."""
        if not self._show() or self._attempt.rank:
            return
        try:
            files.write_json(self._attempt, REJECTED, listed(self._splits))
        except ExitError as error:  # what ended the loop is told, and matters more
            log.warning("%s could not be written: %s", REJECTED, error.message)

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
