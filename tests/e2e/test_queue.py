"""With Kueue: a run over quota waits in the queue, reports it, and all its pods start together when there is room."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import api
from tests.e2e.kit import Site, until
from tests.e2e.rights import rights, someone, without

pytestmark = pytest.mark.timeout(900, func_only=True)  # setting up may build for minutes

QUEUES = """
apiVersion: kueue.x-k8s.io/v1beta2
kind: ResourceFlavor
metadata: {name: plain}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: ClusterQueue
metadata: {name: shared}
spec:
  namespaceSelector: {}
  resourceGroups:
    - coveredResources: [cpu, memory, ephemeral-storage]
      flavors:
        - name: plain
          resources:
            - {name: cpu, nominalQuota: 1}
            - {name: memory, nominalQuota: 64Gi}
            - {name: ephemeral-storage, nominalQuota: 64Gi}
---
apiVersion: kueue.x-k8s.io/v1beta2
kind: LocalQueue
metadata: {name: team, namespace: NAMESPACE}
spec: {clusterQueue: shared}
"""


@pytest.fixture(scope="module")
def queued(new_site: Callable[..., Site], image: str, cluster: api.Cluster) -> Site:
    """A namespace whose queue has room for one run of two workers."""
    api.up(cluster.state, kueue=True)
    site = new_site(image)
    until(
        "Kueue takes objects",
        lambda: _applied(site, QUEUES.replace("NAMESPACE", site.namespace)),
        limit=120,
    )
    return site


def _applied(site: Site, text: str) -> bool:
    try:
        api.kubectl(site.cluster, "apply", "-f", "-", stdin=text)
    except api.ClusterError:  # its webhook is not up yet
        return False
    return True


def running(site: Site, name: str) -> list[Any]:
    return [pod for pod in site.pods(name) if pod["status"].get("phase") == "Running"]


@pytest.mark.parametrize("shape", ["jobset", "job"])
def test_a_run_over_quota_waits_its_turn_and_then_starts_whole(
    queued: Site, data: tuple[Path, str], shape: str
) -> None:
    words = ("--gpus", 0, "--workers", 2, "--shape", shape, "--queue", "team", "--no-follow")
    words += ("--data", data[1], "--recipe", "baseline", "--model", "small", "--image-size", 48)
    first, second, third = (f"{place}-{shape}" for place in ("first", "second", "third"))
    queued.submit(first, *words, "--epochs", 1000)
    until("the first run has its pods", lambda: len(running(queued, first)) == 2, limit=180)
    queued.submit(second, *words, "--epochs", 1)
    queued.submit(third, *words, "--epochs", 1)
    until("the second is queued", lambda: queued.status(second)["phase"] == "queued")
    why = until(
        "its position is known", lambda: (said := queued.catdog("why", third).out) and "position 2" in said and said
    )
    assert "team" in why, why
    assert "2" in why, why
    assert "cpu" in why, why
    assert queued.pods(second) == []
    queued.catdog("cancel", first)
    until("the second starts", lambda: len(queued.pods(second)) == 2)
    made = [datetime.fromisoformat(pod["metadata"]["creationTimestamp"]) for pod in queued.pods(second)]
    assert max(made) - min(made) <= timedelta(seconds=1), "one pod was started without the other"
    for name in (second, third):
        ended = until(f"{name} ends", lambda name=name: queued.ended(name), limit=300)
        assert ended["state"] == "succeeded", ended


@pytest.fixture(scope="module")
def behind(queued: Site) -> Iterator[str]:
    """A run that waits behind another."""
    words = ("--gpus", 0, "--workers", 2, "--queue", "team", "--no-follow")
    words += ("--recipe", "baseline", "--model", "small", "--epochs", 1000)
    queued.submit("ahead", *words)
    until("the run ahead has its pods", lambda: len(queued.pods("ahead")) == 2, limit=180)
    queued.submit("behind", *words)
    until("the run behind is queued", lambda: queued.status("behind")["phase"] == "queued")
    yield "behind"
    for name in ("behind", "ahead"):
        queued.catdog("delete", name)


@pytest.mark.parametrize(("resource", "verb"), [("workloads", "list"), ("localqueues/pendingworkloads", "get")])
def test_a_missing_permission_on_the_queue_is_named_and_not_needed(
    queued: Site, behind: str, tmp_path: Path, resource: str, verb: str
) -> None:
    with someone(queued, without(rights(queued), resource, verb), tmp_path) as poor:
        done = poor.catdog("why", behind)
    assert "queue team" in done.out, done.said
    assert resource in done.err, done.said
    assert verb in done.err, done.said


def test_without_a_queue_nothing_of_kueue_is_rendered(queued: Site) -> None:
    out = queued.submit("plain", "--gpus", 0, "--dry-run", "-o", "json").out
    assert "kueue" not in out
    assert not any(one["spec"].get("suspend") for one in json.loads(out)["items"])
