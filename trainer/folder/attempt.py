"""One attempt at a run, on one rank: keeps state.json and the lease up to date, and records how it ended.

The cause is always in state.json and in the termination message before the process waits or exits.
"""

import dataclasses
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

from trainer.contract import ENV_TERMINATION_LOG, STATE, TERMINATION_LOG, State
from trainer.exits import MEANING, Exit, ExitError
from trainer.folder.files import RunState, encoded_state, read_state, write_state
from trainer.folder.held import Held
from trainer.folder.lease import TRIES, Lease, Lost
from trainer.storage.base import Stat, Storage
from trainer.storage.errors import PreconditionFailed
from trainer.words import in_a_line

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10.0
LAST_WORDS_SECONDS = 10.0
NOTICED_WITHIN = 5.0
"""Seconds that a thread which trains takes to notice that a collective has failed, if it does."""

ENDINGS = {Exit.DONE: State.SUCCEEDED, Exit.TERMINATED: State.PREEMPTED, Exit.INTERRUPTED: State.CANCELLED}


def write_termination_message(text: str) -> None:
    """Write the reason where Kubernetes reads it (`terminationMessagePath`), if there is such a file."""
    path = Path(os.environ.get(ENV_TERMINATION_LOG, TERMINATION_LOG))
    if path.exists() and os.access(path, os.W_OK):
        with suppress(OSError):  # such as a full disk of the node: the message is no reason to fail
            path.write_text(in_a_line(text)[:4096], "utf-8", "backslashreplace")


def leave(code: Exit, reason: str, wait: float = 0.0) -> NoReturn:
    """Say why, and exit after `wait` seconds, from any thread."""
    try:
        write_termination_message(f"{int(code)} {MEANING.get(code, code.name)}: {reason}")
        print(f"catdog: {reason}", file=sys.stderr, flush=True)
        time.sleep(wait)
    finally:  # even if something above fails, such as a closed standard error
        os._exit(int(code))


def _nothing_told() -> Mapping[str, Any]:
    return {"lost": (), "lost_since": "", "lost_silent": False}


class Attempt:
    """Owns the run folder while the process lives. Only rank 0 writes to it, except for a failure's cause."""

    def __init__(self, run: Storage, rank: int, lease: Lease | None, state: RunState, saved_step: int = 0) -> None:
        self.run = run
        self.rank = rank
        self._held = None if lease is None else Held(run, lease)
        self._state = state
        self._guard = threading.Lock()
        self._closed = threading.Event()
        self._ended: Exit | None = None  # the code with which the final state was written
        # What is known of the workers, as fields of the state; each heartbeat asks.
        self.told: Callable[[], Mapping[str, Any]] = _nothing_told
        # The same of how training goes; asked at the end too.
        self.progress: Callable[[], Mapping[str, Any]] = dict
        self.saved_step = saved_step  # of the last durable checkpoint
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> "Attempt":
        if self.rank == 0:
            with self._guard:
                write_state(self, self._state)
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
        """Raise Lost when another attempt is known to have taken over the run folder."""
        if self._held is not None and self._held.lost is not None:
            raise self._held.lost

    def confirm(self) -> None:
        """Check that the run folder is still ours, before anything in it is replaced or deleted.

        Raises:
            Lost: another attempt has taken it over.
        """
        if self._held is not None:
            self._held.confirm()

    def write(self, name: str, data: bytes) -> Stat | None:
        """Write a file of the run folder that only its holder replaces (rank 0). Raises Lost."""
        return self.run.write(name, data) if self._held is None else self._held.write(name, data)

    def end(self, code: Exit, reason: str) -> None:
        """Write the final state and release the run folder; what was told first holds."""
        if self._ended is not None:
            return
        self._closed.set()
        write_termination_message(f"{int(code)} {MEANING.get(code, code.name)}: {reason}" if code else "done")
        ending: dict[str, Any] = {"state": ENDINGS.get(code, State.FAILED), "reason": reason, "exit_code": int(code)}
        with self._guard:
            if code == Exit.PEER_LOST:
                self._record_lost()
            if self.rank != 0:
                if code not in ENDINGS and code != Exit.PEER_LOST:
                    self._amend({**ending, "rank": self.rank})
            elif self._may_tell(code):
                write_state(self, dataclasses.replace(self._state, **self.progress(), **ending, rank=0))
            if self._held is not None:
                self._held.release()
            self._ended = code

    @property
    def ended(self) -> Exit | None:
        """The code with which the final state was written; None before."""
        return self._ended

    def is_recorded(self) -> bool:
        """Whether state.json says that this attempt has ended without a failure."""
        told = read_state(self.run)
        return told is not None and told.writer == self._state.writer and told.state in ENDINGS.values()

    def _may_tell(self, code: Exit) -> bool:
        """Whether rank 0's ending is the run's: not if it lost the folder, or a peer that has recorded its own."""
        if self._held is not None and self._held.lost is not None:
            return False
        return code != Exit.PEER_LOST or not self._told_by_peer()

    def _told_by_peer(self) -> bool:
        """Whether another rank of this attempt has recorded a failure."""
        told = read_state(self.run)
        ours = told is not None and told.writer == self._state.writer
        return told is not None and ours and told.state == State.FAILED and told.rank != 0

    def _amend(self, changes: Mapping[str, Any]) -> None:
        """Change state.json without the lease, unless it is another attempt's; the rest of it is kept."""
        for _ in range(TRIES):
            seen, told = self.run.stat(STATE), read_state(self.run)
            if told is not None and told.writer != self._state.writer:
                return
            state = dataclasses.replace(told or self._state, **changes)
            try:
                self.run.write(STATE, encoded_state(state), if_generation=seen.generation if seen else "")
            except PreconditionFailed:  # rank 0's heartbeat was faster
                continue
            return

    def lose(self, words: str, peer_lost_wait: float, abort: Callable[[str], None] | None = None) -> None:
        """Record which workers are lost, end with `abort` the collectives that wait for them, and exit with 75 unless
        the thread that trains does, as it will where a collective fails. Call on a thread of its own.
        """
        log.error("lost: %s", words)
        recording = threading.Thread(target=self._try_to_record_lost, daemon=True)
        recording.start()
        recording.join(LAST_WORDS_SECONDS)
        if abort is not None and not self._closed.is_set():
            abort(words)
        if not self._closed.wait(NOTICED_WITHIN):
            self.die(Exit.PEER_LOST, f"a peer was lost: {words}", peer_lost_wait)

    def _try_to_record_lost(self) -> None:
        try:
            with self._guard:
                if not self._closed.is_set():
                    self._record_lost()
        except ExitError as error:
            log.error("could not record it: %s", error.message)

    def _record_lost(self) -> None:
        """Add to state.json who is lost. Rank 0 does it; rank 1 when it is rank 0 that is lost."""
        told = {name: value for name, value in self.told().items() if name.startswith("lost")}
        if told["lost"] and self.rank == int(0 in told["lost"]):
            self._state = dataclasses.replace(self._state, **told)
            self._amend(told)

    def stalled(self, words: str) -> NoReturn:
        """Exit at once: the thread that trains does not move."""
        self.die(Exit.STALLED, f"{words}; the last durable checkpoint is step {self.saved_step}")

    def give_up(self, code: Exit) -> NoReturn:
        """Exit at once after a signal to which no step responded; or which came while this process, having said why it
        ends, waits for others: then as it said, for the signal only follows from that."""
        if self._ended not in (None, Exit.DONE):  # a worker that is done may still be needed again
            os._exit(int(self._ended))
        self.die(code, "no step finished in time after the signal")

    def die(self, code: Exit, reason: str, wait: float = 0.0) -> NoReturn:
        """Exit, from any thread, after `wait` seconds; try for a few seconds to write the final state."""
        try:
            self._last_words(code, reason)
        finally:
            leave(code, reason, wait)

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
                    self._state = dataclasses.replace(self._state, **self.told(), **self.progress())
                    if self._held is not None:
                        self._held.renew()
                        self._held.write(STATE, encoded_state(self._state), spare=self._told_by_peer)
            except Lost:
                return
            except ExitError as error:
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
