"""Times, numbers and other values formatted for people. Pure; the command line uses it too."""

import json
import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

UNKNOWN = "–"
"""Stands for a value that is not known."""


def percent(share: float | None) -> str:
    """Return a share in [0, 1] as a percentage with one decimal, or a dash if it is unknown."""
    return UNKNOWN if share is None or not math.isfinite(share) else f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def duration(seconds: float | None) -> str:
    """Return a time span in words of two units at most, such as "1 h 12 min"."""
    if seconds is None or not math.isfinite(seconds):
        return UNKNOWN
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def age(since: datetime, now: datetime) -> str:
    """Return the elapsed time for a narrow column: 42s, 7m, 3h12m, 2d4h."""
    seconds = max(0, int((now - since).total_seconds()))
    if seconds < 60:
        return f"{seconds}s"
    if seconds < 3600:
        return f"{seconds // 60}m"
    if seconds < 86400:
        return f"{seconds // 3600}h{seconds % 3600 // 60}m"
    return f"{seconds // 86400}d{seconds % 86400 // 3600}h"


def ago(seconds: float) -> str:
    """Return how long ago something was, in whole seconds: "5 s ago"."""
    return f"{seconds:.0f} s ago"


def clock(seconds: float) -> str:
    """Return a time span as a stopwatch shows it, cut to whole seconds: h:mm:ss, below an hour m:ss."""
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"


def mebibytes(size: int) -> str:
    """Return a size in bytes as whole mebibytes: "1,024 MiB"."""
    return f"{size / 2**20:,.0f} MiB"


def decimal(value: float, digits: int = 3) -> str:
    """Return a number with `digits` decimals, or a dash if it is not finite."""
    return f"{value:.{digits}f}" if math.isfinite(value) else UNKNOWN


def grouped(value: float) -> str:
    """Return a number with thousands separators, and one decimal if it is small and has a fraction."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.1f}"


def counted(value: Any) -> str:
    """Return a count with thousands separators, anything else as `plain` does."""
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else plain(value)


def plain(value: Any) -> str:
    """Return a JSON value as a person would write it."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return repr(value)  # the shortest exact text: a copied number is not rounded
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and all(isinstance(part, str | int | float) for part in value):
        return ", ".join(plain(part) for part in value) or UNKNOWN
    return json.dumps(value, ensure_ascii=False, default=str)
