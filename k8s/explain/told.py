"""What state.json and summary.json say of a run's work. Pure.

They may be another version's, or damaged: each value is checked, and one that is missing or makes no sense is None, or
left out.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainer.ledger import PRODUCTIVE, WITHOUT_PODS, Category

LARGEST = 1e12
"""No number of ours comes near: more seconds than 30,000 years have."""

MOST_LOSSES = 40

WORDS: Mapping[str, str] = {
    Category.WAITING: "waiting for workers",
    Category.STARTING: "starting",
    Category.DECODE: "decoding",
    Category.COMPILE: "compiling",
    Category.STEP: "steps",
    Category.INPUT: "waiting for input",
    Category.EVALUATION: "validation",
    Category.CHECKPOINT: "checkpoints",
    Category.RESTORE: "restoring",
    Category.LOST: "done again",
    Category.DOWN: "between attempts",
    Category.EXPORT: "exporting",
    Category.STOPPED: "stopped",
}
"""The categories of a ledger, for people."""


@dataclass(frozen=True)
class Ledger:
    """Wall time by category in seconds, and steps that had to be done again."""

    seconds: Mapping[str, float]
    lost_steps: int = 0

    @property
    def counted(self) -> float:
        """Seconds that goodput is a share of: all but what a person stopped it for."""
        return sum(value for name, value in self.seconds.items() if name != Category.STOPPED)

    @property
    def with_pods(self) -> float:
        """Seconds in which the run had its pods."""
        return sum(value for name, value in self.seconds.items() if name not in WITHOUT_PODS)

    @property
    def goodput(self) -> float | None:
        """The share of steps and validation that count, 0 to 1; None before there was any time."""
        good = sum(self.seconds.get(name, 0.0) for name in PRODUCTIVE)
        return good / self.counted if self.counted else None

    @property
    def wastes(self) -> list[tuple[str, float]]:
        """What else the counted time went into: (category, seconds), largest first."""
        rest = [(k, v) for k, v in self.seconds.items() if v > 0 and k not in (*PRODUCTIVE, Category.STOPPED)]
        return sorted(rest, key=lambda one: -one[1])


@dataclass(frozen=True)
class Told:
    """What the run says of itself. Times in seconds; `losses` are of equal parts of the run, oldest first;
    `step_seconds` is what each rank takes for its own part of a step, without waiting for others."""

    step: int | None = None
    total_steps: int | None = None
    activity: str = ""
    eta_seconds: float | None = None
    loss: float | None = None
    losses: Sequence[float] = ()
    examples_per_second: float | None = None
    step_seconds: Mapping[int, float] = field(default_factory=dict)
    gpus: int | None = None
    cpus: float | None = None
    ledger: Ledger | None = None


def told(state: Mapping[str, Any] | None, summary: Mapping[str, Any] | None = None) -> Told:
    """What state.json says; the ledger and GPUs from summary.json where state.json has none."""
    found, left = state or {}, summary or {}
    activity = found.get("activity")
    losses = found.get("losses")
    numbers = [_number(one, -LARGEST) for one in losses] if isinstance(losses, list | tuple) else []
    inner = left.get("ledger")
    summed = {"seconds": inner, "lost_steps": left.get("lost_steps")}
    return Told(
        step=_count(found.get("step")),
        total_steps=_count(found.get("total_steps")),
        activity=activity if isinstance(activity, str) else "",
        eta_seconds=_number(found.get("eta_seconds")),
        loss=_number(found.get("loss"), -LARGEST),
        losses=tuple(one for one in numbers if one is not None)[-MOST_LOSSES:],
        examples_per_second=_number(found.get("examples_per_second")),
        step_seconds=_by_rank(found.get("step_seconds")),
        gpus=_count(found.get("gpus")) or _count(left.get("gpus")),
        cpus=_number(found.get("cpus")) or _number(left.get("cpus")),
        ledger=_ledger(found.get("ledger")) or _ledger(summed),
    )


def _number(value: Any, low: float = 0.0) -> float | None:
    """A finite number that is not absurd, else None."""
    if type(value) not in (int, float) or not low <= value <= LARGEST:
        return None
    return float(value)


def _count(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value <= LARGEST else None


def _by_rank(values: Any) -> dict[int, float]:
    if not isinstance(values, Mapping):
        return {}
    read = {str(rank): _number(seconds) for rank, seconds in values.items()}
    found = {int(rank): one for rank, one in read.items() if one is not None and rank.isdecimal() and len(rank) < 7}
    return dict(sorted(found.items()))


def _ledger(values: Any) -> Ledger | None:
    seconds = values.get("seconds") if isinstance(values, Mapping) else None
    if not isinstance(seconds, Mapping):
        return None
    read = {str(name): _number(value) for name, value in seconds.items()}
    known = {name: value for name, value in read.items() if value is not None}
    return Ledger(known, _count(values.get("lost_steps")) or 0) if math.fsum(known.values()) > 0 else None
