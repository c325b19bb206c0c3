"""`--gpus 4` alone: one node, two, or an explained wait. There is no device behind these GPUs: exit code 78."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import api
from tests.e2e.kit import Site, pod, until

pytestmark = pytest.mark.timeout(400, func_only=True)  # setting up may build for minutes


@pytest.fixture
def gpus(site: Site) -> Iterator[Any]:
    """Sets how many GPUs node-1 and node-2 advertise; none afterwards."""

    def advertise(*counts: int) -> None:
        for node, count in zip(site.cluster.nodes, counts, strict=True):
            api.set_gpus(site.cluster, node, count)

    yield advertise
    advertise(*(0 for _ in site.cluster.nodes))


@contextmanager
def occupied(site: Site, node: str, count: int) -> Iterator[None]:
    """Another pod uses this many GPUs of a node."""
    limits = {"limits": {"nvidia.com/gpu": str(count)}}
    with pod(site, f"holder-{node}", node, "localhost/pause:1", {}, resources=limits):
        yield


def shape_of(site: Site, name: str) -> tuple[int, str]:
    """Workers, and GPUs per worker, of the created objects."""
    for kind in ("jobset", "job"):
        for one in site.get(kind, "-l", f"app.kubernetes.io/instance={name}")["items"]:
            spec = one["spec"]["replicatedJobs"][0]["template"]["spec"] if kind == "jobset" else one["spec"]
            limits = spec["template"]["spec"]["containers"][0]["resources"]["limits"]
            return spec["completions"], limits["nvidia.com/gpu"]
    raise AssertionError(f"{name} has no objects")


@pytest.mark.parametrize(
    ("name", "nodes", "shape"),
    [("one-node", (4, 4), (1, "4")), ("two-nodes", (2, 2), (2, "2")), ("big", (1, 4), (1, "4"))],
)
def test_four_gpus_go_to_the_fewest_nodes_and_workers_without_a_device_stop_with_78(
    site: Site, data: tuple[Path, str], gpus: Any, name: str, nodes: tuple[int, int], shape: tuple[int, str]
) -> None:
    gpus(*nodes)
    done = site.submit(name, "--gpus", 4, "--data", data[1], "--wait", code=1)
    assert shape_of(site, name) == shape
    assert "78" in done.out + done.err, done.said
    status = site.status(name)
    assert (status["phase"], status["state"]["exit_code"], status["restarts"]) == ("failed", 78, 0), status
    assert len(site.pods(name)) <= shape[0], "a failure that a retry cannot fix was retried"
    assert "78" in site.catdog("why", name, code=None).out
    assert "78" in site.catdog("wait", name, code=1).out
    assert "78" in site.catdog("logs", name, "--follow", code=1).err


def test_a_node_whose_four_gpus_are_not_free_is_skipped(site: Site, data: tuple[Path, str], gpus: Any) -> None:
    gpus(4, 2)
    with occupied(site, "node-1", 2):
        site.submit("beside", "--gpus", 4, "--data", data[1], "--wait", code=1)
        assert shape_of(site, "beside") == (2, "2")


def test_without_free_gpus_it_waits_and_why_names_the_resource_and_the_nodes(site: Site, gpus: Any) -> None:
    gpus(4, 0)
    with occupied(site, "node-1", 3):
        done = site.submit("waiting", "--gpus", 4, "--no-follow")
        assert "it will wait" in done.err, done.said
        until("the pod is seen as unschedulable", lambda: site.status("waiting")["phase"] == "pending")
        why = until(
            "why names the resource",
            lambda: (said := site.catdog("why", "waiting", code=None).out) and "nvidia.com/gpu" in said and said,
        )
        assert "node-1" in why
        site.catdog("cancel", "waiting")
    assert site.pods("waiting") == []
    assert site.get("jobs", "-l", "app.kubernetes.io/instance=waiting")["items"] == []


def test_what_would_fit_is_said_when_nothing_does(site: Site, gpus: Any) -> None:
    gpus(1, 1)
    done = site.submit("nowhere", "--gpus", 4, "--dry-run")
    assert "--gpus 2 would fit" in done.err, done.said
