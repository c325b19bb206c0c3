"""What came out of a run, each a name with how it is found in the documents of the run folder. Pure.

A finished run tells it in summary.json; of one that has not finished, metrics.jsonl and state.json tell what is known.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from trainer.ledger import PRODUCTIVE, WITHOUT_PODS, Category
from trainer.telemetry.curves import EpochRow, best_epoch
from trainer.telemetry.documents import first_number, mapping
from trainer.telemetry.facts import speed
from trainer.training.scores import wilson_interval
from trainer.words import counted, decimal, duration, grouped, percent, plain

SECONDS_PER_HOUR = 3600


@dataclass(frozen=True)
class Documents:
    """What a run folder holds: config.json, state.json, summary.json, and metrics.jsonl's epochs, ascending.

    What is not there is empty.
    """

    config: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    history: tuple[EpochRow, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """One result: its name, its value as JSON has it (None: unknown), and how such a value is written for people."""

    name: str
    value: Callable[[Documents], Any]
    words: Callable[[Any], str] = plain


def time_by_category(run: Documents) -> dict[str, float]:
    """Return the seconds that the run spent on each category of its ledger; empty if it has none."""
    told = mapping(run.summary.get("ledger")) or mapping(mapping(run.state.get("ledger")).get("seconds"))
    return {name: seconds for name, value in told.items() if (seconds := first_number(value)) is not None}


def _summary(*path: str) -> Callable[[Documents], float | None]:
    def value(run: Documents) -> float | None:
        at: Any = run.summary
        for name in path:
            at = mapping(at).get(name)
        return first_number(at)

    return value


def _state(run: Documents) -> str | None:
    return _text(run.state.get("state"))


def _reason(run: Documents) -> str | None:
    return _text(run.state.get("reason"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _best_epoch(run: Documents) -> int | None:
    return _whole(first_number(run.summary.get("best_epoch"), best_epoch(run.history)))


def _valid_accuracy(run: Documents) -> float | None:
    best = _best_epoch(run)
    reached = [row.valid_accuracy for row in run.history if row.epoch == best]
    return first_number(mapping(run.summary.get("valid")).get("accuracy"), *reached)


def _interval(split: str) -> Callable[[Documents], list[float] | None]:
    def value(run: Documents) -> list[float] | None:
        told = mapping(run.summary.get(split))
        ends = told.get("accuracy_interval")
        if isinstance(ends, list) and len(ends) == 2:
            low, high = first_number(ends[0]), first_number(ends[1])
            return None if low is None or high is None else [low, high]
        # Older runs recorded the accuracy and the pictures alone.
        accuracy, examples = first_number(told.get("accuracy")), first_number(told.get("examples"))
        if accuracy is None or examples is None or not 0 <= accuracy <= 1 or examples < 1:
            return None
        return list(wilson_interval(accuracy, int(examples)))

    return value


def _epochs_run(run: Documents) -> int | None:
    return _whole(first_number(run.summary.get("epochs_run"), run.history[-1].epoch if run.history else None))


def _steps(run: Documents) -> int | None:
    return _whole(first_number(run.summary.get("steps"), run.state.get("step")))


def _images_per_second(run: Documents) -> float | None:
    return first_number(speed(mapping(run.config.get("config")), run.summary, run.history).images_per_second)


def _feature_rows_per_second(run: Documents) -> float | None:
    return first_number(speed(mapping(run.config.get("config")), run.summary, run.history).feature_rows_per_second)


def _wall_seconds(run: Documents) -> float | None:
    return first_number(run.summary.get("wall_seconds"), math.fsum(time_by_category(run).values()) or None)


def _goodput(run: Documents) -> float | None:
    seconds = time_by_category(run)
    counted_seconds = math.fsum(value for name, value in seconds.items() if name != Category.STOPPED)
    productive = math.fsum(seconds.get(name, 0.0) for name in PRODUCTIVE)
    return first_number(run.summary.get("goodput"), productive / counted_seconds if counted_seconds else None)


def _lost_steps(run: Documents) -> int | None:
    return _whole(first_number(run.summary.get("lost_steps"), mapping(run.state.get("ledger")).get("lost_steps")))


def _attempts(run: Documents) -> int | None:
    told = run.summary.get("attempts") or mapping(run.state.get("ledger")).get("attempts")
    return len(told) if isinstance(told, list) else None


def _hours_of(unit: str) -> Callable[[Documents], float | None]:
    """Hours in which the run had its pods, times their `gpus` or `cpus`; None without any, or without a ledger."""

    def value(run: Documents) -> float | None:
        count, seconds = first_number(run.summary.get(unit), run.state.get(unit)), time_by_category(run)
        if not count or not seconds:
            return None
        held = math.fsum(value for name, value in seconds.items() if name not in WITHOUT_PODS)
        return first_number(count * held / SECONDS_PER_HOUR)

    return value


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _between(ends: list[float]) -> str:
    return f"{100 * ends[0]:.1f} to {percent(ends[1])}"


def _hours(value: float) -> str:
    return f"{value:,.2f}"


def _loss(value: float) -> str:
    return decimal(value, 4)


OUTCOMES = (
    Outcome("state", _state),
    Outcome("reason", _reason),
    Outcome("best epoch", _best_epoch),
    Outcome("validation accuracy", _valid_accuracy, percent),
    Outcome("validation, 95 %", _interval("valid"), _between),
    Outcome("test accuracy", _summary("test", "accuracy"), percent),
    Outcome("test, 95 %", _interval("test"), _between),
    Outcome("test loss", _summary("test", "loss"), _loss),
    Outcome("balanced accuracy", _summary("test", "balanced_accuracy"), percent),
    Outcome("macro-F1", _summary("test", "macro_f1"), percent),
    Outcome("calibration error", _summary("test", "ece"), _loss),
    Outcome("epochs run", _epochs_run),
    Outcome("steps", _steps, counted),
    Outcome("images/s", _images_per_second, grouped),
    Outcome("feature rows/s", _feature_rows_per_second, grouped),
    Outcome("wall time", _wall_seconds, duration),
    Outcome("goodput", _goodput, percent),
    Outcome("lost steps", _lost_steps, counted),
    Outcome("attempts", _attempts),
    Outcome("GPU-hours", _hours_of("gpus"), _hours),
    Outcome("CPU-hours", _hours_of("cpus"), _hours),
)
