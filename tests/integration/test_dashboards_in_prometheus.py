"""A real Prometheus with made-up runs is asked every query of the dashboards, and their pictures are drawn from it."""

import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from monitoring import queries
from monitoring.dashboards import A_RUN, DASHBOARDS, RUNS
from monitoring.grafana import Dashboard
from monitoring.pictures import draw
from monitoring.prometheus import Prometheus, Unanswered
from tests.integration.alert_series import NAMESPACE
from tests.integration.made_up_runs import BEGIN, BROKEN, DONE, GONE, GPU, INTERVAL, LENGTH, PLAIN, open_metrics
from tests.panels import empty_panels

STARTS_WITHIN = 60.0


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "runs.om").write_text("".join(line + "\n" for line in open_metrics()))
    made = ["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", "runs.om", "data"]
    subprocess.run(made, cwd=folder, check=True, timeout=100, capture_output=True)
    (folder / "prometheus.yml").write_text("{}\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"]
    command += [f"--web.listen-address={address}", "--storage.tsdb.retention.time=100y"]
    with subprocess.Popen(command, cwd=folder) as server:
        try:
            await_ready(f"http://{address}/-/ready")
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait(30)


def await_ready(url: str) -> None:
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.2)
    pytest.fail(f"{url} does not answer")


def asking(url: str, run: str) -> Prometheus:
    chosen = {"namespace": NAMESPACE, "run": run, "rank": ".*"}
    return Prometheus(url, chosen, int(LENGTH / 60), int(INTERVAL), BEGIN + LENGTH)


def test_with_gpus_dcgm_prices_and_a_failure_no_panel_is_empty(url: str) -> None:
    of_exported_models = [("Accuracy", 2)]
    titles = [title for title, _ in empty_panels(A_RUN, asking(url, GPU))]
    assert titles == [title for title, times in of_exported_models for _ in range(times)]
    assert empty_panels(RUNS, asking(url, GPU)) == []


def test_of_a_plain_run_a_panel_that_is_empty_says_why(url: str) -> None:
    silent = empty_panels(A_RUN, asking(url, PLAIN))
    assert {title for title, _ in silent} >= {"GPU utilisation", "GPU memory of TensorFlow", "Cost", "Retries"}
    for title, description in silent:
        assert re.search("[Ee]mpty|appear when the run ends", description), title


def test_what_the_exported_model_scored_is_shown_after_the_end(url: str) -> None:
    ended = asking(url, DONE)
    assert ended.over_time(queries.BALANCED_ACCURACY)[0].values[-1] == 0.961
    assert ended.over_time(queries.MACRO_F1)[0].values[-1] == 0.96


def test_the_last_values_are_those_of_rank_0_even_if_another_rank_is_scraped_later(url: str) -> None:
    ended = asking(url, DONE)
    assert ended.over_time(queries.GOODPUT)[0].values[-1] > 0.9
    assert max(ended.over_time(queries.STEPS_AT_RISK)[0].values) < 200
    table = {one.labels["run"]: one.values[0] for one in ended.now(queries.RUNS_GOODPUT)}
    assert table[DONE] > 0.9


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_variables_and_annotations_are_answered(url: str, dashboard: Dashboard) -> None:
    source = asking(url, GPU)
    for one in dashboard.annotations:
        assert source.over_time(one.expr)[0].labels["alertname"] == "CatdogStorageRetries"
    for variable in dashboard.variables:
        series, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable.query).groups()  # type: ignore[union-attr]
        assert {one.labels[label] for one in source.over_time(series)} >= {
            source.variables[label][:99].rstrip(".*") or "0"
        }


def test_the_table_of_runs_knows_how_each_stands(url: str) -> None:
    states = {one.labels["run"]: int(one.values[0]) for one in asking(url, GPU).now(queries.RUNS_STATE)}
    number = {name: index for index, name in enumerate(queries.STATES, 1)}
    running, succeeded, failed = number["running"], number["succeeded"], number["failed"]
    assert states == {GPU: running, PLAIN: running, DONE: succeeded, BROKEN: failed, GONE: queries.GONE}


def test_what_is_counted_over_restarts_is_one_curve(url: str) -> None:
    (steps,) = asking(url, GPU).over_time(queries.STEP)
    assert steps.values[-1] > 15_000
    (risk,) = asking(url, GPU).over_time(queries.STEPS_AT_RISK)
    assert all(value <= 400 for at, value in zip(risk.times, risk.values, strict=True) if at > BEGIN + 6_600)


def test_gpus_are_found_by_either_way_of_labelling(url: str) -> None:
    found = asking(url, GPU).over_time(queries.GPU_UTILISATION)
    assert {(one.labels["run"], one.labels["rank"], one.labels["gpu"]) for one in found} == {
        (GPU, "0", "0"),
        (GPU, "1", "1"),
    }


def test_both_dashboards_are_drawn(url: str, tmp_path: Path) -> None:
    drawn = list(draw(asking(url, GPU), tmp_path))
    assert [path.name for path in drawn] == ["catdog-run.png", "catdog-runs.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_query_that_prometheus_refuses_is_told_with_the_reason(url: str) -> None:
    with pytest.raises(Unanswered, match=r"refuses 'max by \(': .*parse error"):
        asking(url, GPU).now("max by (")


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(Unanswered, match=r"http://127.0.0.1:1 does not answer"):
        asking("http://127.0.0.1:1", GPU).now("up")
