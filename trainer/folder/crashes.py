"""Attempts at a run in a row that came to nothing: which of them count, and when there are too many. Pure.

An attempt counts if it left nothing durable beyond what it found, and ended neither by a disruption nor by a person.
Where it was asked to stop, it has noted that. Where it ended without a word, it may have been killed, or its machine
may have gone, which is not the run's fault: it counts, but a run is given up only if one of the row certainly crashed.
"""

from dataclasses import dataclass
from enum import Enum

from trainer.contract import State
from trainer.exits import Exit
from trainer.folder.files import RunState

MOST = 3
"""So many attempts in a row that count are the last ones."""
SOON_SECONDS = 60.0
"""An attempt that comes to nothing takes at least so long, from its beginning to that of the next."""


class End(Enum):
    """How an attempt has ended, as far as the run folder tells."""

    MEANT = "a person ended it, or it was done"
    DISRUPTED = "the cluster ended it, or had no place for it"
    FAILED = "it failed or was killed"
    VANISHED = "it, or a peer, fell silent: its machine may have gone"


_UNTOLD = {
    End.FAILED: "without a word: killed, perhaps for its memory",
    End.VANISHED: "without a word: killed, perhaps for its memory, or its machine was lost",
}


@dataclass(frozen=True)
class Reached:
    """What of a run is durable: the step of the checkpoint to resume from, the highest step of which there were best
    weights, and how many blocks of features there were at most. The latter two only rise, for an attempt that begins
    further back writes the former again."""

    checkpoint: int = 0
    best: int = 0
    features: int = 0

    def is_beyond(self, other: "Reached") -> bool:
        """Whether there is more of anything."""
        return self.checkpoint > other.checkpoint or self.best > other.best or self.features > other.features


@dataclass(frozen=True)
class Row:
    """Attempts in a row that counted. `certain`: one of them has certainly crashed. Code and reason are of the first;
    `exit_code` is None where it did not tell one."""

    count: int = 0
    certain: bool = False
    exit_code: int | None = None
    reason: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the run should be given up."""
        return self.certain and self.count >= MOST


@dataclass(frozen=True)
class Begun:
    """attempt.json: the attempt that began last, with what it found.

    `run_uid` and `attempt` and `writer` are those of its lease, `machine` is the boot of rank 0's machine, `began` a
    Unix time of its clock. `stopping` says when one of its workers was asked to stop, "" if none was.
    """

    run_uid: str
    attempt: int
    writer: str
    machine: str
    began: float
    reached: Reached = Reached()
    row: Row = Row()
    stopping: str = ""


def row_before(previous: Begun | None, state: RunState | None, run_uid: str, reached: Reached, machine: str) -> Row:
    """The row of attempts before one that begins now.

    Args:
        previous: what attempt.json says; None where there is none.
        state: what state.json says.
        run_uid: of the attempt that begins; a person started it if that is another one, or "".
        reached: what is durable now.
        machine: the boot of the machine on which it begins, "" if that is unknown.
    """
    if previous is None or not run_uid or previous.run_uid != run_uid:
        return Row()
    told = state if state is not None and state.writer == previous.writer else None
    end = end_of(previous, told, machine)
    if end is End.MEANT or reached.is_beyond(previous.reached):
        return Row()
    row = previous.row
    if end is End.DISRUPTED or row.is_over:
        return row
    certain = row.certain or end is End.FAILED
    if row.count:
        return Row(row.count + 1, certain, row.exit_code, row.reason)
    code, reason = (None, "") if told is None else (told.exit_code, told.reason)
    who = f"rank {told.lost[0]}" if told is not None and told.lost else "it"
    return Row(1, certain, code, reason or f"{who} ended {_UNTOLD[end]}")


def end_of(begun: Begun, told: RunState | None, machine: str) -> End:
    """How an attempt has ended. `told` is state.json if it is this attempt's; the next one begins on `machine`."""
    if told is not None and told.state in (State.SUCCEEDED, State.CANCELLED):
        return End.MEANT
    code, lost = (None, ()) if told is None else (told.exit_code, told.lost)
    crashed = told is not None and bool(lost) and not told.lost_silent
    # A signal that was not noted, for a peer was lost before it, follows from that: the survivors are stopped.
    if begun.stopping or (told is not None and told.state == State.PREEMPTED and not crashed):
        return End.DISRUPTED
    if code == Exit.RENDEZVOUS_FAILED and begun.reached.checkpoint:
        return End.DISRUPTED  # its workers have met before: now there is no node for one of them
    if crashed or code not in (None, Exit.PEER_LOST):
        return End.FAILED  # a lost process has ended, but its machine still closed its connections
    if code == Exit.PEER_LOST or (lost and 0 not in lost):
        return End.VANISHED
    return End.FAILED if machine and machine == begun.machine else End.VANISHED


def seconds_to_wait(previous: Begun | None, row: Row, now: float) -> float:
    """How long an attempt waits before it begins, since the one before it came to nothing so soon.

    `now` is a Unix time. The clocks of two machines may differ: it is never more than SOON_SECONDS.
    """
    if previous is None or not row.count:
        return 0.0
    left = previous.began + SOON_SECONDS - now
    return min(left, SOON_SECONDS) if 0 < left < 2 * SOON_SECONDS else 0.0


def in_words(row: Row, reached: Reached) -> str:
    """Why the run is given up, in one line, with the first cause."""
    than = f"a newer checkpoint than that of step {reached.checkpoint}" if reached.checkpoint else "any checkpoint"
    first = row.reason if row.exit_code is None else f"exit code {row.exit_code}: {row.reason}"
    return f"{row.count} attempts in a row have ended without {than}; the first of them: {first}"
