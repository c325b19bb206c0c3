"""Prometheus's own tool runs the alerts on made-up runs: which fire, and which do not."""

import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring.alerts import ALERTS, TRIAL_SCALE, Disturbance, expected
from monitoring.rules import as_yaml
from tests.integration.alert_scenarios import CAUSES, DISTURBED, Scenario
from tests.integration.alert_series import input_series

REAL_INTERVAL, TRIAL_INTERVAL = 60.0, 1.0


def check(folder: Path, scenarios: list[Scenario], scale: int, interval: float) -> None:
    (folder / "rules.yaml").write_text(as_yaml(scale))
    written = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": f"{interval:g}s",
        "tests": [as_test(one, interval) for one in scenarios],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(written, width=10**9))
    command = ["promtool", "test", "rules", str(folder / "test.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]


def as_test(scenario: Scenario, interval: float) -> dict[str, Any]:
    times = [index * interval for index in range(int(scenario.length / interval) + 1)]
    others = [{"series": name, "values": " ".join(f"{value(now)}" for now in times)} for name, value in scenario.others]
    run = scenario.processes[0].run if scenario.processes else "b"
    ever = f'group by (alertname, run) (count_over_time(ALERTS{{alertstate="firing"}}[{scenario.length:.0f}s]))'
    samples = [{"labels": f'{{alertname="{alert}", run="{run}"}}', "value": 1} for alert in sorted(scenario.fires)]
    return {
        "name": scenario.name,
        "interval": f"{interval:g}s",
        "input_series": input_series(scenario.processes, scenario.length, interval) + others,
        "promql_expr_test": [{"expr": ever, "eval_time": f"{scenario.length:.0f}s", "exp_samples": samples}],
    }


def test_every_alert_has_a_cause_that_is_tried() -> None:
    assert {alert for one in CAUSES for alert in one.fires} == {alert.name for alert in ALERTS}


def test_an_alert_fires_for_its_cause_and_for_nothing_else(tmp_path: Path) -> None:
    check(tmp_path, list(CAUSES), 1, REAL_INTERVAL)


@pytest.mark.parametrize("disturbance", Disturbance)
def test_in_a_trial_a_disturbance_fires_what_the_table_says(tmp_path: Path, disturbance: Disturbance) -> None:
    ones = [replace(one, fires=expected(what)) for what, one in DISTURBED if what is disturbance]
    assert ones
    check(tmp_path, ones, TRIAL_SCALE, TRIAL_INTERVAL)


def test_as_installed_none_of_the_disturbances_lasts_long_enough_to_fire_anything(tmp_path: Path) -> None:
    check(tmp_path, [one for _, one in DISTURBED], 1, TRIAL_INTERVAL)
