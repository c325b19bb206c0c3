"""Where a run's time went, for the report: bars by category and by attempt. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from trainer import ledger
from trainer.ledger import MEANING, PRODUCTIVE, Category, Ledger
from trainer.telemetry.documents import mapping

MOST_ATTEMPTS_SHOWN = 20


class Sort(StrEnum):
    """What sort of time a category is; the page colours it by that."""

    PRODUCTIVE = "productive"
    OVERHEAD = "overhead"
    WASTE = "waste"
    STOPPED = "stopped"


IN_WORDS: Mapping[Sort, str] = {
    Sort.PRODUCTIVE: "steps and validation that count",
    Sort.OVERHEAD: "overhead",
    Sort.WASTE: "lost or down",
    Sort.STOPPED: "stopped by a person",
}
_TITLES: Mapping[Category, str] = {
    Category.WAITING: "Waiting for workers",
    Category.STARTING: "Starting",
    Category.DECODE: "Decoding, features",
    Category.COMPILE: "Compiling",
    Category.STEP: "Training steps",
    Category.INPUT: "Waiting for input",
    Category.EVALUATION: "Validation",
    Category.CHECKPOINT: "Checkpoints",
    Category.RESTORE: "Restoring",
    Category.LOST: "Lost, done again",
    Category.DOWN: "Down",
    Category.EXPORT: "Export and test",
    Category.STOPPED: "Stopped",
}


@dataclass(frozen=True)
class Bar:
    """A category: its seconds, its share of all time, and the length of its bar, the longest being 1."""

    title: str
    meaning: str
    sort: Sort
    seconds: float
    share: float
    length: float


@dataclass(frozen=True)
class AttemptBar:
    """An attempt: seconds, steps that were done again, the seconds of each sort that it has, as lengths of its bar."""

    attempt: int
    seconds: float
    lost_steps: int
    parts: Mapping[Sort, float]


@dataclass(frozen=True)
class TimeSpent:
    """All time of a run; `attempts` are the last ones, and none if there was only one."""

    bars: tuple[Bar, ...]
    attempts: tuple[AttemptBar, ...]
    seconds: float


def sort_of(category: Category) -> Sort:
    """What sort of time a category is."""
    if category in PRODUCTIVE:
        return Sort.PRODUCTIVE
    if category in (Category.LOST, Category.DOWN):
        return Sort.WASTE
    return Sort.STOPPED if category == Category.STOPPED else Sort.OVERHEAD


def of_run(summary: Mapping[str, Any], state: Mapping[str, Any]) -> TimeSpent | None:
    """From summary.json, else from state.json of a run that goes on; None where neither tells, as of older versions."""
    if "attempts" in summary:
        told = ledger.from_json({"attempts": summary["attempts"], "until": 0.0})
    else:
        told = ledger.from_json(mapping(state.get("ledger")))
    return _of(told)


def _of(told: Ledger) -> TimeSpent | None:
    seconds = told.seconds
    total, longest = sum(seconds.values()), max(seconds.values())
    if not total:
        return None
    bars = [
        Bar(_TITLES[one], MEANING[one], sort_of(one), seconds[one], seconds[one] / total, seconds[one] / longest)
        for one in Category
        if seconds[one] >= 0.05
    ]
    rows = [_attempt(one) for one in told.attempts[-MOST_ATTEMPTS_SHOWN:]] if len(told.attempts) > 1 else []
    return TimeSpent(tuple(sorted(bars, key=lambda bar: -bar.seconds)), tuple(rows), total)


def _attempt(one: ledger.Attempt) -> AttemptBar:
    parts = dict.fromkeys(Sort, 0.0)
    for category in Category:
        parts[sort_of(category)] += one.seconds.get(category, 0.0)
    total = sum(parts.values())
    shares = {sort: value / total for sort, value in parts.items() if value} if total else {}
    return AttemptBar(one.attempt, total, one.lost_steps, shares)
