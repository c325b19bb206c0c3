"""The cluster's network: a LAN of its own inside network namespaces, joined to the machine by one veth pair.

    machine --- catdog0 ==veth== host --+
                                        |  bridge `lan`, 10.213.0.1, in namespace catdog-control
    namespace catdog-node-1 ==veth== lan-node-1 --+   (API server, DNS, storage, Prometheus listen there)
    namespace catdog-node-2 ==veth== lan-node-2 --+

Nothing else of the machine's network is touched: forwarding, iptables rules of kube-proxy and pod routes exist only
inside the namespaces and go with them. A firewall on the machine (such as Docker's) does not see traffic between nodes.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from tests.cluster import records
from tests.cluster.commands import CommandFailed, run
from tests.cluster.errors import ClusterError
from tests.cluster.layout import (
    CONTROL_ADDRESS,
    CONTROL_NETNS,
    HOST_ADDRESS,
    HOST_LINK,
    LAN,
    LAN_PREFIX_BITS,
    SERVICE_CIDR,
    Layout,
    Node,
    nodes,
)
from tests.cluster.mounts import mount_points
from tests.cluster.waiting import wait_until

BRIDGE = "lan"
_HOST_PEER = "host"
_NODE_LINK = "eth0"
_NETNS_FOLDER = Path("/run/netns")


def _ip(words: str, netns: str | None = None) -> str:
    return run(["ip", *(["-n", netns] if netns else []), *words.split()])


def _netns_exists(name: str) -> bool:
    return (_NETNS_FOLDER / name).exists()


def _links(netns: str | None = None) -> set[str]:
    return {link["ifname"] for link in json.loads(_ip("-j link show", netns) or "[]")}


def check_free() -> None:
    """Raise ClusterError if the machine already uses the addresses of the LAN for something else."""
    lan = ipaddress.ip_network(LAN)
    for route in json.loads(_ip("-j -4 route show table all") or "[]"):
        destination = route["dst"]
        if destination == "default" or route.get("dev") == HOST_LINK:
            continue
        if ipaddress.ip_network(destination, strict=False).overlaps(lan):
            raise ClusterError(
                f"the cluster's LAN {LAN} overlaps the machine's route to {destination} on {route.get('dev')}"
            )


def _remember_folder(layout: Layout) -> None:
    """`ip netns` makes /run/netns and mounts it onto itself, once; record it if we are the first to need it."""
    if _NETNS_FOLDER not in mount_points() and not records.remembered(layout, "netns-folder"):
        records.remember(layout, "netns-folder", "it", existed=_NETNS_FOLDER.exists())


def _remove_folder(layout: Layout) -> None:
    """Undo what _remember_folder() recorded, unless something else uses the folder by now."""
    for record in records.remembered(layout, "netns-folder").values():
        if _NETNS_FOLDER.is_dir() and not any(_NETNS_FOLDER.iterdir()):
            for _ in range(mount_points().count(_NETNS_FOLDER)):
                run(["umount", _NETNS_FOLDER])
            if not record["existed"]:
                _NETNS_FOLDER.rmdir()
        records.forget(layout, "netns-folder", record["name"])


def _make_netns(layout: Layout, name: str) -> None:
    if not _netns_exists(name):
        records.remember(layout, "netns", name)
        _ip(f"netns add {name}")
    _ip("link set lo up", name)
    # Per namespace: the machine's own setting stays as it is.
    run(["nsenter", f"--net=/run/netns/{name}", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])


def create(layout: Layout) -> None:
    """Create the missing parts of the network; does nothing if it is complete."""
    if HOST_LINK not in _links():
        check_free()
    _remember_folder(layout)
    _make_netns(layout, CONTROL_NETNS)
    if BRIDGE not in _links(CONTROL_NETNS):
        _ip(f"link add {BRIDGE} type bridge", CONTROL_NETNS)
        _ip(f"address add {CONTROL_ADDRESS}/{LAN_PREFIX_BITS} dev {BRIDGE}", CONTROL_NETNS)
        _ip(f"link set {BRIDGE} up", CONTROL_NETNS)
    if HOST_LINK not in _links():
        records.remember(layout, "link", HOST_LINK)
        _ip(f"link add {HOST_LINK} type veth peer name {_HOST_PEER} netns {CONTROL_NETNS}")
    _ip(f"address replace {HOST_ADDRESS}/{LAN_PREFIX_BITS} dev {HOST_LINK}")
    _ip(f"link set {HOST_LINK} up")
    _ip(f"link set {_HOST_PEER} master {BRIDGE} up", CONTROL_NETNS)
    for node in nodes(layout):
        _make_netns(layout, node.netns)
        if node.lan_link not in _links(CONTROL_NETNS):
            _ip(f"link add {node.lan_link} type veth peer name {_NODE_LINK} netns {node.netns}", CONTROL_NETNS)
        _ip(f"address replace {node.address}/{LAN_PREFIX_BITS} dev {_NODE_LINK}", node.netns)
        _ip(f"link set {_NODE_LINK} up", node.netns)
        _ip(f"link set {node.lan_link} master {BRIDGE} up", CONTROL_NETNS)
    for node in nodes(layout):
        _ip(f"route replace {node.pod_cidr} via {node.address}", CONTROL_NETNS)
        _ip(f"route replace default via {CONTROL_ADDRESS}", node.netns)
        for other in nodes(layout):
            if other != node:
                _ip(f"route replace {other.pod_cidr} via {other.address}", node.netns)
    # The API server calls webhooks by service address: the first node's kube-proxy forwards them.
    _ip(f"route replace {SERVICE_CIDR} via {nodes(layout)[0].address}", CONTROL_NETNS)


def set_connected(node: Node, connected: bool) -> None:
    """Connect or disconnect the node: a real network partition."""
    _ip(f"link set {node.lan_link} {'up' if connected else 'down'}", CONTROL_NETNS)


def is_connected(node: Node) -> bool:
    """Whether the node is connected to the network."""
    return "UP" in json.loads(_ip(f"-j link show {node.lan_link}", CONTROL_NETNS))[0]["flags"]


def _wait_gone(link: str) -> None:
    wait_until(lambda: link not in _links(), 10, f"network link {link} to disappear")


def remove(layout: Layout) -> None:
    """Remove every recorded namespace and link; their routes, bridges and iptables rules disappear with them."""
    for name in records.remembered(layout, "link"):
        if name in _links():
            try:
                _ip(f"link delete {name}")
            except CommandFailed:
                # It disappears on its own while the namespace at its other end is torn down.
                _wait_gone(name)
        records.forget(layout, "link", name)
    for name in records.remembered(layout, "netns"):
        if _netns_exists(name):
            _ip(f"netns delete {name}")
        records.forget(layout, "netns", name)
    _remove_folder(layout)
