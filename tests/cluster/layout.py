"""The harness's names: folders, network names and addresses. Pure values, no side effects."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_STATE = Path("/var/lib/catdog-cluster")
RUNNING_POINTER = Path("/run/catdog-cluster.state")
"""One cluster per machine: this file names the running cluster's state folder."""

CGROUP = "catdog-cluster"
"""Every process of the cluster, and every container, lives below this cgroup."""

WORK_CGROUP = f"{CGROUP}/work"
"""For tools that the harness waits for (builds, imports, kubectl): `down` kills those that a killed `up` left."""
CONTROL_CGROUP = f"{CGROUP}/control"

CONTROL_NETNS = "catdog-control"
HOST_LINK = "catdog0"
"""The machine's end of the veth pair into the control network namespace: the only part its own network sees."""

CONTROL_ADDRESS = "10.213.0.1"
HOST_ADDRESS = "10.213.0.254"
LAN = "10.213.0.0/24"
LAN_PREFIX_BITS = 24
POD_CIDR = "10.214.0.0/16"
SERVICE_CIDR = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"
DNS_DOMAIN = "cluster.local"

API_PORT = 6443
GCS_PORT = 4443
PROMETHEUS_PORT = 9090

API_URL = f"https://{CONTROL_ADDRESS}:{API_PORT}"
GCS_URL = f"http://{CONTROL_ADDRESS}:{GCS_PORT}"
PROMETHEUS_URL = f"http://{CONTROL_ADDRESS}:{PROMETHEUS_PORT}"
WATCHED_BY_A_TEST = "watched-"  # namespaces of such names are left to the Prometheus that a test starts


@dataclass(frozen=True)
class Layout:
    """Paths below one state folder."""

    state: Path

    @property
    def records(self) -> Path:
        """What was made on the machine, one file each, written before it is made."""
        return self.state / "records"

    @property
    def logs(self) -> Path:
        """One log per process; kept by `down` so that a failed test can be investigated."""
        return self.state / "logs"

    @property
    def boot(self) -> Path:
        """Everything else that belongs to the running cluster; `down` removes it."""
        return self.state / "boot"

    @property
    def pki(self) -> Path:
        """Keys, certificates and tokens."""
        return self.boot / "pki"

    @property
    def config(self) -> Path:
        """Configuration files and kubeconfigs of the processes."""
        return self.boot / "config"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.boot / "kubeconfig"

    @property
    def work(self) -> Path:
        """Scratch space of the command-line tools the harness calls."""
        return self.boot / "work"


@dataclass(frozen=True)
class Node:
    """One Kubernetes node: a network namespace, a mount namespace, a cgroup and a folder of its own."""

    name: str
    address: str
    pod_cidr: str
    folder: Path

    @property
    def netns(self) -> str:
        """Its network namespace, as `ip netns` shows it."""
        return f"catdog-{self.name}"

    @property
    def lan_link(self) -> str:
        """The control namespace's end of its veth pair: setting it down cuts the node off."""
        return f"lan-{self.name}"

    @property
    def cgroup(self) -> str:
        """Killing everything below it is a power cut."""
        return f"{CGROUP}/{self.name}"

    @property
    def containerd_socket(self) -> Path:
        """Where `ctr` and the kubelet reach its containerd."""
        return self.folder / "containerd.sock"

    def process(self, part: str) -> str:
        """The name its process `part` is recorded and logged under."""
        return f"{self.name}-{part}"


def nodes(layout: Layout) -> tuple[Node, ...]:
    """The two nodes of the cluster."""
    return tuple(
        Node(
            name=f"node-{number}",
            address=f"10.213.0.{10 + number}",
            pod_cidr=f"10.214.{number}.0/24",
            folder=layout.boot / f"node-{number}",
        )
        for number in (1, 2)
    )


def node_named(layout: Layout, name: str) -> Node:
    """The node called `name`; raises ValueError naming the ones there are."""
    found = {node.name: node for node in nodes(layout)}
    if name not in found:
        raise ValueError(f"no node {name!r} in this cluster: use one of {', '.join(found)}")
    return found[name]


def cache_folder() -> Path:
    """Where built binaries and images are kept between runs; outside git, safe to delete."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "catdog" / "cluster"
