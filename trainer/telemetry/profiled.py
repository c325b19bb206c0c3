"""What profile.json says, for the report: the parts of a step, and the ops that took longest. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trainer.telemetry.documents import first_number, mapping

_TITLES: Mapping[str, tuple[str, str]] = {
    "input": ("Input", "waiting for the next batch, and handing it to the devices"),
    "call": ("Call of the step", "on CPUs with all that it computes; on accelerators only until it is on its way"),
    "results": ("Wait for results", "of a step two before; on accelerators most of what they compute is here"),
    "step": ("Step and results", "the trace does not tell them apart"),
    "hooks": ("Hooks", "metrics, progress, heartbeat"),
}


@dataclass(frozen=True)
class Row:
    """A part or a type of op: seconds and times a step, and its share of the step."""

    title: str
    note: str
    seconds: float
    share: float
    times: float | None = None


@dataclass(frozen=True)
class Profiled:
    """Some steps: how many, which was the last, seconds of one, its parts, the share in which any op ran, its ops."""

    steps: int
    last_step: int
    seconds: float
    parts: tuple[Row, ...]
    busy: float | None
    ops: tuple[Row, ...]


def of_run(document: Any) -> Profiled | None:
    """The content of profile.json; None where there is none, or nothing of use in it."""
    told = mapping(document)
    steps, seconds = first_number(told.get("steps")), first_number(told.get("seconds"))
    if not steps or not seconds or steps < 1 or seconds < 0:
        return None
    numbers = {name: first_number(value) for name, value in mapping(told.get("parts")).items()}
    parts = [_part(name, value / steps, value / seconds) for name, value in numbers.items() if value is not None]
    ops = told.get("ops")
    rows = [_op(mapping(op), steps, seconds) for op in ops] if isinstance(ops, list) else []
    return Profiled(
        int(steps),
        int(first_number(told.get("last_step")) or 0),
        seconds / steps,
        tuple(sorted(parts, key=lambda row: -row.seconds)),
        first_number(told.get("busy")),
        tuple(row for row in rows if row.title),
    )


def _part(name: str, seconds: float, share: float) -> Row:
    title, note = _TITLES.get(name, (name.capitalize(), ""))
    return Row(title, note, seconds, share)


def _op(op: Mapping[str, Any], steps: float, seconds: float) -> Row:
    spent = first_number(op.get("seconds")) or 0.0
    times = (first_number(op.get("count")) or 0.0) / steps
    return Row(str(op.get("op") or ""), "", spent / steps, spent / seconds, times)
