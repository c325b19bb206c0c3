"""Times, numbers and other values formatted for people. Pure; the command line uses it too."""

import json
import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

UNKNOWN = "–"
"""Stands for a value that is not known."""

# Control characters but tab, line feed, carriage return and escape; what turns, hides or joins others, but for
# the joiners that Persian and Indic words and emoji need; line and paragraph separators; and surrogates, which stand
# for the bytes of a file's name that are not UTF-8.
_HIDDEN = (
    r"\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    r"\ufff9-\ufffb\ud800-\udfff"
)
_NEVER_SHOWN = re.compile(f"[{_HIDDEN}]")
_NOT_IN_A_LINE = re.compile(rf"[{_HIDDEN}\t\n\r\x1b]")
_SHORT = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}


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


def mebibytes(size: float) -> str:
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


def escaped(text: str) -> str:
    """Return text without characters that would turn or hide others, or are none: they become escapes, as JSON's are.

    Line breaks and terminal codes stay; `in_a_line` is for what others have named.
    """
    return _NEVER_SHOWN.sub(_as_escape, text)


def in_a_line(text: str) -> str:
    """Return text, such as the name of a file or a class, on one line and without anything a terminal would obey."""
    return _NOT_IN_A_LINE.sub(_as_escape, text)


def _as_escape(found: re.Match[str]) -> str:
    return _SHORT.get(found[0], f"\\u{ord(found[0]):04x}")
