"""Durations in rules, all of which can be divided by one number: a test then sees in minutes what takes hours.

An expression has them in brackets (`[10m]`), after `offset`, and as `SECONDS(10m)` where PromQL wants a number.
"""

import re
from fractions import Fraction

_SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600), "d": Fraction(86400)}
_ONE = r"([0-9]+)(ms|s|m|h|d)"
_DURATION = re.compile(_ONE)
_RANGE = re.compile(rf"(\[|\boffset ){_ONE}\b")
_NUMBER = re.compile(rf"\bSECONDS\({_ONE}\)")


def seconds(duration: str) -> Fraction:
    """How long `10m` is. Raises ValueError for anything but a whole number and one unit of ms, s, m, h, d."""
    found = _DURATION.fullmatch(duration)
    if not found:
        raise ValueError(f"{duration!r} is no duration such as 90s, 10m, 2h or 1d")
    return int(found[1]) * _SECONDS[found[2]]


def scaled(duration: str, scale: int = 1) -> str:
    """A duration divided by `scale`, in the largest unit that makes it a whole number; at least a millisecond."""
    short = seconds(duration) / scale
    unit = next((unit for unit in ("d", "h", "m", "s") if short and not short % _SECONDS[unit]), "ms")
    return f"{max(1, round(short / _SECONDS[unit]))}{unit}" if short else "0s"


def expression(text: str, scale: int = 1) -> str:
    """PromQL with every duration divided by `scale`, and SECONDS(…) as numbers."""
    text = _RANGE.sub(lambda found: found[1] + scaled(found[2] + found[3], scale), text)
    return _NUMBER.sub(lambda found: f"{float(seconds(found[1] + found[2]) / scale):.10g}", text)
