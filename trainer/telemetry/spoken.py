"""Progress as one line for programs in the log of rank 0, for users who may read the log and not the run folder.

`catdog status`, `list` and `why` read it where the bucket is closed to them; `catdog logs` hides it. It is state.json's
content in one line, and written by a thread of its own, so that storage that hangs does not silence it.
"""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TextIO

from trainer.contract import ENV_RUN_UID, SPOKEN
from trainer.folder.files import RunState

EVERY_SECONDS = 30.0
TOLD = (
    *("state", "epoch", "step", "total_steps", "restarts", "activity", "eta_seconds", "loss", "examples_per_second"),
    *("gpus", "cpus", "step_seconds"),
)


def line_of(state: RunState, now: datetime) -> str:
    """The line: a fixed word, then JSON; the epoch and step are those of the last step, `updated` is `now` (UTC)."""
    told = {name: getattr(state, name) for name in TOLD}
    if state.ledger is not None:  # without its attempts, which would make the line long
        told["ledger"] = {name: state.ledger[name] for name in ("seconds", "lost_steps")}
    return f"{SPOKEN} {json.dumps({**told, 'updated': now.isoformat(timespec='seconds')}, separators=(',', ':'))}"


class Spoken:
    """Writes the line at once and every 30 s, on rank 0 of a run in Kubernetes; elsewhere it does nothing."""

    def __init__(
        self, state: Callable[[], RunState], rank: int, environment: Mapping[str, str], out: TextIO | None = None
    ) -> None:
        self._state, self._out = state, out or sys.stdout
        self._closed = threading.Event()
        wanted = rank == 0 and bool(environment.get(ENV_RUN_UID))
        self._thread = threading.Thread(target=self._speak, name="spoken", daemon=True) if wanted else None

    def __enter__(self) -> "Spoken":
        if self._thread is not None:
            self._thread.start()
        return self

    def _speak(self) -> None:
        while True:
            try:
                # One call, so that the line stays whole between those of other threads.
                self._out.write(line_of(self._state(), datetime.now(UTC)) + "\n")
                self._out.flush()
            except (OSError, ValueError):  # nobody reads the log any more, which is no reason to stop
                return
            if self._closed.wait(EVERY_SECONDS):
                return

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
