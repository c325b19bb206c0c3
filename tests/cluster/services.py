"""What pods and tests reach on the control address: DNS, object storage and Prometheus."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path

from tests.cluster import certificates, processes, programs
from tests.cluster.control_plane import apply
from tests.cluster.layout import (
    API_URL,
    CONTROL_ADDRESS,
    CONTROL_CGROUP,
    CONTROL_NETNS,
    DNS_DOMAIN,
    GCS_PORT,
    GCS_URL,
    PROMETHEUS_PORT,
    PROMETHEUS_URL,
    WATCHED_BY_A_TEST,
    Layout,
)
from tests.cluster.waiting import wait_until

DNS = "coredns"
GCS = "fake-gcs-server"
PROMETHEUS = "prometheus"
DISCOVERY = "discovery"

_DNS_HEALTH = f"http://{CONTROL_ADDRESS}:8080/health"


def start(layout: Layout) -> None:
    """Start the three servers; the API server must be serving already. They are ready when wait_ready() returns."""
    _allow_watching(layout)
    kubeconfig = layout.config / "watcher.json"
    certificates.write_kubeconfig(layout, certificates.WATCHER, kubeconfig)
    corefile = layout.config / "Corefile"
    # No cache: a name that did not exist a moment ago must not stay missing. External names do not exist.
    corefile.write_text(f"""{DNS_DOMAIN}:53 in-addr.arpa:53 {{
    bind {CONTROL_ADDRESS}
    errors
    kubernetes {DNS_DOMAIN} in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 0
    }}
    health {CONTROL_ADDRESS}:8080
}}
.:53 {{
    bind {CONTROL_ADDRESS}
    errors
    template ANY ANY . {{
        rcode NXDOMAIN
    }}
}}
""")
    _start(layout, DNS, [str(programs.folder(programs.COREDNS) / "coredns"), "-conf", str(corefile)])
    start_gcs(layout)
    _start_prometheus(layout)


def start_gcs(layout: Layout) -> None:
    """Start the object storage server; its buckets are folders and outlive a restart of the process."""
    folder = layout.boot / "gcs"
    folder.mkdir(exist_ok=True)
    _start(
        layout,
        GCS,
        [
            str(programs.folder(programs.FAKE_GCS_SERVER) / "fake-gcs-server"),
            "-scheme=http",
            f"-host={CONTROL_ADDRESS}",
            f"-port={GCS_PORT}",
            f"-external-url={GCS_URL}",
            f"-public-host={CONTROL_ADDRESS}:{GCS_PORT}",
            f"-filesystem-root={folder}",
            "-log-level=warn",
        ],
    )


def wait_ready(layout: Layout) -> None:
    """Return when all three answer."""
    for name, url in ((DNS, _DNS_HEALTH), (GCS, f"{GCS_URL}/storage/v1/b"), (PROMETHEUS, f"{PROMETHEUS_URL}/-/ready")):
        wait_until(partial(_answers, layout, name, url), 60, f"{name} on {url}")


def _answers(layout: Layout, name: str, url: str) -> bool:
    processes.pid_of(layout, name)
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _start(layout: Layout, name: str, argv: list[str]) -> None:
    processes.start(layout, name, argv, cgroup=CONTROL_CGROUP, netns=CONTROL_NETNS)


def _allow_watching(layout: Layout) -> None:
    """What CoreDNS, Prometheus and the nodes' kube-routers may read."""
    name = "catdog-cluster-watcher"
    rules = [
        {
            "apiGroups": [""],
            "resources": ["services", "endpoints", "pods", "nodes", "namespaces"],
            "verbs": ["get", "list", "watch"],
        },
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["get", "list", "watch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": ["get", "list", "watch"]},
    ]
    apply(
        layout,
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": rules,
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": certificates.WATCHER}],
        },
    )


def _start_prometheus(layout: Layout) -> None:
    """Prometheus and the process that lists the pods for it to scrape."""
    token = layout.config / "watcher.token"
    token.touch(mode=0o600)
    token.write_text(certificates.token(layout, certificates.WATCHER))
    targets = layout.config / "targets.json"
    script = Path(__file__).with_name("discovery.py")
    argv = [sys.executable, str(script), API_URL, str(layout.pki / "ca.crt"), str(token), str(targets)]
    _start(layout, DISCOVERY, argv)
    kept = {"source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": "metrics", "action": "keep"}
    own = {"source_labels": ["__meta_kubernetes_namespace"], "regex": f"{WATCHED_BY_A_TEST}.*", "action": "drop"}
    named = {"namespace": "namespace", "pod": "pod_name", "container": "pod_container_name", "node": "pod_node_name"}
    labels = [{"source_labels": [f"__meta_kubernetes_{meta}"], "target_label": name} for name, meta in named.items()]
    scrape = {
        "job_name": "pods",
        "file_sd_configs": [{"files": [str(targets)]}],
        "relabel_configs": [kept, own, *labels],
    }
    config = layout.config / "prometheus.json"
    config.write_text(
        json.dumps({"global": {"scrape_interval": "5s", "scrape_timeout": "4s"}, "scrape_configs": [scrape]}, indent=2)
    )
    _start(
        layout,
        PROMETHEUS,
        [
            shutil.which("prometheus") or "prometheus",
            f"--config.file={config}",
            f"--storage.tsdb.path={layout.boot / 'prometheus'}",
            f"--web.listen-address={CONTROL_ADDRESS}:{PROMETHEUS_PORT}",
            "--log.level=warn",
        ],
    )
