"""The dashboards are ones that Grafana can load, and ask for nothing that is not there."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import jsonschema
import pytest

from monitoring import conditions, queries
from monitoring.alerts import ALERTS
from monitoring.dashboards import DASHBOARDS
from monitoring.grafana import WIDTH, Dashboard, to_json
from tests.unit.monitoring.names import metrics, used

QUERY_ROWS = [pytest.param(to_json(one), id=one.uid) for one in DASHBOARDS]
# What Grafana 11 needs of a dashboard and its panels, by its own documentation.
SCHEMA = {
    "type": "object",
    "required": ["uid", "title", "schemaVersion", "panels", "templating", "annotations", "time"],
    "properties": {
        "uid": {"type": "string", "pattern": "^[a-zA-Z0-9_-]{1,27}$"},  # with a dash and 12 characters of the hash: 40
        "panels": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "type", "title", "gridPos"],
                "properties": {
                    "id": {"type": "integer", "minimum": 1},
                    "type": {"enum": ["row", "timeseries", "stat", "gauge", "bargauge", "table"]},
                    "gridPos": {
                        "type": "object",
                        "required": ["x", "y", "w", "h"],
                        "additionalProperties": {"type": "integer", "minimum": 0},
                    },
                    "targets": {
                        "type": "array",
                        "minItems": 1,
                        "items": {
                            "required": ["refId", "expr", "datasource"],
                            "properties": {"refId": {"pattern": "^[A-Z]$"}, "expr": {"minLength": 1}},
                        },
                    },
                },
            },
        },
    },
}


def panels(dashboard: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [one for one in dashboard["panels"] if one["type"] != "row"]


def expressions(dashboard: Mapping[str, Any]) -> Iterator[str]:
    """Of panels, annotations and variables."""
    yield from (target["expr"] for one in panels(dashboard) for target in one["targets"])
    yield from (one["expr"] for one in dashboard["annotations"]["list"])
    yield from (one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query")


def constants(module: ModuleType) -> set[str]:
    """The queries of a module: its public names that are text, but for matchers, which are parts of them."""
    found = {name: value for name, value in vars(module).items() if name.isupper() and not name.startswith("_")}
    parts = ("NAMESPACE", "RUN", "RANK_0", "RANKS", "LISTED", "WORKED", "NOT_STOPPED", "VALID", "UP")
    return {value for name, value in found.items() if isinstance(value, str) and name not in parts}


EVERY_QUERY = sorted(constants(queries) | constants(conditions))


@pytest.mark.parametrize("dashboard", QUERY_ROWS)
def test_it_is_a_dashboard(dashboard: dict[str, Any]) -> None:
    jsonschema.validate(dashboard, SCHEMA)
    assert json.loads(json.dumps(dashboard)) == dashboard


@pytest.mark.parametrize("dashboard", QUERY_ROWS)
def test_panels_have_ids_of_their_own_and_places_that_do_not_overlap(dashboard: dict[str, Any]) -> None:
    ids = [one["id"] for one in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    for one, other in itertools.combinations(dashboard["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        assert apart or a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"], (one["title"], other["title"])
    assert all(one["gridPos"]["x"] + one["gridPos"]["w"] <= WIDTH for one in dashboard["panels"])


@pytest.mark.parametrize("dashboard", QUERY_ROWS)
def test_a_panel_says_what_it_shows_and_in_which_unit(dashboard: dict[str, Any]) -> None:
    for one in panels(dashboard):
        assert one["description"].endswith("."), one["title"]
        assert one["fieldConfig"]["defaults"]["unit"], one["title"]
        for override in one["fieldConfig"]["overrides"]:
            names = {entry["id"] for entry in override["properties"]}
            assert names & {"unit", "links", "color"}, (one["title"], override["matcher"])


@pytest.mark.parametrize("dashboard", QUERY_ROWS)
def test_a_panel_that_may_be_empty_says_when(dashboard: dict[str, Any]) -> None:
    for one in panels(dashboard):
        asked = " ".join(target["expr"] for target in one["targets"])
        if re.search(r"gpu|DCGM|listed_cost|storage_retries|eta_seconds", asked):
            assert re.search(r"[Ee]mpty|No value|No alert", one["description"]), one["title"]


@pytest.mark.parametrize("dashboard", QUERY_ROWS)
def test_everything_asks_the_chosen_data_source(dashboard: dict[str, Any]) -> None:
    chosen = {"type": "prometheus", "uid": "${datasource}"}
    askers = [*panels(dashboard), *(target for one in panels(dashboard) for target in one["targets"])]
    askers += dashboard["annotations"]["list"]
    askers += [one for one in dashboard["templating"]["list"] if one["type"] == "query"]
    assert all(one["datasource"] == chosen for one in askers)
    assert dashboard["templating"]["list"][0]["name"] == "datasource"


@pytest.mark.parametrize("dashboard", QUERY_ROWS)
def test_every_variable_is_used_and_every_one_used_is_there(dashboard: dict[str, Any]) -> None:
    declared = {one["name"] for one in dashboard["templating"]["list"]}
    asked = {name for text in expressions(dashboard) for name in re.findall(r"\$([a-z]\w*)", text)}
    assert asked | {"datasource"} == declared
    own = {name for text in expressions(dashboard) for name in re.findall(r"\$(_\w+)", text)}
    assert own <= {"__rate_interval", "__range"}


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_links_keep_what_is_chosen(dashboard: Dashboard) -> None:
    text = json.dumps(to_json(dashboard))
    links = re.findall(r'"url": "(/d/[^"]*)"', text)
    assert links
    assert all("${datasource:queryparam}&${namespace:queryparam}" in one for one in links)
    assert all(re.match(r"/d/(catdog-run|catdog-runs)\?", one) for one in links), "the chart renames these two"


def test_every_query_has_its_place_and_is_used() -> None:
    asked = {text for one in DASHBOARDS for text in expressions(to_json(one))}
    assert asked == constants(queries)
    assert {alert.condition for alert in ALERTS} == constants(conditions)


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_a_query_asks_for_metrics_and_labels_that_exist(query: str) -> None:
    found = used(query)
    assert found
    for name, matchers in found:
        assert name in metrics(), name
        labels = set(re.findall(r"(\w+)\s*[!=]~?=?\s*\"", matchers))
        assert labels <= metrics()[name], (name, labels - metrics()[name])


def test_every_metric_of_a_worker_is_shown_or_watched() -> None:
    asked = {whole(name) for query in EVERY_QUERY for name, _ in used(query)}
    served = {whole(name) for name in metrics() if re.match(r"catdog_(?!listed_)", name)}
    assert served - asked == set()


def whole(name: str) -> str:
    """The histogram of which a series is a part."""
    return re.sub(r"_(bucket|sum|count)$", "", name)


COUNTED = re.compile(r"catdog_\w+_(?:total|bucket|sum|count)\b")
# Counted before the first scrape.
KNOWN_AT_THE_START = {"catdog_checkpoints_refused_total"}


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_counters_of_a_process_are_only_in_rate_and_increase(query: str) -> None:
    counted = re.sub(r"(?:rate|increase)\(catdog_\w+(?:{[^}]*})?\[", "", query)
    assert set(COUNTED.findall(counted)) <= KNOWN_AT_THE_START


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_a_time_that_is_0_is_no_age(query: str) -> None:
    for name, after in re.findall(r"(catdog_(?!listed)\w+_timestamp_seconds)(?:{[^}]*})?(.{4})", query):
        assert after == " > 0", name


# Those with labels of their own are not there at all on other ranks.
OF_RANK_0 = re.compile(
    "catdog_(step|total_steps|epoch|goodput_ratio|lost_steps|eta_seconds|checkpoint_step|checkpoint_timestamp_seconds)"
)


@pytest.mark.parametrize("query", EVERY_QUERY)
def test_what_other_ranks_have_at_0_is_asked_of_rank_0(query: str) -> None:
    """Rank 1 may be scraped once more than rank 0, and `max by (run)` would then be 0."""
    for name, matchers in used(query):
        if OF_RANK_0.fullmatch(name):
            assert 'rank="0"' in matchers, name
