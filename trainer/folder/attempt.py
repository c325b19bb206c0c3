"""One attempt at a run, on one rank: keeps state.json and the lease up to date, and records how it ended.

The cause is always in state.json and in the termination message before the process waits or exits.
"""

import dataclasses
import logging
import os
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from trainer.contract import ENV_TERMINATION_LOG, TERMINATION_LOG, State
from trainer.exits import MEANING, Exit, ExitError
from trainer.folder import lease as leases
from trainer.folder.files import RunState, read_state, write_state
from trainer.folder.lease import Lease
from trainer.storage.base import Storage

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
LAST_WORDS_SECONDS = 10.0

_ENDINGS = {Exit.DONE: State.SUCCEEDED, Exit.TERMINATED: State.PREEMPTED, Exit.INTERRUPTED: State.CANCELLED}


def write_termination_message(text: str) -> None:
    """Write the reason where Kubernetes reads it (`terminationMessagePath`), if there is such a file."""
    path = Path(os.environ.get(ENV_TERMINATION_LOG, TERMINATION_LOG))
    if path.exists() and os.access(path, os.W_OK):
        path.write_text(text[:4096])


class Attempt:
    """Owns the run folder while the process lives. Only rank 0 writes to it, except for a failure's cause."""

    def __init__(self, run: Storage, rank: int, lease: Lease | None, state: RunState) -> None:
        self.run = run
        self.rank = rank
        self._lease = lease
        self._state = state
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._lost: ExitError | None = None
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Attempt":
        if self.rank == 0:
            with self._guard:
                write_state(self.run, self._state)
            self._thread.start()
        return self

    @property
    def state(self) -> RunState:
        """What the next heartbeat writes."""
        return self._state

    def update(self, **changes: Any) -> None:
        """Change what the next heartbeat writes."""
        self._state = dataclasses.replace(self._state, **changes)

    def check(self) -> None:
        """Raise ExitError 73 when another attempt has taken over the run folder."""
        if self._lost is not None:
            raise self._lost

    def confirm(self) -> None:
        """Check that the run folder is still ours, before anything in it is replaced or deleted.

        Raises:
            ExitError: 73 when another attempt has taken it over.
        """
        self.check()
        with self._guard:
            if self._lease is not None and not leases.holds(self.run, self._lease):
                self._lost, self._lease = leases.taken_over(self.run), None
        self.check()

    def end(self, code: Exit, reason: str) -> None:
        """Write the final state and release the run folder."""
        self._closed.set()
        write_termination_message(f"{int(code)} {MEANING.get(code, code.name)}: {reason}" if code else "done")
        with self._guard:
            if self._may_tell(code):
                ending = _ENDINGS.get(code, State.FAILED)
                write_state(
                    self.run,
                    dataclasses.replace(self._state, state=ending, reason=reason, exit_code=int(code), rank=self.rank),
                )
            if self._lease is not None:
                leases.release(self.run, self._lease)
                self._lease = None

    def is_recorded(self) -> bool:
        """Whether state.json says that the run has ended without a failure."""
        told = read_state(self.run)
        return told is not None and told.state in _ENDINGS.values()

    def _may_tell(self, code: Exit) -> bool:
        """Whether this rank's ending is the run's: not if it lost the folder, or a peer that has recorded its own."""
        if self._lost is not None:
            return False
        if self.rank == 0 and code != Exit.PEER_LOST:
            return True
        told = read_state(self.run)
        if self.rank == 0:
            return told is None or told.state != State.FAILED or told.rank == 0
        if told is not None:
            self._state = told
        return code not in _ENDINGS and code != Exit.PEER_LOST

    def give_up(self, code: Exit) -> NoReturn:
        """Exit at once after a signal to which no step responded."""
        self.die(code, "no step finished in time after the signal")

    def die(self, code: Exit, reason: str) -> NoReturn:
        """Exit at once, from any thread; try for a few seconds to write the final state."""
        try:
            self._last_words(code, reason)
            print(f"catdog: {reason}", file=sys.stderr, flush=True)
        finally:  # even if something above fails, such as a closed standard error
            os._exit(int(code))

    def _last_words(self, code: Exit, reason: str) -> None:
        """Write the final state, but wait only a few seconds for storage, which might be what failed."""
        words = threading.Thread(target=self._try_end, args=(code, reason), daemon=True)
        words.start()
        words.join(LAST_WORDS_SECONDS)

    def _try_end(self, code: Exit, reason: str) -> None:
        try:
            self.end(code, reason)
        except ExitError as error:
            log.error("could not write the final state: %s", error.message)

    def _beat(self) -> None:
        while not self._closed.wait(HEARTBEAT_SECONDS):
            try:
                with self._guard:
                    if self._closed.is_set():
                        return
                    if self._lease is not None:
                        self._lease = leases.renew(self.run, self._lease)
                    write_state(self.run, self._state)
            except ExitError as error:
                if error.code == Exit.RUN_REFUSED:
                    self._lost, self._lease = error, None
                    return
                log.warning("heartbeat: %s", error.message)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._closed.is_set():
            return
        if isinstance(error, ExitError):
            self._last_words(error.code, error.message)
        elif error is not None:
            self._last_words(Exit.BUG, f"{type(error).__name__}: {error}".split("\n")[0])
