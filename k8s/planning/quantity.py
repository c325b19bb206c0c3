"""Kubernetes quantities: "500m", "4Gi", "1e3" as exact numbers, and multiples of them in the same unit.

The grammar is that of k8s.io/apimachinery/pkg/api/resource (quantity.go): a signed decimal, then a decimal exponent or
one of the suffixes below.
"""

import re
from decimal import Decimal

from k8s.exits import usage

ZERO = Decimal(0)

_SUFFIXES = {
    **{suffix: Decimal(1024) ** power for power, suffix in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), start=1)},
    **{suffix: Decimal(1000) ** power for power, suffix in enumerate(("", "k", "M", "G", "T", "P", "E"))},
    "m": Decimal("1e-3"),
    "u": Decimal("1e-6"),
    "n": Decimal("1e-9"),
}
_FORM = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:([eE][+-]?\d+)|([KMGTPE]i|[numkMGTPE]?))", re.ASCII)


def fault(text: str) -> str:
    """What the text must be, if it is not a quantity; else empty."""
    return "" if _FORM.fullmatch(text) else "a quantity such as 4, 500m or 16Gi"


def parse(text: str, where: str) -> Decimal:
    """The value of a quantity; `where` names it in the message.

    Raises:
        CliError: 2 when it is not a quantity, or negative.
    """
    number, exponent, suffix = _split(text, where)
    return Decimal(number + exponent) * _SUFFIXES[suffix]


def multiply(text: str, factor: int, where: str) -> str:
    """`factor` times a quantity, in the unit it is written in: 3 × "500m" is "1500m".

    Raises:
        CliError: 2 when it is not a quantity, or negative.
    """
    number, exponent, suffix = _split(text, where)
    product = format((Decimal(number) * factor).normalize(), "f")
    return f"{product}{exponent}{suffix}"


def _split(text: str, where: str) -> tuple[str, str, str]:
    found = _FORM.fullmatch(text)
    if found is None:
        raise usage(f"{where} is {text!r}; it must be {fault(text)}")
    return found[1], found[2] or "", found[3] or ""


def shown(value: Decimal) -> str:
    """A number for people: whole, or with three digits; in binary units from 1 Mi up."""
    for suffix in ("Ti", "Gi", "Mi"):
        if value >= _SUFFIXES[suffix]:
            return f"{_short(value / _SUFFIXES[suffix])}{suffix}"
    return _short(value)


def _short(value: Decimal) -> str:
    return str(int(value)) if value == int(value) else f"{value:.3g}"
