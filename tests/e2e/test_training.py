"""Two pods on two nodes train as one, with the same result as one local process."""

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from tests.cluster import api
from tests.e2e.kit import Site, until
from trainer.config import RunConfig
from trainer.data.features import blocks_of
from trainer.requests import from_json
from trainer.training.checkpoint import Snapshot

pytestmark = pytest.mark.timeout(900, func_only=True)  # setting up may build for minutes

# Five steps an epoch, everything random on.
SMALL = ("--recipe", "augmented", "--model", "small", "--image-size", 48, "--batch-size", 16, "--epochs", 2)
SMALL += ("--deterministic", "--precision", "float32")


def test_the_charts_own_test_trains_ten_steps(site: Site) -> None:
    said = api.helm(site.cluster, "test", "catdog", "--namespace", site.namespace, "--logs")
    assert re.search(r"Phase:\s+Succeeded", said), said


@pytest.fixture(scope="module")
def alone(data: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    """The result of the same options in one local process, from a folder."""
    folder = tmp_path_factory.mktemp("alone")
    runs.command("train", *SMALL, "--data", data[0], "--run", folder / "run")
    return runs.last(folder / "run")


@pytest.mark.parametrize("shape", ["jobset", "job"])
def test_two_pods_train_as_one_and_give_the_bits_of_one_process_and_of_two_here(
    site: Site, data: tuple[Path, str], alone: Snapshot, tmp_path: Path, shape: str
) -> None:
    name = f"pair-{shape}"
    done = site.submit(
        name, "--gpus", 0, "--workers", 2, "--shape", shape, "--data", data[1], *SMALL, "--follow", timeout=600
    )
    assert "step" in done.out, done.said
    nodes = {pod["spec"]["nodeName"] for pod in site.pods(name)}
    assert len(nodes) == 2, "both workers ran on one node"
    assert site.status(name)["kind"] == {"jobset": "JobSet", "job": "Job"}[shape]

    folder = site.folder(name)
    names = {stat.name for stat in folder.list()}
    assert {"config.json", "state.json", "metrics.jsonl", "summary.json", "report.html"} <= names
    assert {"best/MANIFEST.json", "model/model.keras", "model/saved_model/saved_model.pb"} <= names
    state = site.state(name)
    assert (state["state"], state["exit_code"], state["restarts"]) == ("succeeded", 0, 0), state

    config = from_json(folder.read("config.json").decode(), RunConfig)
    assert config.workers == 2
    assert runs.differing(runs.last(folder.uri), alone) == []
    assert runs.results(runs.last(folder.uri)) == runs.results(alone)
    if shape == "jobset":
        runs.command("train", *SMALL, "--workers", 2, "--data", data[0], "--run", tmp_path / "two")
        assert runs.differing(runs.last(tmp_path / "two"), alone) == []


def test_two_pods_compute_features_once_between_them_with_weights_from_the_bucket(
    site: Site, data: tuple[Path, str], tmp_path: Path
) -> None:
    """The default recipe, on small pictures: the bits of one process here, which has the installed weights."""
    small = ("--image-size", 48, "--epochs", 3, "--flip", "--deterministic")
    weights = f"{site.bucket}/weights/efficientnet-lite0"
    runs.command("weights", "fetch", "efficientnet-lite0", weights)
    words = ("--gpus", 0, "--workers", 2, "--data", data[1], "--weights", weights, *small, "--follow")
    done = site.submit("features", *words, timeout=600)
    assert "recipe transfer (the platform's default" in done.err, done.said
    folder = site.folder("features")
    # Every other block is of rank 0; it found those of rank 1 in the run folder, since pods keep no features.
    counts = {split: len(list((data[0] / split).glob("*/*"))) for split in ("train", "valid", "test")}
    share = sum(name.last - name.first for name in list(blocks_of(counts))[::2])
    computed = json.loads(folder.read("summary.json"))["features"]["pictures"]
    assert computed == share < sum(counts.values())
    assert not list(folder.list("features/")), "features are left in the run folder"
    runs.command("train", *small, "--data", data[0], "--run", tmp_path / "run", "--cache-dir", tmp_path / "cache")
    assert runs.differing(runs.last(folder.uri), runs.last(tmp_path / "run")) == []
    ours = json.loads((tmp_path / "run" / "features.json").read_text())
    assert json.loads(folder.read("features.json"))["sha256"] == ours["sha256"]


def test_prometheus_has_the_final_values_of_both_workers(site: Site, data: tuple[Path, str]) -> None:
    name = "scraped"
    site.submit(name, "--gpus", 0, "--workers", 2, "--data", data[1], *SMALL, "--wait", timeout=600)
    total = runs.last(site.folder(name).uri).state.step
    query = {"query": f'last_over_time(catdog_step{{namespace="{site.namespace}",pod=~"{name}-.*"}}[10m])'}

    def final() -> Any:
        url = f"{site.cluster.prometheus_url}/api/v1/query?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
        return len(found) == 2 and found

    for series in until("series of both workers", final, limit=30):
        assert float(series["value"][1]) == total, series


def test_what_would_be_sent_is_printed_and_nothing_is(site: Site, data: tuple[Path, str]) -> None:
    words = ("--gpus", 0, "--workers", 2, "--data", data[1], "--dry-run", "-o", "json")
    first, second = (site.submit("dry", *words).out for _ in range(2))
    assert first == second
    assert "dry" not in [one["metadata"]["name"] for one in site.get("jobsets,jobs,services")["items"]]
    assert site.folder("dry").stat("config.json") is None
    api.kubectl(site.cluster, "-n", site.namespace, "create", "--dry-run=server", "-f", "-", stdin=first)
