"""What is done to a run's workers and to the cluster around them, and how it is undone."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from tests.cluster import api, control_plane, processes, services
from tests.cluster.layout import CONTROL_NETNS, GCS_PORT, Layout, node_named
from tests.e2e.kit import Site, until
from tests.faults.injectors import LOSS

Undo = Callable[[], object]

OUTAGE_SECONDS = {"away 60 s": 60.0, "away 5 min": 300.0, "API away": 30.0, "DNS away": 30.0, "controller away": 30.0}
"""How long a fault lasts; any other lasts until the gang was started again, or the run has ended."""
SLOW_LOSS = 0.2
NODE_LOST = ("node off", "node cut")
OF_NODES = (*NODE_LOST, "packet loss")
"""Befall this node; the other one has JobSet's controller, and the way to it."""
NODE = "node-2"

# The container's memory is one account: what is used up here is missing there, and the score chooses who is killed.
_USE_UP_MEMORY = """
import time
open("/proc/1/oom_score_adj", "w").write("1000")
held = []
while True:
    held.append(b"x" * (32 << 20))
    time.sleep(0.02)
"""
_USE_UP_DISK = """
with open("/tmp/filler", "wb") as file:
    for _ in range(4096):
        file.write(b"x" * (4 << 20))
        file.flush()
"""


def layout_of(site: Site) -> Layout:
    """The cluster's names."""
    return Layout(site.cluster.state)


def storage_goes_on(site: Site) -> None:
    """After `await_half_a_save`."""
    processes.send(layout_of(site), services.GCS, signal.SIGCONT)


def inject(site: Site, fault: str, pod: Any) -> Undo:
    """Do it to the worker in `pod`, or to what is around it; returns what undoes it."""
    cluster, layout = site.cluster, layout_of(site)
    name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
    match fault:
        case "SIGTERM" | "SIGKILL" | "SIGSTOP":
            api.kill_container(cluster, name, namespace=site.namespace, signal=fault)
            return _nothing
        case "OOM":
            return _run_inside(site, name, _USE_UP_MEMORY)
        case "disk full":
            return _run_inside(site, name, _USE_UP_DISK)
        case "node off":
            api.stop_node(cluster, node)
            return lambda: api.start_node(cluster, node)
        case "node cut":
            api.partition(cluster, node)
            return lambda: api.heal(cluster, node)
        case "packet loss":
            return _drop(node_named(layout, node).netns, LOSS, "FORWARD", "-p", "tcp")
        case "storage slow":
            return _drop(CONTROL_NETNS, SLOW_LOSS, "INPUT", "-p", "tcp", "--dport", str(GCS_PORT))
        case "API away":
            api.stop_api_server(cluster)
            return lambda: api.start_api_server(cluster)
        case "DNS away":
            processes.stop(layout, services.DNS, grace=0)
            return lambda: (services.start(layout), services.wait_ready(layout))
        case "controller away":
            return _stop_controllers(site)
    api.stop_gcs(cluster)
    return lambda: api.start_gcs(cluster)


def _nothing() -> None:
    return


def _run_inside(site: Site, pod: str, program: str) -> Undo:
    """Start a Python program in the pod's container; it ends with the container."""
    with suppress(subprocess.TimeoutExpired, api.ClusterError):  # killed with the container that it is in
        api.kubectl(site.cluster, "-n", site.namespace, "exec", pod, "--", "python", "-c", program, timeout=120)
    return _nothing


def _drop(netns: str, share: float, chain: str, *match: str) -> Undo:
    """Lose a share of the packets that a network namespace forwards or takes in."""
    rule = [chain, *match, "-m", "statistic", "--mode", "random", "--probability", str(share), "-j", "DROP"]
    iptables = ["nsenter", f"--net=/run/netns/{netns}", "iptables"]
    subprocess.run([*iptables, "-I", *rule], check=True)
    return lambda: subprocess.run([*iptables, "-D", *rule], check=True)


def _stop_controllers(site: Site) -> Undo:
    """JobSet's controller is a Deployment, which needs the other one to be scaled: it stops first and starts last."""
    layout, jobset = layout_of(site), ("-n", "jobset-system")

    def scale(replicas: int) -> None:
        api.kubectl(site.cluster, *jobset, "scale", "deployment", "--all", f"--replicas={replicas}")

    scale(0)
    until("JobSet's controller has stopped", lambda: not _pods_of_jobset(site))
    processes.stop(layout, control_plane.CONTROLLER_MANAGER, grace=0)

    def start() -> None:
        control_plane.start(layout)
        scale(1)
        until("JobSet's controller is back", lambda: _pods_of_jobset(site))

    return start


def _pods_of_jobset(site: Site) -> list[Any]:
    return list(json.loads(api.kubectl(site.cluster, "-n", "jobset-system", "get", "pods", "-o", "json"))["items"])


def await_half_a_save(site: Site, run: str, step: int) -> None:
    """Return with storage standing still, while tensors of a checkpoint of `step` or later are there and its manifest
    is not; the caller lets it go on. The test cluster's storage keeps objects as files."""
    folder = layout_of(site).boot / "gcs" / site.bucket.removeprefix("gs://") / "runs" / run / "checkpoints"
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        names = os.listdir(folder) if folder.is_dir() else []
        for name in (name for name in names if name.startswith("step-") and int(name[5:]) >= step):
            if _half(folder / name):
                processes.send(layout_of(site), services.GCS, signal.SIGSTOP)
                if _half(folder / name):
                    return
                processes.send(layout_of(site), services.GCS, signal.SIGCONT)
        time.sleep(0.002)
    raise AssertionError(f"{run} was never seen half-way through a save")


def _half(folder: Any) -> bool:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:  # pruned meanwhile
        return False
    return any(name.endswith(".safetensors") for name in names) and "MANIFEST.json" not in names
