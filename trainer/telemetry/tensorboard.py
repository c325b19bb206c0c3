"""Scalars for TensorBoard. TensorFlow writes a local file; the run folder gets a copy after each epoch."""

import logging
from contextlib import ExitStack, suppress

import tensorflow as tf

from trainer.contract import TENSORBOARD
from trainer.process import temporary
from trainer.storage.base import Storage
from trainer.telemetry.writers import Submit, scalars
from trainer.training.state import LoopState

log = logging.getLogger(__name__)


class TensorBoard:
    """Event files of this attempt, kept in a temporary folder until they are copied.

    If they cannot be written any more, this logs one warning, and training goes on without them.

    Raises:
        ExitError: 74 when there is no room for the folder at the start.
    """

    def __init__(self, run: Storage, submit: Submit) -> None:
        self._run, self._submit, self._open, self._writing = run, submit, ExitStack(), True
        self._folder = self._open.enter_context(temporary.folder("catdog-tensorboard-"))
        with temporary.explained("no scalars for TensorBoard can be written there"):
            self._writer = tf.summary.create_file_writer(str(self._folder))

    def epoch(self, state: LoopState) -> None:
        """Record the last row of the history; the run folder gets it soon."""
        self._record(state)
        self._submit("tensorboard", self.copy)

    def _record(self, state: LoopState) -> None:
        if not self._writing:
            return
        row = state.history[-1]
        try:
            with self._writer.as_default(step=row["epoch"]):
                for name, value in scalars(row):
                    tf.summary.scalar(name, value)
            self._writer.flush()
        except (OSError, tf.errors.OpError) as error:
            self._writing = False
            why = str(error).splitlines()[0]
            log.warning("%s: no more scalars for TensorBoard from epoch %d on: %s", self._folder, row["epoch"], why)

    def copy(self) -> None:
        """Bring the run folder's tensorboard/ up to date."""
        for path in self._folder.iterdir():
            self._run.write(f"{TENSORBOARD}/{path.name}", path)

    def close(self) -> None:
        """Remove the temporary folder; what was copied stays."""
        with suppress(OSError, tf.errors.OpError):  # as in `epoch`, which has told it
            self._writer.close()
        self._open.close()
