"""A node: containerd, kubelet, kube-proxy and kube-router, with a network and a mount namespace and a cgroup.

The process `init` holds the mount namespace open. In it, folders whose paths are hard-coded (kubelet's plugin
sockets, containerd's shim sockets, CNI's cache, the kubelet's links to logs) are the node's own, so two nodes do not
conflict and nothing is left on the machine; every mount a container needs disappears with the namespace.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.cluster import certificates, cgroups, processes, programs, records
from tests.cluster.control_plane import kubectl
from tests.cluster.errors import ClusterError
from tests.cluster.layout import CONTROL_ADDRESS, DNS_DOMAIN, POD_CIDR, SERVICE_CIDR, Layout, Node
from tests.cluster.waiting import wait_until

INIT = "init"
CONTAINERD = "containerd"
KUBELET = "kubelet"
PROXY = "kube-proxy"
ROUTER = "kube-router"

PAUSE_IMAGE = "localhost/pause:1"
_CNI_PLUGINS = "/usr/lib/cni"
_CONTAINERD_SERVES = "containerd successfully booted"

OWN_FOLDERS = ("/run/containerd", "/var/lib/kubelet", "/var/lib/cni", "/var/log/containers", "/var/log/pods")
_INIT = """
for folder in "$@"; do mount --bind "$CATDOG_NODE_FOLDER/own$folder" "$folder" || exit 1; done
exec sleep infinity
"""

KERNEL_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
"""What a kubelet sets for the whole machine when it starts (pkg/kubelet/cm/container_manager_linux.go)."""


def remember_kernel_settings(layout: Layout) -> None:
    """Record the machine-wide settings that kubelets change, once per cluster, before the first one starts."""
    if not records.remembered(layout, "kernel-settings"):
        values = {name: Path("/proc/sys", name).read_text().strip() for name in KERNEL_SETTINGS}
        records.remember(layout, "kernel-settings", "all", values=values)


def restore_kernel_settings(layout: Layout) -> None:
    """Put back what remember_kernel_settings() recorded."""
    for record in records.remembered(layout, "kernel-settings").values():
        for name, value in record["values"].items():
            knob = Path("/proc/sys", name)
            if knob.read_text().strip() != value:
                knob.write_text(value)
        records.forget(layout, "kernel-settings", record["name"])


def start_containerd(layout: Layout, node: Node) -> None:
    """Start the node's mount namespace and its containerd, and wait until containerd answers."""
    for part in ("system", "kubepods"):
        cgroups.create(f"{node.cgroup}/{part}")
    _start_init(layout, node)
    families = [programs.folder(programs.CONTAINERD), Path("/usr/sbin"), Path("/usr/bin"), Path("/sbin"), Path("/bin")]
    config = _write_containerd_config(node)
    if not processes.is_running(layout, node.process(CONTAINERD)):
        log = layout.logs / f"{node.process(CONTAINERD)}.log"
        _containerd_log_start(node).write_text(str(log.stat().st_size if log.exists() else 0))
    _start(
        layout,
        node,
        CONTAINERD,
        [families[0] / "containerd", f"--config={config}", "--log-level=info"],
        env={"PATH": ":".join(map(str, families))},
    )
    wait_until(lambda: _serves(layout, node), 60, f"{node.name}'s containerd to log {_CONTAINERD_SERVES!r}")


def start_kubelet(layout: Layout, node: Node) -> None:
    """Start the node's kubelet and kube-proxy; they wait for the API server on their own."""
    remember_kernel_settings(layout)
    kubernetes = programs.folder(programs.KUBERNETES)
    kubelet_kubeconfig = node.folder / "kubelet.kubeconfig"
    proxy_kubeconfig = node.folder / "kube-proxy.kubeconfig"
    certificates.write_kubeconfig(layout, f"system:node:{node.name}", kubelet_kubeconfig)
    certificates.write_kubeconfig(layout, certificates.PROXY, proxy_kubeconfig)
    _start(
        layout,
        node,
        KUBELET,
        [
            kubernetes / "kubelet",
            f"--config={_write_kubelet_config(layout, node)}",
            f"--kubeconfig={kubelet_kubeconfig}",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
        ],
    )
    _start(
        layout,
        node,
        PROXY,
        [
            kubernetes / "kube-proxy",
            f"--kubeconfig={proxy_kubeconfig}",
            f"--hostname-override={node.name}",
            "--proxy-mode=iptables",
            f"--cluster-cidr={POD_CIDR}",
            "--metrics-bind-address=127.0.0.1:10249",
            # Connection tracking limits belong to the machine, not to a namespace: leave them alone.
            "--conntrack-max-per-core=0",
            "--conntrack-tcp-timeout-established=0s",
            "--conntrack-tcp-timeout-close-wait=0s",
        ],
    )


def enforce_policies(layout: Layout, node: Node) -> None:
    """Start the node's kube-router, which looks its node up once: the node must be registered already."""
    kubeconfig = node.folder / "kube-router.kubeconfig"
    certificates.write_kubeconfig(layout, certificates.WATCHER, kubeconfig)
    # Only NetworkPolicies: other components handle routes and services here.
    _start(
        layout,
        node,
        ROUTER,
        [
            programs.folder(programs.KUBE_ROUTER) / "kube-router",
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            f"--kubeconfig={kubeconfig}",
            f"--hostname-override={node.name}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
        ],
    )


def is_running(layout: Layout, node: Node) -> bool:
    """Whether all processes of the node run."""
    return all(processes.is_running(layout, node.process(part)) for part in (INIT, CONTAINERD, KUBELET, PROXY, ROUTER))


def is_ready(layout: Layout, node: Node) -> bool:
    """Whether the API server lists the node as Ready; raises ClusterError if one of its processes has exited."""
    for part in (CONTAINERD, KUBELET, PROXY):
        processes.pid_of(layout, node.process(part))
    listed = json.loads(kubectl(layout, "get", "nodes", "-o", "json"))["items"]
    return any(
        item["metadata"]["name"] == node.name
        and any(
            status["type"] == "Ready" and status["status"] == "True" for status in item["status"].get("conditions", [])
        )
        for item in listed
    )


def power_off(layout: Layout, node: Node) -> None:
    """Kill everything on the node at once, as a power cut does: its processes, its containers, their mounts."""
    cgroups.kill(node.cgroup)
    for name in records.remembered(layout, "process"):
        if name.startswith(f"{node.name}-"):
            records.forget(layout, "process", name)
    for volatile in (node.folder / "own/run/containerd", node.folder / "containerd-state"):
        if volatile.exists():
            shutil.rmtree(volatile)


def set_gpus(layout: Layout, node: Node, count: int) -> None:
    """Advertise `count` nvidia.com/gpu on the node; there is no device behind them. They outlive stop and start."""
    if count < 0:
        raise ClusterError(f"a node cannot have {count} GPUs")
    records.remember(layout, "gpus", node.name, count=count)
    patch = {"status": {part: {"nvidia.com/gpu": str(count)} for part in ("capacity", "allocatable")}}
    kubectl(layout, "patch", "node", node.name, "--subresource=status", "--type=merge", "-p", json.dumps(patch))


def restore_gpus(layout: Layout, node: Node) -> None:
    """Advertise again what set_gpus() recorded: a restarted kubelet may forget it."""
    record = records.remembered(layout, "gpus").get(node.name)
    if record is not None:
        set_gpus(layout, node, record["count"])


def _start(layout: Layout, node: Node, part: str, argv: list[str | Path], env: dict[str, str] | None = None) -> None:
    processes.start(
        layout,
        node.process(part),
        argv,
        cgroup=f"{node.cgroup}/system",
        netns=node.netns,
        mounts_of=node.process(INIT),
        env=env,
    )


def _start_init(layout: Layout, node: Node) -> None:
    for path in OWN_FOLDERS:
        (node.folder / "own" / path.lstrip("/")).mkdir(parents=True, exist_ok=True)
        _make_mount_point(layout, Path(path))
    name = node.process(INIT)
    processes.start(
        layout,
        name,
        ["unshare", "--mount", "--propagation=private", "sh", "-c", _INIT, "init", *OWN_FOLDERS],
        cgroup=f"{node.cgroup}/system",
        netns=node.netns,
        env={"CATDOG_NODE_FOLDER": str(node.folder)},
    )
    # The last command of the script runs once all folders are in place.
    wait_until(
        lambda: Path(f"/proc/{processes.pid_of(layout, name)}/comm").read_text().strip() == "sleep",
        30,
        f"{node.name}'s mount namespace: {processes.tail(layout, name)}",
        poll=0.02,
    )


def _make_mount_point(layout: Layout, path: Path) -> None:
    """Make an empty folder on the machine to mount over, unless there is one; its record makes `down` remove it."""
    for folder in (*reversed(path.parents), path):
        if not folder.exists():
            records.remember(layout, "folder", str(folder))
            folder.mkdir()


def remove_mount_points(layout: Layout) -> None:
    """Remove the empty folders that _make_mount_point() made, deepest first; one that is in use by now stays."""
    for name in sorted(records.remembered(layout, "folder"), key=len, reverse=True):
        folder = Path(name)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        records.forget(layout, "folder", name)


def _serves(layout: Layout, node: Node) -> bool:
    """Whether the running containerd has logged that it serves. Before that its socket rejects kubelets."""
    processes.pid_of(layout, node.process(CONTAINERD))
    with (layout.logs / f"{node.process(CONTAINERD)}.log").open("rb") as log:
        log.seek(int(_containerd_log_start(node).read_text()))
        return _CONTAINERD_SERVES.encode() in log.read()


def _containerd_log_start(node: Node) -> Path:
    """Contains the position in its log where the running containerd started."""
    return node.folder / "containerd.log-start"


def _write_containerd_config(node: Node) -> Path:
    """The configuration of containerd 2 (format 3) and of its CNI network."""
    networks = node.folder / "cni"
    networks.mkdir(parents=True, exist_ok=True)
    address_pool = {
        "type": "host-local",
        "ranges": [[{"subnet": node.pod_cidr}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": "/run/containerd/cni-addresses",
    }
    # ptp: a veth pair per pod and routing on the node: packets between two pods of a node pass its iptables rules too.
    # Addresses are kept where a power cut clears them.
    plugins = [
        {"type": "ptp", "ipMasq": False, "ipam": address_pool},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    (networks / "10-catdog.conflist").write_text(
        json.dumps({"cniVersion": "1.0.0", "name": "catdog", "plugins": plugins}, indent=2)
    )
    file = node.folder / "containerd.toml"
    file.write_text(f"""version = 3
root = "{node.folder}/containerd-root"
state = "{node.folder}/containerd-state"

[grpc]
address = "{node.containerd_socket}"

[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
disable_apparmor = true
netns_mounts_under_state_dir = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{_CNI_PLUGINS}"]
conf_dir = "{networks}"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false

[plugins."io.containerd.nri.v1.nri"]
disable = true
""")
    return file


def _write_kubelet_config(layout: Layout, node: Node) -> Path:
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": node.address,
        "healthzBindAddress": "127.0.0.1",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(layout.pki / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [CONTROL_ADDRESS],
        "clusterDomain": DNS_DOMAIN,
        "resolvConf": str(_write_resolv_conf(node)),
        "containerRuntimeEndpoint": f"unix://{node.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{node.cgroup}",
        "enforceNodeAllocatable": ["pods"],
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        # The disk belongs to the machine: a full disk is the developer's concern, not a reason to evict a test.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "imagefs.available": "1%",
            "nodefs.inodesFree": "1%",
        },
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        # Importing TensorFlow takes seconds of a whole processor; half of one, as tests ask for, doubles every start.
        "cpuCFSQuota": False,
        "registryPullQPS": 0,
        "shutdownGracePeriod": "0s",
    }
    file = node.folder / "kubelet.json"
    file.write_text(json.dumps(config, indent=2))
    return file


def _write_resolv_conf(node: Node) -> Path:
    """What pods with dnsPolicy Default get; the machine's own may name a server on its loopback, out of their reach."""
    file = node.folder / "resolv.conf"
    file.write_text(f"nameserver {CONTROL_ADDRESS}\n")
    return file
