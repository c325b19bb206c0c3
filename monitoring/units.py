"""Grafana's units in words, for pictures: the value 90 in the unit "s" is "1.5 min"."""

import math

_TIMES = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"), (1e-3, "ms"), (0.0, "µs"))
_BYTES = ((2.0**40, "TiB"), (2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (0.0, "B"))
_SHORT = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (0.0, ""))
_FACTORS = {"mbytes": 2.0**20}
_ENDINGS = {"Bps": "/s", "ops": " ops/s"}


def shown(value: float, unit: str, decimals: int | None = None) -> str:
    """A value with its unit, as Grafana shows it or close to that; `decimals` is of percentages."""
    if math.isnan(value):
        return "–"
    if unit in ("percentunit", "percent"):
        return f"{value * (100 if unit == 'percentunit' else 1):.{1 if decimals is None else decimals}f} %"
    if unit == "s":
        return _scaled(value, _TIMES)
    if unit == "h":
        return f"{value:.{2 if decimals is None else decimals}f} h"
    if unit in ("bytes", "mbytes", "Bps"):
        return _scaled(value * _FACTORS.get(unit, 1.0), _BYTES) + _ENDINGS.get(unit, "")
    if unit == "sci":
        return f"{value:.2g}"
    if unit == "none":
        return f"{value:.{decimals or 0}f}" if value == round(value) or decimals == 0 else f"{value:.3g}"
    return _scaled(value, _SHORT) + (
        unit.removeprefix("suffix:") if unit.startswith("suffix:") else _ENDINGS.get(unit, "")
    )


def divisor(value: float, unit: str) -> float:
    """The size of the unit in which a value is shown: 60 for a few minutes in "s"; ticks of an axis are multiples."""
    units = {"s": _TIMES, "bytes": _BYTES, "mbytes": _BYTES, "Bps": _BYTES}.get(unit, ())
    factor = _FACTORS.get(unit, 1.0)
    return next((size for size, _ in units if size and abs(value * factor) >= size), 1.0) / factor


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    if value == 0:
        name = next((name for size, name in units if size <= 1.0), "")
        return f"0 {name}".strip()
    size, name = next((size, name) for size, name in units if abs(value) >= size)
    number = value / size if size else value / (1e-6 if name == "µs" else 1.0)
    return f"{_plain(number)} {name}".strip()


def _plain(number: float) -> str:
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"
