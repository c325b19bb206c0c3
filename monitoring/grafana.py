"""Dashboards as values, and the JSON that Grafana reads. Pure; what is on them is in `monitoring.dashboards`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = 39  # Grafana 11; newer ones migrate it when they load it
WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True)
class Target:
    """A query and the name of its series."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Panel:
    """A panel. `unit` is one of Grafana's; width and height are in its grid of 24 columns.

    Attributes:
        kind: timeseries, stat, gauge or bargauge.
        description: what it shows, what is good or bad, and when it is empty.
        thresholds: value → colour from there on; below the first it is green.
        texts: words for whole numbers, with a colour.
        stacked: areas on top of each other.
        now: the value at the end of the time shown; otherwise the last that there was, so that it outlives the run.
        colours: of series, by the name in the legend; others get one of Grafana's palette.
    """

    title: str
    description: str
    unit: str
    targets: tuple[Target, ...]
    kind: str = "timeseries"
    width: int = 8
    height: int = 7
    thresholds: tuple[tuple[float, str], ...] = ()
    texts: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    minimum: float | None = None
    maximum: float | None = None
    decimals: int | None = None
    stacked: bool = False
    now: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Column:
    """A column of a table."""

    title: str
    expr: str
    unit: str
    thresholds: tuple[tuple[float, str], ...] = ()
    texts: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    decimals: int | None = None


@dataclass(frozen=True)
class Table:
    """A table: a row for each value of the label `key`, which links somewhere, and a column for each query."""

    title: str
    description: str
    key: str
    link: str
    columns: tuple[Column, ...]
    width: int = WIDTH
    height: int = 8
    unit: str = "short"


@dataclass(frozen=True)
class Labels:
    """A table of the labels of some series, such as those that end in _info."""

    title: str
    description: str
    expr: str
    width: int = 12
    height: int = 4
    unit: str = "none"


Cell = Panel | Table | Labels


@dataclass(frozen=True)
class Row:
    """Panels below a heading."""

    title: str
    panels: tuple[Cell, ...]


@dataclass(frozen=True)
class Variable:
    """A variable that is chosen from the values of a label; `several`: any number of them, at first all."""

    name: str
    title: str
    query: str
    several: bool = False


@dataclass(frozen=True)
class Annotation:
    """Marks on all panels, where a query has a value."""

    title: str
    expr: str
    text: str
    colour: str = "red"


@dataclass(frozen=True)
class Dashboard:
    """A dashboard. The chart appends the namespace to its title, and a hash of it to its uid."""

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    annotations: tuple[Annotation, ...]
    rows: tuple[Row, ...]
    links: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a panel is in the grid: columns and rows from the upper left."""

    x: int
    y: int
    width: int
    height: int

    def to_json(self) -> dict[str, int]:
        """As Grafana has it."""
        return {"x": self.x, "y": self.y, "w": self.width, "h": self.height}


def places(rows: Sequence[Row]) -> Iterator[tuple[Row | Cell, Place]]:
    """Headings and panels in order, from left to right as long as they fit."""
    y = 0
    for row in rows:
        yield row, Place(0, y, WIDTH, 1)
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > WIDTH:
                x, y, tallest = 0, y + tallest, 0
            yield panel, Place(x, y, panel.width, panel.height)
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest


def to_json(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana loads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["catdog"],
        "schemaVersion": SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "links": [_link(title, url) for title, url in dashboard.links],
        "annotations": {"list": [_annotation(one) for one in dashboard.annotations]},
        "templating": {"list": [_DATA_SOURCE, *map(_variable, dashboard.variables)]},
        "panels": [_placed(number, one, place) for number, (one, place) in enumerate(places(dashboard.rows), 1)],
    }


_DATA_SOURCE = {
    "name": "datasource",
    "label": "Data source",
    "type": "datasource",
    "query": "prometheus",
    "current": {},
}


def _variable(one: Variable) -> dict[str, Any]:
    return {
        "name": one.name,
        "label": one.title,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": one.query, "refId": one.name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": one.several,
        "includeAll": one.several,
        **({"allValue": ".*"} if one.several else {}),
        "current": {"text": "All", "value": "$__all"} if one.several else {},
    }


def _annotation(one: Annotation) -> dict[str, Any]:
    return {
        "name": one.title,
        "datasource": SOURCE,
        "enable": True,
        "iconColor": one.colour,
        "expr": one.expr,
        "step": "60s",
        "titleFormat": "{{alertname}}",
        "textFormat": one.text,
    }


def _link(title: str, url: str) -> dict[str, Any]:
    return {"title": title, "type": "link", "url": url, "icon": "dashboard", "targetBlank": False, "keepTime": True}


def _placed(number: int, one: Row | Cell, place: Place) -> dict[str, Any]:
    made: dict[str, Any] = {"id": number, "title": one.title, "gridPos": place.to_json()}
    if isinstance(one, Row):
        return {**made, "type": "row", "collapsed": False, "panels": []}
    made |= {"description": one.description, "datasource": SOURCE}
    if isinstance(one, Panel):
        return made | _panel(one)
    return made | (_table(one) if isinstance(one, Table) else _labels(one))


def _panel(one: Panel) -> dict[str, Any]:
    instant = {"instant": True, "range": False} if one.now else {}
    targets = [_target(index, target.expr, target.legend, **instant) for index, target in enumerate(one.targets)]
    defaults = _field(one.unit, one.thresholds, one.texts, one.decimals)
    limits = {"min": one.minimum, "max": one.maximum}
    defaults |= {name: value for name, value in limits.items() if value is not None}
    if one.kind == "timeseries":
        defaults["color"] = {"mode": "palette-classic"}
        defaults["custom"] = _LINES | (_AREAS if one.stacked else {}) | (_MARKED if one.thresholds else {})
    return {
        "type": one.kind,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": [_coloured(*pair) for pair in one.colours.items()]},
        "options": _LEGEND if one.kind == "timeseries" else _ONE_VALUE | _KINDS.get(one.kind, {}),
    }


_LINES = {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never", "spanNulls": False}
_AREAS = {"stacking": {"mode": "normal"}, "fillOpacity": 60, "lineWidth": 0}
_MARKED = {"thresholdsStyle": {"mode": "dashed"}}
_LEGEND = {
    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
    "tooltip": {"mode": "multi", "sort": "desc"},
}
_ONE_VALUE = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
_KINDS: Mapping[str, dict[str, Any]] = {
    "stat": {"colorMode": "value", "graphMode": "none", "textMode": "auto"},
    "bargauge": {"orientation": "horizontal", "displayMode": "basic", "showUnfilled": False},
    "gauge": {"showThresholdLabels": False, "showThresholdMarkers": False},
}


def _target(index: int, expr: str, legend: str = "", **more: Any) -> dict[str, Any]:
    return {"refId": _letter(index), "datasource": SOURCE, "expr": expr, "legendFormat": legend or "__auto", **more}


def _letter(index: int) -> str:
    return chr(ord("A") + index)


def _field(
    unit: str,
    thresholds: Sequence[tuple[float, str]],
    texts: Mapping[int, tuple[str, str]],
    decimals: int | None,
) -> dict[str, Any]:
    steps = [{"value": None, "color": "green"}, *({"value": value, "color": colour} for value, colour in thresholds)]
    options = {str(value): {"text": text, "color": colour} for value, (text, colour) in texts.items()}
    return {
        "unit": unit,
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": [{"type": "value", "options": options}] if options else [],
        **({} if decimals is None else {"decimals": decimals}),
    }


def _table(one: Table) -> dict[str, Any]:
    targets = [
        _target(index, column.expr, instant=True, range=False, format="table")
        for index, column in enumerate(one.columns)
    ]
    renamed = {f"Value #{_letter(index)}": column.title for index, column in enumerate(one.columns)}
    order = {one.key: 0, **{f"Value #{_letter(index)}": index + 1 for index in range(len(one.columns))}}
    overrides = [_override(one.key, {"links": [{"title": "Its dashboard", "url": one.link}]})]
    for column in one.columns:
        shown: dict[str, Any] = _field(column.unit, column.thresholds, column.texts, column.decimals)
        if column.thresholds or column.texts:
            shown["custom.cellOptions"] = {"type": "color-text"}
        overrides.append(_override(column.title, shown))
    organised = {"excludeByName": {"Time": True, "namespace": True}, "indexByName": order, "renameByName": renamed}
    return {
        "type": "table",
        "targets": targets,
        "transformations": [{"id": "merge", "options": {}}, {"id": "organize", "options": organised}],
        "fieldConfig": {"defaults": {"unit": one.unit}, "overrides": overrides},
        "options": {"showHeader": True},
    }


def _override(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key, "value": value} for key, value in properties.items()],
    }


def _coloured(name: str, colour: str) -> dict[str, Any]:
    return _override(name, {"color": {"mode": "fixed", "fixedColor": colour}})


def _labels(one: Labels) -> dict[str, Any]:
    hidden = {"excludeByName": {"Time": True, "Value": True}, "indexByName": {}, "renameByName": {}}
    return {
        "type": "table",
        "targets": [_target(0, one.expr, instant=True, range=False, format="table")],
        "transformations": [{"id": "organize", "options": hidden}],
        "fieldConfig": {"defaults": {"unit": one.unit}, "overrides": []},
        "options": {"showHeader": True},
    }
