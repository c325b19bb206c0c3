"""Alerts become rules, whose durations can all be divided by one number."""

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from k8s.terminal.exposition import exposition
from monitoring import files
from monitoring.alerts import ALERTS, Disturbance, expected
from monitoring.durations import expression, scaled, seconds
from monitoring.rules import as_yaml, groups
from tests.unit.monitoring import names

BOOK = files.ROOT / "docs" / "runbooks.md"


def test_the_files_are_those_that_the_code_makes() -> None:
    for path, text in files.made().items():
        assert (files.ROOT / path).read_text() == text, f"{path}: renew with make monitoring"
    there = {path.name for path in (files.ROOT / files.CHART / "dashboards").iterdir()}
    assert there == {path.name for path in files.made() if path.parent.name == "dashboards"}


def test_what_is_out_of_date_is_written_and_what_is_no_more_removed(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "runbooks.md").write_text(f"before\n{files.BEGIN}out of date\n{files.END}after\n")
    old = tmp_path / files.CHART / "dashboards" / "old.json"
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    assert old.relative_to(tmp_path) in files.write(tmp_path)
    assert not old.exists()
    text = (tmp_path / "docs" / "runbooks.md").read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "out of date" not in text
    assert files.write(tmp_path) == []


def test_runbooks_without_a_place_for_the_tables_are_refused() -> None:
    with pytest.raises(ValueError, match=r"runbooks.md has no lines"):
        files.with_tables("# Runbooks\n")


def test_every_alert_has_a_runbook_with_its_three_parts_and_none_is_left_over() -> None:
    parts = re.split(r"^## (\w+)$", BOOK.read_text(), flags=re.MULTILINE)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    assert list(sections) == [alert.name for alert in ALERTS]
    for name, text in sections.items():
        assert [word for word in ("**Meaning.**", "**Look at.**", "**Do.**") if word not in text] == [], name


def test_links_inside_the_runbooks_lead_somewhere() -> None:
    text = BOOK.read_text()
    targets = {name.lower() for name in re.findall(r"^## (\w+)$", text, re.MULTILINE)}
    assert set(re.findall(r"\]\(#(\w+)\)", text)) <= targets
    assert {alert.runbook.partition("#")[2] for alert in ALERTS} == targets


def test_a_rule_says_what_is_wrong_where_and_what_to_read() -> None:
    rules = yaml.safe_load(as_yaml())["groups"][0]["rules"]
    assert [rule["alert"] for rule in rules] == [alert.name for alert in ALERTS]
    for rule in rules:
        assert rule["labels"]["severity"] in ("critical", "warning", "info")
        assert "{{ $labels.run }} in {{ $labels.namespace }}" in rule["annotations"]["summary"]
        assert "{{{" not in str(rule)
        assert rule["annotations"]["runbook_url"] == f"docs/runbooks.md#{rule['alert'].lower()}"


def test_an_alert_is_by_run_so_that_its_texts_can_name_it() -> None:
    for alert in ALERTS:
        assert re.search(r"by \(namespace, run\b", alert.condition), alert.name
        for label in re.findall(r"\$labels\.(\w+)", alert.summary + alert.description):
            assert re.search(rf"by \([^)]*\b{label}\b", alert.condition), (alert.name, label)


def test_an_undisturbed_run_is_to_fire_nothing() -> None:
    assert expected(Disturbance.NONE) == frozenset()
    assert expected(Disturbance.PAUSED) == {"CatdogTargetDown"}
    assert expected(Disturbance.PAUSED_JOB) == {"CatdogWorkersMissing", "CatdogTargetDown"}


UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "ms": 0.001}


def durations(text: str) -> list[float]:
    """Seconds of every duration in a rule file, as Prometheus reads it."""
    found = re.findall(r"(?:\[|offset |for: )(\d+)(ms|s|m|h|d)\b", text)
    numbers = re.findall(r"(?:> |< )(\d{2,})\b", text)  # those in seconds
    return [int(number) * UNITS[unit] for number, unit in found] + [float(one) for one in numbers]


@pytest.mark.parametrize("scale", [2, 30, 60])
def test_every_duration_of_the_rules_is_divided(scale: int) -> None:
    real, trial = durations(as_yaml()), durations(as_yaml(scale))
    assert len(real) > 2 * len(ALERTS)
    assert [round(one / scale, 6) for one in real] == [round(one, 6) for one in trial]


def test_nothing_is_left_that_prometheus_would_not_read() -> None:
    assert "SECONDS(" not in as_yaml()
    assert all("for" not in rule or rule["for"] != "0s" for rule in groups()["groups"][0]["rules"])


@pytest.mark.parametrize(
    ("text", "scale", "expected"),
    [
        ("10m", 1, "10m"),
        ("10m", 30, "20s"),
        ("1d", 30, "48m"),
        ("15s", 30, "500ms"),
        ("2h", 7, "1028571ms"),
        ("0s", 30, "0s"),
    ],
)
def test_a_duration_is_divided_into_a_whole_number(text: str, scale: int, expected: str) -> None:
    assert scaled(text, scale) == expected


@given(st.integers(1, 10**6), st.sampled_from(sorted(UNITS)), st.integers(1, 1000))
def test_a_divided_duration_is_right_to_a_millisecond(number: int, unit: str, scale: int) -> None:
    wanted = seconds(f"{number}{unit}") / scale
    assert abs(float(seconds(scaled(f"{number}{unit}", scale)) - wanted)) <= 0.001


@pytest.mark.parametrize("text", ["", "10", "m", "1.5h", "-1m", "10 m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds(text)


def test_only_durations_are_divided() -> None:
    text = 'rate(a{b="10m"}[10m]) > SECONDS(1h) and a offset 2h > 0.5 * label_replace(c, "d", "$1", "e", "(.+)")'
    wanted = 'rate(a{b="10m"}[20s]) > 120 and a offset 4m > 0.5 * label_replace(c, "d", "$1", "e", "(.+)")'
    assert expression(text, 30) == wanted


def test_what_is_listed_is_what_the_list_prints() -> None:
    printed = set(re.findall(r"^# HELP (catdog_listed_\w+)", exposition([], {}, "ml"), re.MULTILINE))
    assert {name for name in names.metrics() if name.startswith("catdog_listed_")} == printed
