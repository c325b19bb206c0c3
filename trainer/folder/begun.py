"""attempt.json: what an attempt notes as it begins, and whether it may begin at all.

Kubernetes starts a run again and again, and neither a Job nor a JobSet forgets its restarts when there was progress. So
the run itself decides when they lead nowhere (`trainer.folder.crashes`). Outside Kubernetes a person starts every
attempt: nothing is noted, and nothing is refused.
"""

import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from trainer import documents
from trainer.contract import ATTEMPT, BEST, FEATURES, MANIFEST, State
from trainer.exits import Exit, ExitError
from trainer.fields import known, stored
from trainer.folder.crashes import Begun, Reached, Row, in_words, row_before, seconds_to_wait
from trainer.folder.files import RunState, write_json, write_state
from trainer.folder.held import Held
from trainer.folder.lease import Lease
from trainer.process.identity import machine
from trainer.storage.base import Storage
from trainer.storage.errors import StorageMissing

log = logging.getLogger(__name__)

RENEW_SECONDS = 10.0
LOOK_SECONDS = 0.5


class Noted:
    """The attempt as attempt.json has it, to which it adds that it was asked to stop: a pod that is killed when its
    grace period is over has no time to tell more."""

    def __init__(self, held: Held, begun: Begun, asked: Callable[[], bool], again: bool) -> None:
        self.asked = asked
        self.again = again  # whether Kubernetes has started the attempt before it too
        self._held, self._begun = held, begun

    def watch(self) -> None:
        """Look from now on, on a thread of its own, whether `asked` says so."""
        threading.Thread(target=self._watch, name="noted", daemon=True).start()

    def _watch(self) -> None:
        while not self.asked():
            time.sleep(LOOK_SECONDS)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            write_json(self._held, ATTEMPT, dataclasses.asdict(dataclasses.replace(self._begun, stopping=now)))
        except ExitError as error:  # such as that the folder was released meanwhile, with better last words
            log.info("not noted that a signal came: %s", error.message)


def note(
    run: Storage,
    lease: Lease,
    state: RunState | None,
    step: int | None,
    asked: Callable[[], bool],
    pause: Callable[[float], None],
) -> Noted | None:
    """Note that the holder of the lease begins an attempt, after a pause if the one before it came to nothing at once;
    None outside Kubernetes.

    Args:
        run: the run folder.
        lease: the lease on it.
        state: what state.json says.
        step: of the checkpoint to resume from, 0 without one; None if none of them can be read.
        asked: whether a signal has come.
        pause: waits so many seconds, or raises.

    Raises:
        ExitError: 79 when too many attempts in a row have come to nothing, which is in state.json then; whatever
            `pause` raises.
    """
    holder, held = lease.holder, Held(run, lease)
    if not holder.run_uid:
        return None
    previous, here = read_begun(run), machine()
    reached = _reached(run, step, Reached() if previous is None else previous.reached)
    row = row_before(previous, state, holder.run_uid, reached, here)
    if not row.is_over:
        _pause(seconds_to_wait(previous, row, time.time()), held, row, pause)
    begun = Begun(holder.run_uid, holder.term, holder.uid, here, time.time(), reached, row)
    write_json(held, ATTEMPT, dataclasses.asdict(begun))
    if row.is_over:
        error = ExitError(Exit.NO_PROGRESS, in_words(row, reached))
        tell_failure(held, state or RunState(State.FAILED), error)
        raise error
    return Noted(held, begun, asked, previous is not None and previous.run_uid == holder.run_uid)


def tell_failure(held: Held, state: RunState, error: ExitError) -> None:
    """Write into state.json that the holder of the run folder has failed before it could train."""
    holder, failed = held.holder, RunState(State.FAILED, reason=error.message, exit_code=int(error.code))
    kept = ("epoch", "step", "total_steps", "restarts", "workers", "gpus", "cpus", "ledger")
    where = {name: getattr(state, name) for name in kept}
    write_state(held, dataclasses.replace(failed, **where, attempt=holder.term, writer=holder.uid))


def read_begun(run: Storage) -> Begun | None:
    """attempt.json; None where there is none that can be read, which is no reason to refuse a run."""
    try:
        values = documents.parse(run.read(ATTEMPT))
        reached = Reached(**stored(Reached, values["reached"]))
        begun = Begun(**{**known(Begun, values), "reached": reached, "row": Row(**stored(Row, values["row"]))})
    except (StorageMissing, ValueError, TypeError, KeyError):
        return None
    numbers = (begun.began, reached.checkpoint, reached.best, reached.features, begun.row.count)
    return begun if all(isinstance(number, int | float) for number in numbers) else None


def _reached(run: Storage, step: int | None, before: Reached) -> Reached:
    features = sum(1 for _ in run.list(f"{FEATURES}/"))
    best = max(_best(run), before.best)
    return Reached(before.checkpoint if step is None else step, best, max(features, before.features))


def _best(run: Storage) -> int:
    """The step of the best weights; 0 without any."""
    try:
        manifest: Any = documents.parse(run.read(f"{BEST}/{MANIFEST}"))
        return int(manifest["step"])
    except (StorageMissing, ValueError, TypeError, KeyError):
        return 0


def _pause(seconds: float, held: Held, row: Row, pause: Callable[[float], None]) -> None:
    if seconds:
        log.info(
            "waiting %.0f s: the attempt before came to nothing (%d in a row; the first: %s)",
            seconds,
            row.count,
            row.reason,
        )
    while seconds > 0:
        pause(min(seconds, RENEW_SECONDS))
        seconds -= RENEW_SECONDS
        held.renew()
