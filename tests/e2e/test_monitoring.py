"""A real Prometheus scrapes real runs: what it says is what their files say, and alerts fire for their cause alone."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import alerts
from monitoring.alerts import TRIAL_SCALE, Disturbance
from monitoring.dashboards import A_RUN
from monitoring.pictures import draw
from monitoring.prometheus import Prometheus as Source
from tests.cluster import api
from tests.cluster.layout import WATCHED_BY_A_TEST
from tests.e2e.kit import LONG, REPOSITORY, Site, until
from tests.e2e.prometheus import Prometheus, watching
from tests.panels import empty_panels
from trainer.ledger import Category

pytestmark = pytest.mark.timeout(900, func_only=True)  # setting up may build for minutes

PAUSE, OUTAGE = 60.0, 60.0  # seconds
TWO = ("--gpus", 0, "--workers", 2, "--no-follow")


def trial_rules() -> dict[str, Any]:
    """The chart's alerts with all durations divided, so that minutes are hours to them."""
    made = subprocess.run(
        [sys.executable, "-m", "monitoring", "rules", "--scale", str(TRIAL_SCALE)],
        cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return dict(yaml.safe_load(made.stdout))


def ended(site: Site, name: str, limit: float) -> dict[str, Any]:
    """Wait until a run has ended; its state.json."""
    until(f"{name} to end", lambda: site.state(name).get("state") not in (None, "running"), limit, 1.0)
    return site.state(name)


def last(prometheus: Prometheus, name: str, metric: str, **labels: str) -> float:
    """The last value that was scraped of a run's gauge."""
    matchers = ", ".join(f'{key}="{value}"' for key, value in {**labels, "run": name}.items())
    return prometheus.value(f"max(last_over_time({metric}{{{matchers}}}[1h]))")


@pytest.fixture(scope="module")
def own(new_site: Callable[..., Site], image: str) -> Site:
    """A namespace without runs of other tests, whose alerts would be taken for ours, and which only we scrape."""
    return new_site(image, prefix=WATCHED_BY_A_TEST)


def test_an_undisturbed_run_is_told_as_its_files_tell_it_and_fires_nothing(
    own: Site, data: tuple[Path, str], tmp_path: Path
) -> None:
    name = "monitored"
    with watching(own, tmp_path, trial_rules(), "1s") as prometheus:
        own.submit(name, *LONG, *TWO, "--data", data[1])
        assert ended(own, name, 600)["state"] == "succeeded"
        until("the pods to be done", lambda: all(p["status"]["phase"] == "Succeeded" for p in own.pods(name)), 90)
        summary = json.loads(own.folder(name).read("summary.json"))
        rows = [json.loads(line) for line in own.folder(name).read("metrics.jsonl").splitlines()]

        assert last(prometheus, name, "catdog_step") == summary["steps"]
        assert last(prometheus, name, "catdog_total_steps") == summary["steps"]
        assert last(prometheus, name, "catdog_epoch") == rows[-1]["epoch"]
        for split in ("train", "valid"):
            for metric in ("loss", "accuracy"):
                told = last(prometheus, name, f"catdog_{metric}", split=split)
                assert told == pytest.approx(rows[-1][split][metric], rel=1e-6), (split, metric)
        assert last(prometheus, name, "catdog_checkpoint_step") == own.saved_step(name) == summary["steps"]
        assert last(prometheus, name, "catdog_restarts") == 0
        assert last(prometheus, name, "catdog_run_state", state="succeeded") == 1
        for category in Category:
            told = last(prometheus, name, "catdog_run_wall_seconds", category=category)
            slack = 60.0 if category == Category.EXPORT else 0.01  # it goes on until the last scrape
            assert 0 <= told - summary["ledger"][category] + 0.01 <= slack + 0.01, category
        assert last(prometheus, name, "catdog_steps_total") == summary["steps"]
        assert last(prometheus, name, "catdog_lost_steps") == summary["lost_steps"] == 0
        assert prometheus.fired() == set()
        assert not prometheus.faults()
        source = Source(prometheus.url, {"namespace": own.namespace, "run": name, "rank": ".*"}, 2, 1)
        for title, description in empty_panels(A_RUN, source):
            assert re.search("[Ee]mpty|appear when the run ends", description), title
        if folder := os.environ.get("CATDOG_PICTURES"):  # of docs
            list(draw(source, Path(folder)))


def test_each_disturbance_fires_the_alerts_that_the_runbooks_name(
    own: Site, data: tuple[Path, str], tmp_path: Path
) -> None:
    name = "disturbed"
    disturbed = (Disturbance.PAUSED, Disturbance.KILLED, Disturbance.STORAGE)
    expected = set().union(*(alerts.expected(one) for one in disturbed))
    longer = [2000 if word == 50 else word for word in LONG]  # it is cancelled at the end, however fast the machine
    with watching(own, tmp_path, trial_rules(), "1s") as prometheus:
        own.submit(name, *longer, *TWO, "--data", data[1])
        _past(own, name, 40)
        _pause(own, name)
        _past(own, name, own.state(name)["step"] + 20)
        api.kill_container(own.cluster, _pod(own, name, 1), "trainer", own.namespace)
        _past(own, name, own.state(name)["step"] + 20)
        api.stop_gcs(own.cluster)
        time.sleep(OUTAGE)
        api.start_gcs(own.cluster)
        _past(own, name, own.state(name)["step"] + 20)
        fired = prometheus.fired()
        own.catdog("cancel", name)
        assert fired == expected
        assert not prometheus.faults()


def _past(site: Site, name: str, step: int) -> None:
    until(f"step {step}", lambda: site.state(name).get("step", 0) >= step and _running(site, name), 300)


def _running(site: Site, name: str) -> bool:
    return [pod["status"]["phase"] for pod in site.pods(name)] == ["Running", "Running"]


def _pod(site: Site, name: str, rank: int) -> str:
    return str(site.pods(name)[rank]["metadata"]["name"])


def _pause(site: Site, name: str) -> None:
    pod = _pod(site, name, 1)
    api.kill_container(site.cluster, pod, "trainer", site.namespace, signal="SIGSTOP")
    time.sleep(PAUSE)
    try:
        api.kill_container(site.cluster, pod, "trainer", site.namespace, signal="SIGCONT")
    except api.ClusterError:
        assert site.state(name)["restarts"] or pod not in {p["metadata"]["name"] for p in site.pods(name)}
