"""What gets the numbers of each epoch: files in the run folder, and services beside it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from trainer.folder import files
from trainer.folder.attempt import Attempt
from trainer.training.state import LoopState

Submit = Callable[[str, Callable[[], None]], None]
"""Run a job of a kind soon, in the background (`trainer.folder.uploads.Uploads.submit`)."""


class Writer(Protocol):
    """Gets each epoch on the loop's thread, and must not wait there for a disk, storage or a server."""

    def epoch(self, state: LoopState) -> None:
        """Take the last row of the history; after a restart or a rollback the history is another one."""

    def close(self) -> None:
        """The loop has ended, in whatever way; what was submitted before may still be on its way."""


class JsonLines:
    """metrics.jsonl in the run folder."""

    def __init__(self, attempt: Attempt, submit: Submit) -> None:
        self._attempt, self._submit = attempt, submit

    def epoch(self, state: LoopState) -> None:
        """Write the whole history: it may have gone back."""
        self._submit("metrics", lambda: files.write_metrics(self._attempt, state.history))

    def close(self) -> None:
        """Nothing is open."""


def scalars(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers of a row of metrics.jsonl, by the names under which TensorBoard and MLflow show them."""
    for split in ("train", "valid"):
        for name, value in row[split].items():
            yield f"{name}/{split}", float(value)
    for name in ("learning_rate", "examples_per_second"):
        yield name, float(row[name])
