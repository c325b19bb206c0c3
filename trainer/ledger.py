"""Where the wall time of a run goes: each second since its first start is in one category. Pure.

Time is that of the thread that trains on rank 0; what other threads do meanwhile, such as uploads, is not in it. A
run's ledger is in state.json at each heartbeat and in each checkpoint, so it goes on over restarts: the next attempt
adds how long none ran, and moves what has to be done again to `lost`.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trainer.fields import known, stored
from trainer.process.activity import Doing


class Category(StrEnum):
    """What a second was spent on, in the order in which they are shown."""

    WAITING = "waiting"
    STARTING = "starting"
    DECODE = "decode"
    COMPILE = "compile"
    STEP = "step"
    INPUT = "input"
    EVALUATION = "evaluation"
    CHECKPOINT = "checkpoint"
    RESTORE = "restore"
    LOST = "lost"
    DOWN = "down"
    EXPORT = "export"
    STOPPED = "stopped"


MEANING: Mapping[Category, str] = {
    Category.WAITING: "waiting for other workers before training begins",
    Category.STARTING: "importing, listing the data, building the network",
    Category.DECODE: "reading and decoding the first pictures, or computing features",
    Category.COMPILE: "compiling, with the first step or batch of each phase",
    Category.STEP: "training steps whose result counts, waiting for other workers included",
    Category.INPUT: "blocked until the next batch was ready",
    Category.EVALUATION: "passes over the validation pictures",
    Category.CHECKPOINT: "copying weights for checkpoints, and waiting for the last ones to be stored",
    Category.RESTORE: "reading a checkpoint and putting it on the devices",
    Category.LOST: "steps, input, validation and checkpoints that had to be done again after a failure",
    Category.DOWN: "between attempts that Kubernetes started",
    Category.EXPORT: "exporting and testing the model, writing the report",
    Category.STOPPED: "until a person started it again; not in goodput",
}

CATEGORY_OF: Mapping[Doing, Category] = {
    Doing.MEETING: Category.WAITING,
    Doing.JOINING: Category.WAITING,
    Doing.STARTING: Category.STARTING,
    Doing.LISTING: Category.STARTING,
    Doing.IMPORTING: Category.STARTING,
    Doing.BUILDING: Category.STARTING,
    Doing.READING: Category.DECODE,
    Doing.COMPILING: Category.COMPILE,
    Doing.TRAINING: Category.STEP,
    Doing.WAITING: Category.INPUT,
    Doing.VALIDATING: Category.EVALUATION,
    Doing.COPYING: Category.CHECKPOINT,
    Doing.SAVING: Category.CHECKPOINT,
    Doing.RESTORING: Category.RESTORE,
    Doing.TESTING: Category.EXPORT,
    Doing.EXPORTING: Category.EXPORT,
    Doing.DRAWING: Category.EXPORT,
    Doing.REPORTING: Category.EXPORT,
    Doing.FINISHING: Category.EXPORT,
}

PRODUCTIVE = (Category.STEP, Category.EVALUATION)
WITHOUT_PODS = (Category.DOWN, Category.STOPPED)
REPEATED = (Category.STEP, Category.INPUT, Category.EVALUATION, Category.CHECKPOINT)
"""What is done again if steps are. An attempt starts and compiles anyway, so that is not lost but overhead."""

LONGEST = 1e11
"""Seconds, or a Unix time, above which a number is none."""

MOST_ATTEMPTS = 50
"""Attempts that a ledger keeps apart; the oldest become one."""


@dataclass(frozen=True)
class Attempt:
    """Seconds by category of one attempt, with the wait before it; steps of it that had to be done again."""

    attempt: int
    seconds: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lost_steps: int = 0


@dataclass(frozen=True)
class Ledger:
    """The attempts at a run, oldest first, up to the Unix time `until`."""

    attempts: tuple[Attempt, ...] = ()
    until: float = 0.0

    @property
    def seconds(self) -> dict[str, float]:
        """By category, all of them."""
        sums = dict.fromkeys(map(str, Category), 0.0)
        for one in self.attempts:
            sums = _added(sums, one.seconds)
        return sums

    @property
    def lost_steps(self) -> int:
        """Steps that had to be done again."""
        return sum(one.lost_steps for one in self.attempts)

    @property
    def goodput(self) -> float:
        """Share of the time that went into steps and validations that count, 0 to 1; a person's pauses do not count."""
        seconds = self.seconds
        counted = sum(seconds.values()) - seconds[Category.STOPPED]
        return sum(seconds[one] for one in PRODUCTIVE) / counted if counted else 0.0


NONE = Ledger()


def by_category(seconds: Mapping[Doing, float]) -> dict[str, float]:
    """Seconds by what was done, as categories."""
    sums: dict[str, float] = {}
    for doing, value in seconds.items():
        sums = _added(sums, {CATEGORY_OF[doing]: value})
    return sums


def latest(told: Ledger, kept: Ledger) -> Ledger:
    """The newer of what state.json told and a checkpoint kept: either can be the last that was stored."""
    return kept if kept.until > told.until else told


def begun(told: Ledger, attempt: int, began: float, by_a_person: bool) -> Ledger:
    """The ledger at the beginning of an attempt: the time since the last is down, or stopped if a person began it.

    Args:
        told: what was last known; empty for a new run.
        attempt: the term of the lease.
        began: Unix time. A clock that went back since makes no negative time.
        by_a_person: not by Kubernetes, which starts an attempt again by itself.
    """
    gap = max(0.0, began - told.until) if told.attempts else 0.0
    category = Category.STOPPED if by_a_person else Category.DOWN
    first = Attempt(attempt, {str(category): gap} if gap else {})
    return _limited(Ledger((*told.attempts, first), began))


def passed(ledger: Ledger, seconds: Mapping[str, float]) -> Ledger:
    """The ledger after so many seconds more of the last attempt."""
    *before, last = ledger.attempts or (Attempt(0),)
    last = dataclasses.replace(last, seconds=_added(last.seconds, seconds))
    return Ledger((*before, last), ledger.until + sum(seconds.values()))


def lost_since(ledger: Ledger, kept: Ledger, steps: int) -> Ledger:
    """The ledger when work after a checkpoint has to be done again: it moves to `lost`, attempt by attempt.

    Args:
        ledger: all time so far.
        kept: the ledger in the checkpoint; empty to begin anew.
        steps: that are done again, of the last attempt.
    """
    moved: list[Attempt] = []
    for one in ledger.attempts:
        since = moved[-1].attempt if moved else -1
        before: Mapping[str, float] = {}
        for earlier in kept.attempts:  # one of the ledger's may be several that the checkpoint keeps apart
            if since < earlier.attempt <= one.attempt:
                before = _added(before, earlier.seconds)
        moved.append(_moved(one, before))
    if moved:
        moved[-1] = dataclasses.replace(moved[-1], lost_steps=moved[-1].lost_steps + max(0, steps))
    return Ledger(tuple(moved), ledger.until)


def _moved(one: Attempt, kept: Mapping[str, float]) -> Attempt:
    extra = {category: max(0.0, one.seconds.get(category, 0.0) - kept.get(category, 0.0)) for category in REPEATED}
    change = {**{str(name): -value for name, value in extra.items()}, str(Category.LOST): sum(extra.values())}
    seconds = _added(one.seconds, change)
    return dataclasses.replace(one, seconds={name: value for name, value in seconds.items() if value})


def _added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {str(name): one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}


def _limited(ledger: Ledger) -> Ledger:
    while len(ledger.attempts) > MOST_ATTEMPTS:
        first, second, *rest = ledger.attempts
        merged = Attempt(second.attempt, _added(first.seconds, second.seconds), first.lost_steps + second.lost_steps)
        ledger = Ledger((merged, *rest), ledger.until)
    return ledger


def to_json(ledger: Ledger) -> dict[str, Any]:
    """As state.json and manifests have it, to the millisecond."""
    return {
        "seconds": _rounded(ledger.seconds),
        "lost_steps": ledger.lost_steps,
        "until": ledger.until,
        "attempts": attempts_to_json(ledger),
    }


def attempts_to_json(ledger: Ledger) -> list[dict[str, Any]]:
    """The attempts, with the categories that they spent time on."""
    return [{**dataclasses.asdict(one), "seconds": _rounded(one.seconds)} for one in ledger.attempts]


def _rounded(seconds: Mapping[str, float]) -> dict[str, float]:
    return {str(name): round(value, 3) for name, value in seconds.items()}


def from_json(values: Any) -> Ledger:
    """The inverse of to_json; an empty ledger for anything else, such as a run of an older version: it begins there."""
    try:
        attempts = tuple(Attempt(**stored(Attempt, known(Attempt, one))) for one in values["attempts"])
        numbers = [value for one in attempts for value in one.seconds.values()]
        if not all(type(value) in (int, float) and 0 <= value < LONGEST for value in (*numbers, values["until"])):
            return NONE
    except (KeyError, TypeError, AttributeError, ValueError):
        return NONE
    return Ledger(attempts, float(values["until"]))
