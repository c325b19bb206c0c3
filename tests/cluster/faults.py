"""Break the running cluster, and repair it."""

from __future__ import annotations

import json

from tests.cluster import control_plane, images, network, node, processes, services
from tests.cluster.errors import ClusterError
from tests.cluster.layout import Layout, node_named
from tests.cluster.waiting import wait_until


def partition(layout: Layout, name: str) -> None:
    """Cut a node off: its pods keep running, but neither the API server nor the other node's pods reach it."""
    network.set_connected(node_named(layout, name), False)


def heal(layout: Layout, name: str) -> None:
    """Undo partition()."""
    network.set_connected(node_named(layout, name), True)


def stop_node(layout: Layout, name: str) -> None:
    """A power cut: kubelet, containerd and every container stop at once. The node object becomes NotReady in ~50 s."""
    node.power_off(layout, node_named(layout, name))


def start_node(layout: Layout, name: str, timeout: float = 180) -> None:
    """Start a stopped node; returns when it is Ready and advertises its GPUs again."""
    one = node_named(layout, name)
    node.start_containerd(layout, one)
    node.start_kubelet(layout, one)
    wait_until(lambda: node.is_ready(layout, one), timeout, f"{name} to be Ready")
    node.enforce_policies(layout, one)
    node.restore_gpus(layout, one)


def kill_container(
    layout: Layout, pod: str, container: str | None = None, namespace: str = "default", signal: str = "SIGKILL"
) -> None:
    """Send a signal to process 1 of a pod's container (its first by default), from outside, as the OOM killer does."""
    found = json.loads(control_plane.kubectl(layout, "get", "pod", pod, "--namespace", namespace, "-o", "json"))
    statuses = {status["name"]: status for status in found["status"].get("containerStatuses", [])}
    chosen = container or found["spec"]["containers"][0]["name"]
    if chosen not in statuses or "running" not in statuses[chosen]["state"]:
        raise ClusterError(f"container {chosen} of pod {namespace}/{pod} is not running")
    images.kill_container(node_named(layout, found["spec"]["nodeName"]), statuses[chosen]["containerID"], signal)


def stop_api_server(layout: Layout) -> None:
    """Stop the API server; nodes and their pods keep running."""
    processes.stop(layout, control_plane.API_SERVER, grace=3)


def start_api_server(layout: Layout) -> None:
    """Start it again; returns when it is ready."""
    control_plane.start_api_server(layout)
    wait_until(lambda: control_plane.is_ready(layout), 180, "the API server")


def stop_gcs(layout: Layout) -> None:
    """Stop the object storage server."""
    processes.stop(layout, services.GCS, grace=0)


def start_gcs(layout: Layout) -> None:
    """Start it again, with the buckets it had; returns when it answers."""
    services.start_gcs(layout)
    services.wait_ready(layout)
