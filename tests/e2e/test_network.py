"""What the chart's NetworkPolicy allows: kube-router enforces it on both nodes."""

from collections.abc import Iterator

import pytest

from tests.cluster import api
from tests.e2e.kit import Site, pod, until

pytestmark = pytest.mark.timeout(300, func_only=True)  # setting up may build for minutes

WORKER = {"app.kubernetes.io/name": "catdog", "app.kubernetes.io/component": "worker"}
TENSORFLOW, METRICS, OTHER = 2222, 8080, 9999
CONTROL = "10.213.0.1"  # of the harness; listens on these:
STORAGE, API, PROMETHEUS = 4443, 6443, 9090

SERVE = f"""
import socket, time
open_ones = [socket.create_server(("", port)) for port in ({TENSORFLOW}, {METRICS}, {OTHER})]
time.sleep(3600)
"""
KNOCK = """
import socket, sys
host, port = sys.argv[1], int(sys.argv[2])
address = socket.gethostbyname(host)
try:
    socket.create_connection((address, port), timeout=2).close()
    print("open")
except OSError:
    print("shut")
"""


@pytest.fixture(scope="module")
def addresses(site: Site, image: str) -> Iterator[dict[str, str]]:
    """Where two workers, on two nodes, and a stranger listen."""
    first, second = site.cluster.nodes
    serve = {"command": ["python", "-c", SERVE]}
    with (
        pod(site, "worker", first, image, WORKER, **serve),
        pod(site, "peer", second, image, WORKER, **serve),
        pod(site, "stranger", first, image, {}, **serve),
    ):
        for name in ("worker", "peer", "stranger"):
            api.kubectl(site.cluster, "-n", site.namespace, "wait", "--for=condition=Ready", f"pod/{name}")
        yield {name: site.get("pod", name)["status"]["podIP"] for name in ("worker", "peer", "stranger")}


def knock(site: Site, pod: str, host: str, port: int) -> str:
    """Whether a port of a host can be reached from a pod."""
    words = ("-n", site.namespace, "exec", pod, "--", "python", "-c", KNOCK, host, str(port))
    return api.kubectl(site.cluster, *words).strip()


WAYS = [
    ("worker", "peer", TENSORFLOW, "open"),
    ("worker", "peer", OTHER, "open"),  # NCCL chooses its ports
    ("worker", CONTROL, STORAGE, "open"),
    ("worker", CONTROL, API, "shut"),
    ("worker", "kubernetes.default.svc.cluster.local", 443, "shut"),  # the same through its Service: the name resolves
    ("worker", CONTROL, PROMETHEUS, "shut"),
    ("worker", "stranger", TENSORFLOW, "shut"),
    ("stranger", "worker", TENSORFLOW, "shut"),
    ("stranger", "peer", OTHER, "shut"),
    ("stranger", "peer", METRICS, "open"),
    # No policy applies to the stranger: what is closed to workers is reachable.
    ("stranger", CONTROL, API, "open"),
    ("stranger", "kubernetes.default.svc.cluster.local", 443, "open"),
    ("stranger", CONTROL, PROMETHEUS, "open"),
]


@pytest.mark.parametrize(("start", "host", "port", "expected"), WAYS)
def test_workers_reach_each_other_storage_and_names_and_are_reached_for_metrics_only(
    site: Site, addresses: dict[str, str], start: str, host: str, port: int, expected: str
) -> None:
    host = addresses.get(host, host)
    # The agent needs a moment to see a new pod.
    until(f"{host}:{port} is {expected}", lambda: knock(site, start, host, port) == expected, limit=30)
