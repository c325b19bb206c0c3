"""Scalars for TensorBoard. TensorFlow writes a local file; the run folder gets a copy after each epoch."""

import tempfile
from pathlib import Path

import tensorflow as tf

from trainer.contract import TENSORBOARD
from trainer.storage.base import Storage
from trainer.training.state import LoopState


class TensorBoard:
    """Event files of this attempt, kept in a temporary folder until they are copied."""

    def __init__(self, run: Storage) -> None:
        self._run = run
        self._folder = tempfile.TemporaryDirectory(prefix="catdog-tensorboard-")
        self._writer = tf.summary.create_file_writer(self._folder.name)

    def epoch(self, state: LoopState) -> None:
        """Record the last row of the history."""
        row = state.history[-1]
        with self._writer.as_default(step=row["epoch"]):
            for split in ("train", "valid"):
                for name, value in row[split].items():
                    tf.summary.scalar(f"{name}/{split}", value)
            tf.summary.scalar("learning_rate", row["learning_rate"])
            tf.summary.scalar("examples_per_second", row["examples_per_second"])
        self._writer.flush()

    def copy(self) -> None:
        """Bring the run folder's tensorboard/ up to date."""
        for path in Path(self._folder.name).iterdir():
            self._run.write(f"{TENSORBOARD}/{path.name}", path)

    def close(self) -> None:
        """Remove the temporary folder; what was copied stays."""
        self._writer.close()
        self._folder.cleanup()
