"""The harness for tests: a Cluster value and plain functions on it. Failures raise ClusterError with one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster import builds, charts, control_plane, faults, images, lifecycle, node, programs
from tests.cluster.errors import ClusterError
from tests.cluster.layout import DEFAULT_STATE, GCS_URL, PROMETHEUS_URL, Layout, node_named, nodes

__all__ = [
    "Cluster",
    "ClusterError",
    "build_image",
    "down",
    "existing",
    "heal",
    "helm",
    "kill_container",
    "kubectl",
    "load_image",
    "partition",
    "set_gpus",
    "start_api_server",
    "start_gcs",
    "start_node",
    "stop_api_server",
    "stop_gcs",
    "stop_node",
    "up",
]


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up."""

    state: Path
    kubeconfig: Path
    nodes: tuple[str, ...]
    gcs_url: str
    """Object storage as this machine reaches it (STORAGE_EMULATOR_HOST)."""
    gcs_url_in_pods: str
    """The same as pods reach it."""
    prometheus_url: str
    program_folders: tuple[Path, ...]
    """Folders with kubectl and helm of the cluster's versions, for PATH."""


def _cluster(layout: Layout) -> Cluster:
    return Cluster(
        state=layout.state,
        kubeconfig=layout.kubeconfig,
        nodes=tuple(one.name for one in nodes(layout)),
        gcs_url=GCS_URL,
        gcs_url_in_pods=GCS_URL,
        prometheus_url=PROMETHEUS_URL,
        program_folders=(programs.folder(programs.KUBERNETES), programs.folder(programs.HELM)),
    )


def up(state: Path = DEFAULT_STATE, kueue: bool = False) -> Cluster:
    """Start what is not running; JobSet is always installed, Kueue with `kueue`. The first call builds for minutes."""
    return _cluster(lifecycle.up(state, kueue=kueue))


def existing(state: Path | None = None) -> Cluster:
    """The running cluster; raises ClusterError if there is none."""
    return _cluster(lifecycle.existing(state or lifecycle.running_state() or DEFAULT_STATE))


def down(state: Path = DEFAULT_STATE) -> None:
    """Remove everything up() made on the machine; the logs in `state` and the build cache stay."""
    lifecycle.down(state)


def build_image(
    context: Path,
    tag: str,
    build_args: Mapping[str, str] | None = None,
    dockerfile: Path | None = None,
    volumes: Sequence[str] = (),
) -> Path:
    """Build a Dockerfile as `tag` (localhost/NAME:TAG) on a local base image; returns an OCI archive. See builds.py."""
    return builds.build_image(context, tag, build_args, dockerfile, volumes)


def load_image(cluster: Cluster, archive: Path) -> None:
    """Import an OCI archive onto every node; pods use it by its tag, with imagePullPolicy IfNotPresent or Never."""
    images.load(Layout(cluster.state), archive)


def set_gpus(cluster: Cluster, node_name: str, count: int) -> None:
    """Advertise `count` nvidia.com/gpu on a node, without a device behind them."""
    layout = Layout(cluster.state)
    node.set_gpus(layout, node_named(layout, node_name), count)


def kubectl(cluster: Cluster, *words: str, stdin: str | None = None, timeout: float | None = 300) -> str:
    """What kubectl prints; raises CommandFailed (a ClusterError with `.status` and `.output`)."""
    return control_plane.kubectl(Layout(cluster.state), *words, stdin=stdin, timeout=timeout)


def helm(cluster: Cluster, *words: str) -> str:
    """What helm prints; raises CommandFailed."""
    return charts.helm(Layout(cluster.state), *words)


def partition(cluster: Cluster, node_name: str) -> None:
    """Cut a node off from the network; its pods keep running."""
    faults.partition(Layout(cluster.state), node_name)


def heal(cluster: Cluster, node_name: str) -> None:
    """Connect the node again."""
    faults.heal(Layout(cluster.state), node_name)


def stop_node(cluster: Cluster, node_name: str) -> None:
    """Cut a node's power: kubelet, containerd and all containers stop at once."""
    faults.stop_node(Layout(cluster.state), node_name)


def start_node(cluster: Cluster, node_name: str) -> None:
    """Start it again; returns when it is Ready."""
    faults.start_node(Layout(cluster.state), node_name)


def kill_container(
    cluster: Cluster, pod: str, container: str | None = None, namespace: str = "default", signal: str = "SIGKILL"
) -> None:
    """Send a signal to process 1 of a pod's container."""
    faults.kill_container(Layout(cluster.state), pod, container, namespace, signal)


def stop_api_server(cluster: Cluster) -> None:
    """Stop the API server; pods keep running."""
    faults.stop_api_server(Layout(cluster.state))


def start_api_server(cluster: Cluster) -> None:
    """Start it again; returns when it is ready."""
    faults.start_api_server(Layout(cluster.state))


def stop_gcs(cluster: Cluster) -> None:
    """Stop the object storage server."""
    faults.stop_gcs(Layout(cluster.state))


def start_gcs(cluster: Cluster) -> None:
    """Start it again with the buckets it had."""
    faults.start_gcs(Layout(cluster.state))
