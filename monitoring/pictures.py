"""The dashboards as pictures for docs, drawn from what a Prometheus has, where no Grafana is."""

import io
import math
from collections.abc import Iterator
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from monitoring import drawing
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import WIDTH, Cell, Dashboard, Labels, Place, Row, Table, places
from monitoring.prometheus import Prometheus

COLUMN, LINE = 0.68, 0.4  # inches
MARGIN, TITLE = 0.25, 0.7  # inches
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.62, 0.15, 0.38, 0.4  # inches around the axes of a panel
_LEGEND_LINE = 0.15
DPI = 90
COLOURS = 128  # a third of the bytes, and nothing that shows


def draw(source: Prometheus, folder: Path) -> Iterator[Path]:
    """Draw each dashboard to `folder`/UID.png, and yield the paths. Raises Unanswered."""
    for dashboard in DASHBOARDS:
        path = folder / f"{dashboard.uid}.png"
        drawn = io.BytesIO()
        picture(dashboard, source).savefig(drawn, dpi=DPI, facecolor="white")
        Image.open(drawn).convert("RGB").quantize(COLOURS).save(path, optimize=True)
        yield path


def picture(dashboard: Dashboard, source: Prometheus) -> Figure:
    """A dashboard with the data of `source`, in its grid. Raises Unanswered."""
    placed = list(places(dashboard.rows))
    tall = max(place.y + place.height for _, place in placed) * LINE + TITLE + MARGIN
    figure = Figure(figsize=(WIDTH * COLUMN + 2 * MARGIN, tall))
    chosen = {name: source.variables[name] for name in ("namespace", "run") if _uses(dashboard, name)}
    words = ", ".join(f"{name} {value}" for name, value in chosen.items())
    _text(figure, MARGIN, 0.32, f"{dashboard.title}: {words}", size=15)
    for one, place in placed:
        if isinstance(one, Row):
            _text(figure, MARGIN + place.x * COLUMN, TITLE + place.y * LINE + 0.28, one.title, size=12)
        else:
            _cell(figure, one, place, source)
    return figure


def _uses(dashboard: Dashboard, name: str) -> bool:
    return any(variable.name == name for variable in dashboard.variables)


def _text(figure: Figure, x: float, y: float, text: str, size: float) -> None:
    """Text at so many inches from the upper left."""
    width, height = figure.get_size_inches()
    figure.text(x / width, 1 - y / height, text, fontsize=size, color=drawing.INK, va="center")


def _frame(figure: Figure, box: tuple[float, float, float, float]) -> None:
    """A thin line around a panel: inches from the left, from above, wide and tall."""
    width, height = figure.get_size_inches()
    left, top, wide, tall = box
    corner = ((left + 0.04) / width, 1 - (top + tall - 0.04) / height)
    sides = ((wide - 0.08) / width, (tall - 0.08) / height)
    figure.add_artist(Rectangle(corner, *sides, fill=False, edgecolor=drawing.LINE, linewidth=0.8))


def _cell(figure: Figure, one: Cell, place: Place, source: Prometheus) -> None:
    left, top = MARGIN + place.x * COLUMN, TITLE + place.y * LINE
    _frame(figure, (left, top, place.width * COLUMN, place.height * LINE))
    _text(figure, left + 0.12, top + 0.2, one.title, size=9.5)
    if isinstance(one, Table | Labels):
        axes = _axes(figure, place, (0.12, 0.12, _ABOVE, 0.05))
        if isinstance(one, Table):
            drawing.table(axes, one, [source.now(column.expr) for column in one.columns])
        elif found := source.now(one.expr):
            drawing.labels(axes, one, found)
        else:
            drawing.empty(axes)
        return
    named = [
        (drawing.name_of(target.legend, series.labels), series)
        for target in one.targets
        for series in (source.now if one.now else source.over_time)(target.expr)
    ]
    if one.kind == "timeseries":
        names = [name for name, _ in named[: drawing.LEGEND_ENTRIES]]
        lines = math.ceil(len(names) / drawing.legend_columns(one, names)) if names else 1
        axes = _axes(figure, place, (_LEFT, _RIGHT, _ABOVE, _BELOW + lines * _LEGEND_LINE))
    elif one.kind == "bargauge":
        axes = _axes(figure, place, (0.9, _RIGHT, _ABOVE, 0.15))
    else:
        axes = _axes(figure, place, (0.12, 0.12, _ABOVE, 0.1))
    if not named:
        drawing.empty(axes)
    elif one.kind == "timeseries":
        drawing.lines(axes, one, named, (source.until - source.minutes * 60, source.until))
    elif one.kind == "bargauge":
        drawing.bars(axes, one, named)
    else:
        drawing.values(axes, one, named)


def _axes(figure: Figure, place: Place, around: tuple[float, float, float, float]) -> Axes:
    """Axes in a panel, inside margins in inches: left, right, above, below."""
    width, height = figure.get_size_inches()
    left, right, above, below = around
    x, y = MARGIN + place.x * COLUMN, TITLE + place.y * LINE
    wide, tall = place.width * COLUMN - left - right, place.height * LINE - above - below
    return figure.add_axes(((x + left) / width, 1 - (y + above + tall) / height, wide / width, tall / height))
