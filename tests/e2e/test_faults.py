"""A worker that is lost during training: the gang restarts, continues, gives the same bits as an undisturbed run, and
the restart costs what it should, as a JobSet and as a plain Job.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests import runs
from tests.cluster import api
from tests.e2e.kit import LONG, Site, until
from trainer.training.checkpoint import Snapshot

pytestmark = pytest.mark.timeout(1200, func_only=True)  # setting up may build for minutes

SHAPES = ("jobset", "job")
LIMIT = 600.0

Charge = tuple[int, int]
"""JobSet: restarts, and those that count. Job: failures that count, of rank 0 and of rank 1."""


@dataclass(frozen=True)
class Fault:
    """What is done to a worker, how it is undone, and what the restart costs in each shape."""

    do: Callable[[Site, Any], None]
    mend: Callable[[Site, Any], None]
    jobset: Charge
    job: Charge


def kill(site: Site, pod: Any) -> None:
    api.kill_container(site.cluster, pod["metadata"]["name"], namespace=site.namespace)


def delete(site: Site, pod: Any) -> None:
    api.kubectl(site.cluster, "-n", site.namespace, "delete", "pod", pod["metadata"]["name"], "--wait=false")


def drain(site: Site, pod: Any) -> None:
    # Only this run's pods: the other shape's run has a worker on the same node.
    run = pod["metadata"]["labels"]["app.kubernetes.io/instance"]
    words = ("--delete-emptydir-data", "--timeout=120s", f"--pod-selector=app.kubernetes.io/instance={run}")
    api.kubectl(site.cluster, "drain", pod["spec"]["nodeName"], *words)


def uncordon(site: Site, pod: Any) -> None:
    api.kubectl(site.cluster, "uncordon", pod["spec"]["nodeName"])


def cut(site: Site, pod: Any) -> None:
    api.partition(site.cluster, pod["spec"]["nodeName"])


def plug_in(site: Site, pod: Any) -> None:
    api.heal(site.cluster, pod["spec"]["nodeName"])


def nothing(site: Site, pod: Any) -> None:
    return


FAULTS = {
    "killed process": Fault(kill, nothing, jobset=(1, 1), job=(1, 1)),
    "deleted pod": Fault(delete, nothing, jobset=(1, 0), job=(0, 0)),
    "drained node": Fault(drain, uncordon, jobset=(1, 0), job=(0, 0)),
}


def submitted(site: Site, name: str, shape: str, data: str) -> None:
    site.submit(name, "--gpus", 0, "--workers", 2, "--shape", shape, "--data", data, *LONG, "--no-follow")


def charge(site: Site, name: str, shape: str) -> Charge:
    if shape == "jobset":
        status = site.get("jobset", name)["status"]
        return int(status.get("restarts", 0)), int(status.get("restartsCountTowardsMax", 0))
    counts = {}
    for pod in site.pods(name):
        notes = pod["metadata"]["annotations"]
        rank, failures = (
            notes["batch.kubernetes.io/job-completion-index"],
            "batch.kubernetes.io/job-index-failure-count",
        )
        counts[rank] = max(counts.get(rank, 0), int(notes.get(failures, 0)))
    return counts["0"], counts["1"]


# Each fault befalls both ranks and both shapes, not each rank in each shape: only kills do that, in `make faults`.
VICTIMS = {
    "killed process": {"jobset": 0, "job": 1},
    "deleted pod": {"jobset": 1, "job": 0},
    "drained node": {"jobset": 0, "job": 1},
}


@pytest.mark.parametrize("fault", list(FAULTS))
def test_the_gang_restarts_and_continues(site: Site, data: tuple[Path, str], undisturbed: Snapshot, fault: str) -> None:
    names = {shape: f"{fault.split()[0]}-{VICTIMS[fault][shape]}-{shape}" for shape in SHAPES}

    def befall(shape: str) -> None:
        name, victim = names[shape], VICTIMS[fault][shape]
        submitted(site, name, shape, data[1])
        until(f"{name} has saved step 20", lambda: site.saved_step(name) >= 20)
        pod = site.pods(name)[victim]
        FAULTS[fault].do(site, pod)
        FAULTS[fault].mend(site, pod)

    with ThreadPoolExecutor(len(SHAPES)) as pool:
        list(pool.map(befall, SHAPES))
    for shape, name in names.items():
        site.catdog("logs", name, "--follow", code=None, timeout=LIMIT)
        state = until(f"{name} has finished", lambda name=name: site.ended(name), limit=LIMIT)
        assert state["state"] == "succeeded", state
        assert state["restarts"] >= 1, "it was not restarted"
        assert runs.differing(runs.last(site.folder(name).uri), undisturbed) == [], name
        assert charge(site, name, shape) == getattr(FAULTS[fault], shape), name


def test_a_node_that_is_cut_off_costs_one_restart_and_why_says_what_is_waited_for(
    site: Site, data: tuple[Path, str], undisturbed: Snapshot
) -> None:
    # Both count the survivor's 75: nothing from a lost node arrives in time to tell it apart.
    names = {shape: f"cut-{shape}" for shape in SHAPES}
    for shape, name in names.items():
        submitted(site, name, shape, data[1])
    for name in names.values():
        until(f"{name} has saved step 20", lambda name=name: site.saved_step(name) >= 20)
    pods = {name: next(p for p in site.pods(name) if p["spec"]["nodeName"] == "node-2") for name in names.values()}
    some = next(iter(pods.values()))
    cut(site, some)
    try:
        for name in names.values():
            why = until(f"why reports that {name} has lost a node", lambda name=name: lost_node(site, name), limit=300)
            assert "node node-2 is not responding" in why
        for name, pod in pods.items():
            until(f"the lost pod of {name} is evicted", lambda name=name, pod=pod: given_up(site, name, pod), limit=300)
    finally:
        plug_in(site, some)
    for shape, name in names.items():
        state = until(f"{name} has finished", lambda name=name: site.ended(name), limit=LIMIT)
        assert state["state"] == "succeeded", state
        assert state["restarts"] >= 1, "it was not restarted"
        assert runs.differing(runs.last(site.folder(name).uri), undisturbed) == [], name
        lost = int(pods[name]["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])
        expected = (1, 1) if shape == "jobset" else (int(lost != 0), int(lost != 1))
        assert charge(site, name, shape) == expected, name


def given_up(site: Site, name: str, pod: Any) -> bool:
    """Whether Kubernetes wants the pod gone."""
    found = [one for one in site.pods(name) if one["metadata"]["uid"] == pod["metadata"]["uid"]]
    return all("deletionTimestamp" in one["metadata"] for one in found)


def lost_node(site: Site, name: str) -> str:
    """What `catdog why` says about a lost node; empty while it says nothing."""
    causes = site.answer("why", name)["causes"]
    return next((one["cause"] for one in causes if one["kind"] == "node-lost"), "")
