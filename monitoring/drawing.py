"""Draws one panel with matplotlib. A plain likeness of what Grafana shows, for docs; light only."""

import itertools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from monitoring.grafana import Column, Labels, Panel, Table
from monitoring.prometheus import Series
from monitoring.units import divisor, shown

INK, FAINT, LINE = "#24292e", "#6a737d", "#d8dce0"
COLOURS = ("#3274d9", "#56a64b", "#e0871c", "#a352cc", "#c4162a", "#1f9e9e", "#8a6d3b", "#7c8793", "#e377c2", "#b5bd00")
_NAMED = {
    "green": "#37872d",
    "light-green": "#96d98d",
    "yellow": "#f2cc0c",
    "orange": "#e0871c",
    "red": "#e02f44",
    "dark-red": "#8c1523",
    "purple": "#8f3bb8",
    "light-purple": "#ca95e5",
    "light-blue": "#8ab8ff",
    "blue": "#3274d9",
    "semi-dark-blue": "#1f60c4",
    "dark-blue": "#103d80",
    "gray": "#b0b5ba",
    "text": INK,
}
LEGEND_ENTRIES = 12
_TICKS = MaxNLocator(nbins=5, steps=[1, 2, 5, 10])
_WHOLE = MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True)


def name_of(legend: str, labels: Mapping[str, str]) -> str:
    """The legend with labels filled in; without one, all of them."""
    if not legend:
        return ", ".join(f"{key}={value}" for key, value in labels.items())
    return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), legend)


def colour_of(value: float, thresholds: Sequence[tuple[float, str]], texts: Mapping[int, tuple[str, str]]) -> str:
    """The colour that Grafana would give to a value; ink where nothing says one."""
    if texts:
        return _NAMED[texts[round(value)][1]] if not math.isnan(value) and round(value) in texts else INK
    passed = [colour for least, colour in thresholds if value >= least]
    return _NAMED[passed[-1]] if passed else (_NAMED["green"] if thresholds else INK)


def words_of(value: float, one: Panel | Column) -> str:
    """A value in words, or with its unit."""
    if not math.isnan(value) and round(value) in one.texts:
        return one.texts[round(value)][0]
    return shown(value, one.unit, one.decimals)


def last(series: Series) -> float:
    """The last value that is a number."""
    return next((value for value in reversed(series.values) if not math.isnan(value)), math.nan)


def empty(axes: Axes) -> None:
    """Say that there is no data."""
    axes.axis("off")
    axes.text(0.5, 0.5, "no data", ha="center", va="center", color=FAINT, fontsize=9, transform=axes.transAxes)


def values(axes: Axes, panel: Panel, found: Sequence[tuple[str, Series]]) -> None:
    """One value for each series, large; a gauge with a bar."""
    axes.axis("off")
    for index, (name, series) in enumerate(found):
        value = last(series)
        colour = colour_of(value, panel.thresholds, panel.texts)
        x = (index + 0.5) / len(found)
        words = words_of(value, panel)
        size = 15 if len(words) < 14 else 10
        axes.text(x, 0.55, words, ha="center", va="center", color=colour, fontsize=size, transform=axes.transAxes)
        if len(found) > 1:
            axes.text(x, 0.15, name, ha="center", va="center", color=FAINT, fontsize=8, transform=axes.transAxes)
    if panel.kind == "gauge" and panel.maximum:
        axes.set(xlim=(0, panel.maximum), ylim=(0, 1))
        axes.barh([0.12], [panel.maximum], 0.12, color=LINE)
        axes.barh([0.12], [max(0.0, last(found[0][1]))], 0.12, color=COLOURS[0])


def bars(axes: Axes, panel: Panel, found: Sequence[tuple[str, Series]]) -> None:
    """A horizontal bar for each series, the longest first."""
    ordered = sorted(((last(series), name) for name, series in found), reverse=True)
    places = range(len(ordered))
    colours = [_NAMED[panel.colours.get(name, "blue")] for _, name in ordered]
    axes.barh(places, [value for value, _ in ordered], color=colours, height=0.6)
    axes.set_yticks(places, [name for _, name in ordered], fontsize=8, color=INK)
    axes.invert_yaxis()
    most = max(value for value, _ in ordered) or 1.0
    axes.set_xlim(0, most * 1.25)
    axes.set_xticks([])
    for place, (value, _) in zip(places, ordered, strict=True):
        axes.text(
            value + most * 0.02, place, shown(value, panel.unit, panel.decimals), va="center", fontsize=8, color=INK
        )
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def lines(axes: Axes, panel: Panel, found: Sequence[tuple[str, Series]], between: tuple[float, float]) -> None:
    """Curves over time, or areas on top of each other; `between` are the Unix times at both ends."""
    if panel.stacked:
        _areas(axes, panel, found)
    else:
        for index, (name, series) in enumerate(found):
            axes.plot(
                _dates(series.times), series.values, color=COLOURS[index % len(COLOURS)], linewidth=1.3, label=name
            )
    for least, colour in panel.thresholds:
        if least < axes.get_ylim()[1] * 1.5:
            axes.axhline(least, color=_NAMED[colour], linewidth=0.8, linestyle="--")
    axes.set_xlim(*_dates(between))
    _limit(axes, panel)
    locator = AutoDateLocator(minticks=3, maxticks=5)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))
    low, high = axes.get_ylim()
    size = divisor(high, panel.unit)
    ticks = (_WHOLE if panel.unit == "none" else _TICKS).tick_values(low / size, high / size)
    axes.set_yticks([tick * size for tick in ticks if low <= tick * size <= high])
    narrow = panel.unit.startswith("percent") and high - low < 0.1
    axes.yaxis.set_major_formatter(lambda value, _: shown(value, panel.unit, 1 if narrow else 0))
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(labelsize=7.5, colors=FAINT, length=0)
    _legend(axes, panel)


def legend_columns(panel: Panel, names: Sequence[str]) -> int:
    """How many names go side by side below a panel."""
    return max(1, min(len(names), int(panel.width * 0.68 / (0.4 + 0.065 * max(map(len, names))))))


def _legend(axes: Axes, panel: Panel) -> None:
    handles, names = axes.get_legend_handles_labels()
    handles, names = handles[:LEGEND_ENTRIES], names[:LEGEND_ENTRIES]
    axes.legend(
        handles,
        names,
        ncols=legend_columns(panel, names),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.22 / _inches(axes)),
        fontsize=7.5,
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
        labelcolor=INK,
    )


def _inches(axes: Axes) -> float:
    """How tall they are."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return float(axes.get_position().height * figure.get_figheight())


def _dates(times: Sequence[float]) -> list[float]:
    return [float(date2num(datetime.fromtimestamp(at))) for at in times]


def _areas(axes: Axes, panel: Panel, found: Sequence[tuple[str, Series]]) -> None:
    times = sorted({at for _, series in found for at in series.times})
    by_time = [dict(zip(series.times, series.values, strict=True)) for _, series in found]
    heights = [[_number(one.get(at, 0.0)) for at in times] for one in by_time]
    colours = [_NAMED[panel.colours[name]] if name in panel.colours else other for (name, _), other in _coloured(found)]
    axes.stackplot(_dates(times), heights, labels=[name for name, _ in found], colors=colours, alpha=0.8, linewidth=0)


def _coloured(found: Sequence[tuple[str, Series]]) -> Iterator[tuple[tuple[str, Series], str]]:
    return zip(found, itertools.cycle(COLOURS), strict=False)


def _number(value: float) -> float:
    return 0.0 if math.isnan(value) else value


def _limit(axes: Axes, panel: Panel) -> None:
    low, high = axes.get_ylim()
    low = low if panel.minimum is None else panel.minimum
    high = high if panel.maximum is None else panel.maximum
    if panel.unit == "none":
        high = max(high, low + 1)  # what is counted has no ticks between 0 and 1
    axes.set_ylim(low, high if high > low else low + 1)


def table(axes: Axes, one: Table, found: Sequence[Sequence[Series]]) -> None:
    """A row for each value of the key, and a column for each query."""
    keys = sorted({series.labels.get(one.key, "") for column in found for series in column})
    by_key = [{series.labels.get(one.key, ""): last(series) for series in column} for column in found]
    rows, colours = [], []
    for key in keys:
        cells = [column.get(key) for column in by_key]
        pairs = list(zip(one.columns, cells, strict=True))
        rows.append([key, *("" if value is None else words_of(value, column) for column, value in pairs)])
        colours.append(
            [_NAMED["blue"]]
            + [INK if value is None else colour_of(value, column.thresholds, column.texts) for column, value in pairs]
        )
    grid(axes, [one.key, *(column.title for column in one.columns)], rows, colours)


def labels(axes: Axes, one: Labels, found: Sequence[Series]) -> None:
    """A row for each series, and a column for each label."""
    names = sorted({name for series in found for name in series.labels})
    rows = [[_short(series.labels.get(name, "")) for name in names] for series in found]
    grid(axes, names, rows, [[INK] * len(names) for _ in rows])


def _short(text: str) -> str:
    return text if len(text) <= 16 else text[:15] + "…"


def grid(axes: Axes, heads: Sequence[str], rows: Sequence[Sequence[str]], colours: Sequence[Sequence[str]]) -> None:
    """Text in columns, as wide as what is in them; lines of a fixed height."""
    axes.axis("off")
    inches = _inches(axes)
    widths = [max(len(row[index]) for row in (heads, *rows)) + 2 for index in range(len(heads))]
    for index, head in enumerate(heads):
        x = sum(widths[:index]) / sum(widths)
        for line, row in enumerate((heads, *rows)):
            style = (FAINT, 8.0) if line == 0 else (colours[line - 1][index], 9.0)
            y = 1 - (line + 0.6) * 0.24 / inches
            axes.text(x, y, row[index] if line else head, color=style[0], fontsize=style[1], transform=axes.transAxes)
