"""etcd, the API server, the controller manager and the scheduler: processes in the control network namespace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.cluster import certificates, processes, programs
from tests.cluster.commands import CommandFailed, run
from tests.cluster.layout import (
    API_PORT,
    CONTROL_ADDRESS,
    CONTROL_CGROUP,
    CONTROL_NETNS,
    POD_CIDR,
    SERVICE_CIDR,
    WORK_CGROUP,
    Layout,
)
from tests.cluster.waiting import wait_until

ETCD = "etcd"
API_SERVER = "kube-apiserver"
CONTROLLER_MANAGER = "kube-controller-manager"
SCHEDULER = "kube-scheduler"

_ETCD_URL = "http://127.0.0.1:2379"


def start(layout: Layout) -> None:
    """Start etcd and the API server, wait until it serves, then start the two controllers."""
    start_api_server(layout)
    wait_until(lambda: is_ready(layout), 180, f"the API server to be ready (logs: {layout.logs})")
    kubernetes = programs.folder(programs.KUBERNETES)
    pki = layout.pki
    manager_config = layout.config / f"{CONTROLLER_MANAGER}.json"
    scheduler_config = layout.config / f"{SCHEDULER}.json"
    certificates.write_kubeconfig(layout, certificates.CONTROLLER_MANAGER, manager_config)
    certificates.write_kubeconfig(layout, certificates.SCHEDULER, scheduler_config)
    _start(
        layout,
        CONTROLLER_MANAGER,
        [
            kubernetes / CONTROLLER_MANAGER,
            f"--kubeconfig={manager_config}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki / 'service-accounts.key'}",
            f"--root-ca-file={pki / 'ca.crt'}",
            f"--cluster-signing-cert-file={pki / 'ca.crt'}",
            f"--cluster-signing-key-file={pki / 'ca.key'}",
            f"--cluster-cidr={POD_CIDR}",
            "--allocate-node-cidrs=false",
        ],
    )
    _start(
        layout,
        SCHEDULER,
        [
            kubernetes / SCHEDULER,
            f"--kubeconfig={scheduler_config}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )


def start_api_server(layout: Layout) -> None:
    """Start etcd and the API server, unless they are running."""
    pki = layout.pki
    etcd = shutil.which("etcd") or "etcd"
    _start(
        layout,
        ETCD,
        [
            etcd,
            f"--data-dir={layout.boot / 'etcd'}",
            "--unsafe-no-fsync",
            "--log-level=warn",
            f"--listen-client-urls={_ETCD_URL}",
            f"--advertise-client-urls={_ETCD_URL}",
            "--listen-peer-urls=http://127.0.0.1:2380",
        ],
    )
    _start(
        layout,
        API_SERVER,
        [
            programs.folder(programs.KUBERNETES) / API_SERVER,
            f"--etcd-servers={_ETCD_URL}",
            f"--advertise-address={CONTROL_ADDRESS}",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICE_CIDR}",
            f"--tls-cert-file={pki / 'apiserver.crt'}",
            f"--tls-private-key-file={pki / 'apiserver.key'}",
            f"--client-ca-file={pki / 'ca.crt'}",
            f"--token-auth-file={pki / 'tokens.csv'}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={pki / 'service-accounts.key'}",
            f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
            # For kubectl logs and exec: the kubelet is called by address, with a client certificate.
            f"--kubelet-client-certificate={pki / 'apiserver-to-kubelet.crt'}",
            f"--kubelet-client-key={pki / 'apiserver-to-kubelet.key'}",
            "--kubelet-preferred-address-types=InternalIP",
            # For aggregated APIs (Kueue's visibility server): calls are signed by the front-proxy certificate.
            f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
            "--requestheader-allowed-names=front-proxy-client",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-username-headers=X-Remote-User",
            f"--proxy-client-cert-file={pki / 'front-proxy.crt'}",
            f"--proxy-client-key-file={pki / 'front-proxy.key'}",
            "--enable-aggregator-routing",
        ],
    )


def _start(layout: Layout, name: str, argv: list[str | Path]) -> None:
    processes.start(layout, name, argv, cgroup=CONTROL_CGROUP, netns=CONTROL_NETNS)


def is_ready(layout: Layout) -> bool:
    """Whether the API server reports ready; raises ClusterError if its process or etcd's has exited."""
    processes.pid_of(layout, ETCD)
    processes.pid_of(layout, API_SERVER)
    try:
        return kubectl(layout, "get", "--raw", "/readyz", "--request-timeout=5s") == "ok"
    except CommandFailed:
        return False


def kubectl(layout: Layout, *words: str, stdin: str | None = None, timeout: float | None = 300) -> str:
    """The output of kubectl, as the cluster's administrator."""
    return run(
        [programs.folder(programs.KUBERNETES) / "kubectl", f"--kubeconfig={layout.kubeconfig}", *words],
        stdin=stdin,
        # Keep kubectl's discovery cache out of the user's home.
        env={"KUBECACHEDIR": str(layout.work / "kubectl-cache")},
        timeout=timeout,
        cgroup=WORK_CGROUP,
    )


def apply(layout: Layout, *objects: dict[str, object]) -> None:
    """Create or update Kubernetes objects."""
    # No client-side validation: that would fetch the whole API description first.
    kubectl(
        layout,
        "apply",
        "--server-side",
        "--validate=false",
        "-f",
        "-",
        stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)}),
    )
