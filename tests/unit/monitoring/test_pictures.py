"""Values in words, queries as Grafana would fill them in, and where panels are drawn."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from monitoring.drawing import colour_of, last, name_of
from monitoring.grafana import Panel, Row, Target, places
from monitoring.prometheus import Series, filled
from monitoring.units import divisor, shown

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "words"),
    [
        (0.716, "percentunit", None, "71.6 %"),
        (84, "percent", 0, "84 %"),
        (90, "s", None, "1.5 min"),
        (0.25, "s", None, "250 ms"),
        (4e-5, "s", None, "40 µs"),
        (0, "s", None, "0 s"),
        (2 * 86400, "s", None, "2 d"),
        (6, "h", 1, "6.0 h"),
        (8 * 2**30, "bytes", None, "8 GiB"),
        (1536, "Bps", None, "1.5 KiB/s"),
        (12288, "mbytes", None, "12 GiB"),
        (0, "bytes", None, "0 B"),
        (0.1, "ops", None, "0.1 ops/s"),
        (128, "suffix: /s", None, "128 /s"),
        (25000, "short", None, "25 k"),
        (210, "short", None, "210"),
        (3, "none", None, "3"),
        (2.04, "none", None, "2.04"),
        (2.04, "none", 0, "2"),
        (0.0005, "sci", None, "0.0005"),
        (math.nan, "s", None, "–"),
        (-90, "s", None, "-1.5 min"),
    ],
)
def test_a_value_has_its_unit(value: float, unit: str, decimals: int | None, words: str) -> None:
    assert shown(value, unit, decimals) == words


@pytest.mark.parametrize(
    ("high", "unit", "size"),
    [(300, "s", 60), (0.4, "s", 1e-3), (5 * 2**30, "bytes", 2**30), (12000, "mbytes", 1024), (7, "short", 1)],
)
def test_ticks_are_multiples_of_the_unit_shown(high: float, unit: str, size: float) -> None:
    assert divisor(high, unit) == size


def test_the_longest_variable_is_filled_in_first() -> None:
    query = 'a{run="$run", rank=~"$rank"}[$__range] + b[$__rate_interval] + label_replace(c, "d", "$1", "e", "(.+)")'
    made = filled(query, {"run": "cats", "rank": ".*", "r": "wrong"}, 3600, 60)
    assert made == 'a{run="cats", rank=~".*"}[3600s] + b[60s] + label_replace(c, "d", "$1", "e", "(.+)")'


def test_a_series_is_named_by_its_legend() -> None:
    assert name_of("rank {{rank}}, GPU {{gpu}}", {"rank": "1", "gpu": "0"}) == "rank 1, GPU 0"
    assert name_of("", {"run": "cats"}) == "run=cats"
    assert name_of("{{split}}", {}) == ""


def test_the_last_number_is_shown_as_grafana_does() -> None:
    assert last(Series({}, (1, 2, 3), (5, 7, math.nan))) == 7
    assert math.isnan(last(Series({}, (1,), (math.nan,))))


def test_a_threshold_colours_what_is_at_or_above_it() -> None:
    thresholds = ((0.0, "red"), (0.5, "orange"), (0.8, "green"))
    found = [colour_of(value, thresholds, {}) for value in (0.49, 0.5, 0.8)]
    assert len(set(found)) == 3
    assert colour_of(2, (), {1: ("running", "blue")}) == colour_of(math.nan, (), {1: ("running", "blue")})


def test_panels_fill_a_line_before_they_begin_the_next() -> None:
    cells = tuple(Panel(str(n), "", "none", (Target("a"),), width=10, height=4 + n) for n in range(3))
    placed = [(place.x, place.y) for _, place in places([Row("one", cells), Row("two", ())])]
    assert placed == [(0, 0), (0, 1), (10, 1), (0, 6), (0, 12)]


def monitoring(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "monitoring", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


def test_rules_are_printed_with_durations_divided() -> None:
    done = monitoring("rules", "--scale", "30")
    assert done.returncode == 0
    assert "[20s]" in done.stdout


def test_a_scale_that_is_none_is_a_usage_error() -> None:
    done = monitoring("rules", "--scale", "0")
    assert done.returncode == 2
    assert "argument --scale: '0' is no whole number above 0" in done.stderr


def test_no_prometheus_is_one_line(tmp_path: Path) -> None:
    words = ("--prometheus", "http://127.0.0.1:1", "--namespace", "ml", "--run", "a", "--out", str(tmp_path))
    done = monitoring("pictures", *words)
    assert done.returncode == 69
    assert done.stderr.startswith("monitoring: http://127.0.0.1:1 does not answer")
    assert len(done.stderr.splitlines()) == 1


def test_dashboards_are_text_that_people_can_compare() -> None:
    for path in (ROOT / "helm" / "catdog" / "dashboards").iterdir():
        assert json.loads(path.read_text())["panels"], path
        assert "\\u" not in path.read_text()
