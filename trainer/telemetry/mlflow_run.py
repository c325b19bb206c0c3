"""`--track`: a run as MLflow shows it, kept up to date in the background.

A thread of its own brings the MLflow run up to date with this one, from what is wanted and what the server has. So a
server that is away or slow delays nothing, what it missed is sent when it is back, and a resumed run goes on where the
MLflow run stands. Nothing that goes wrong here stops training: it is told once, and tried again.
"""

import dataclasses
import importlib.util
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trainer import track
from trainer.config import RunConfig
from trainer.exits import Exit, ExitError
from trainer.folder.attempt import Attempt
from trainer.folder.files import Record
from trainer.telemetry.writers import Writer
from trainer.track import Tracked
from trainer.training.state import LoopState

if TYPE_CHECKING:
    from trainer.telemetry.mlflow_session import Session

log = logging.getLogger(__name__)

RETRY_SECONDS = 30.0
LAST_SECONDS = {Exit.DONE: 300.0}
"""How long the end of a run waits for the server, by its code: a model may be large."""
OTHERWISE_SECONDS = 3.0
STATUS = {  # of MLflow; any other code is FAILED
    Exit.DONE: "FINISHED",
    Exit.INTERRUPTED: "KILLED",
    Exit.TERMINATED: "SCHEDULED",  # it goes on
    Exit.PEER_LOST: "SCHEDULED",
}


@dataclass(frozen=True)
class Wanted:
    """What the MLflow run should say."""

    history: Sequence[Mapping[str, Any]] = ()
    ending: Exit | None = None


def require(config: RunConfig) -> None:
    """Refuse `--track` where it cannot work, before anything has begun.

    Raises:
        ExitError: 64 when mlflow is not installed.
    """
    if config.track and importlib.util.find_spec("mlflow") is None:
        raise ExitError(
            Exit.BAD_OPTION,
            "--track mlflow: mlflow is not installed here: pip install 'catdog-trainer[mlflow]', or build the image "
            "with --build-arg VARIANT=cpu-mlflow",
        )


@contextmanager
def tracked(record: Record, attempt: Attempt, hurry: Callable[[], bool]) -> Iterator[tuple[Writer, ...]]:
    """The writer that `--track` asks for, on rank 0; at the end the MLflow run gets results and status.

    The end waits for the server no longer than until `hurry` says so.
    """
    where = track.read(record.config.track)
    if where is None or attempt.rank != 0:
        yield ()
        return
    run = MlflowRun(where, record, attempt)
    code = Exit.BUG
    try:
        yield (run,)
        code = Exit.DONE if attempt.ended is None else attempt.ended
    except ExitError as error:
        code = error.code
        raise
    finally:
        run.end(code, hurry)


class MlflowRun:
    """The thread, and what it is to bring about."""

    def __init__(self, where: Tracked, record: Record, attempt: Attempt) -> None:
        self._where, self._record, self._attempt = where, record, attempt
        self._wanted = Wanted()
        self._changed = threading.Condition()
        self._done = threading.Event()
        self._told = ""
        threading.Thread(target=self._work, name="mlflow", daemon=True).start()

    def epoch(self, state: LoopState) -> None:
        """Ask for the numbers of all epochs so far."""
        self._want(history=state.history)

    def close(self) -> None:
        """The end, with the results, is `end`."""

    def end(self, code: Exit, hurry: Callable[[], bool]) -> None:
        """Ask for status and results, and wait for them as long as `code` is worth it."""
        until = time.monotonic() + LAST_SECONDS.get(code, OTHERWISE_SECONDS)
        self._want(ending=code)
        while not self._done.wait(0.2) and time.monotonic() < until:
            if code == Exit.DONE and hurry():
                break
        if not self._done.is_set():
            log.warning("mlflow: the run's end did not get to the server in time")

    def _want(self, **changes: Any) -> None:
        with self._changed:
            self._wanted = dataclasses.replace(self._wanted, **changes)
            self._changed.notify_all()

    def _work(self) -> None:
        session: Session | None = None
        has: Wanted | None = None
        while not self._done.is_set():
            wanted = self._other_than(has)
            try:
                ending = None if wanted.ending is None else STATUS.get(wanted.ending, "FAILED")
                session = session or self._session()
                session.bring_about(wanted.history, ending, wanted.ending == Exit.DONE)
                has = wanted
                if wanted.ending is not None:
                    self._done.set()
            except Exception as error:  # noqa: BLE001 - whatever a server, or what calls itself one, answers
                self._tell(error)
                if isinstance(error, ExitError) and error.code in (Exit.RUN_REFUSED, Exit.PEER_LOST):
                    self._done.set()  # the run folder is another attempt's now, and so is the MLflow run
                self._pause(wanted)

    def _session(self) -> "Session":
        # It takes seconds, and only runs that are tracked need mlflow.
        from trainer.telemetry.mlflow_session import Session

        return Session(self._where, self._record, self._attempt)

    def _other_than(self, has: Wanted | None) -> Wanted:
        with self._changed:
            self._changed.wait_for(lambda: self._wanted is not has)
            return self._wanted

    def _pause(self, tried: Wanted) -> None:
        """Wait for the next try, which an end hastens; then it is a second, since the run waits for it."""
        with self._changed:
            if tried.ending is not None:
                self._changed.wait(1.0)
            else:
                self._changed.wait_for(lambda: self._wanted.ending is not None, RETRY_SECONDS)

    def _tell(self, error: Exception) -> None:
        words = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]
        if words != self._told:
            log.warning("mlflow: %s; training goes on, and it is tried again", words)
        self._told = words
