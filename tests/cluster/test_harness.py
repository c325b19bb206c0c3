"""The harness does what its README says: run as root with `python3 -m pytest tests/cluster/test_harness.py`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import api, builds, cgroups, images, lifecycle, node, processes, programs, records
from tests.cluster.api import Cluster, ClusterError
from tests.cluster.commands import CommandFailed
from tests.cluster.layout import CGROUP, Layout, nodes
from tests.cluster.traces import traces
from tests.cluster.waiting import wait_until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(2400)]

ROOT = Path(__file__).parents[2]
WARM_SECONDS = 60
NAMESPACE = "harness"


@pytest.fixture(scope="module")
def python_image() -> str:
    """A local image with Python, in the cache."""
    for family in programs.FAMILIES:
        programs.build(family)
    return builds.base_image()


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory, python_image: str) -> dict[str, list[str]]:
    return traces(tmp_path_factory.getbasetemp() / "c")


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, before: dict[str, list[str]], python_image: str
) -> Iterator[Cluster]:
    """A cluster with everything built, so this is a warm start; its namespace enforces the `restricted` profile."""
    state = tmp_path_factory.getbasetemp() / "c"
    try:
        started = time.monotonic()
        running = api.up(state)
        seconds = time.monotonic() - started
        print(f"\nwarm up: {seconds:.1f} s")
        assert seconds < WARM_SECONDS
        archive = builds.archive_of(python_image)
        started = time.monotonic()
        api.load_image(running, archive)
        print(f"loading {archive.stat().st_size / 2**20:.0f} MiB onto both nodes: {time.monotonic() - started:.1f} s")
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        apply(running, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
        yield running
    finally:
        started = time.monotonic()
        api.down(state)
        print(f"\ndown: {time.monotonic() - started:.1f} s")
    assert traces(state) == before


def apply(cluster: Cluster, *objects: dict[str, Any]) -> None:
    listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
    api.kubectl(cluster, "apply", "-f", "-", stdin=json.dumps(listed))


def get(cluster: Cluster, kind: str, *words: str) -> Any:
    return json.loads(api.kubectl(cluster, "get", kind, "-n", NAMESPACE, "-o", "json", *words))


def pods(cluster: Cluster, selector: str) -> list[dict[str, Any]]:
    return list(get(cluster, "pods", "-l", selector)["items"])


def spec(image: str, program: str, **more: Any) -> dict[str, Any]:
    """A pod that runs a Python program and satisfies the `restricted` profile."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [
            {
                "name": "main",
                "image": image,
                "imagePullPolicy": "Never",
                "command": ["python3", "-u", "-c", textwrap.dedent(program)],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                **more.pop("container", {}),
            }
        ],
        **more,
    }


def pod(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def spread(label: str, value: str) -> dict[str, Any]:
    """At most one pod with this label on a node."""
    term = {"labelSelector": {"matchLabels": {label: value}}, "topologyKey": "kubernetes.io/hostname"}
    return {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def wait_phase(cluster: Cluster, name: str, phase: str, seconds: float = 60) -> None:
    wait_until(lambda: get(cluster, "pod", name)["status"].get("phase") == phase, seconds, f"pod {name} to be {phase}")


def output_of(cluster: Cluster, image: str, name: str, program: str, **more: Any) -> str:
    """What a Python program prints in a pod of its own; it must succeed."""
    apply(cluster, pod(name, spec(image, program, **more)))
    wait_until(
        lambda: get(cluster, "pod", name)["status"].get("phase") in ("Succeeded", "Failed"), 60, f"pod {name} to finish"
    )
    output = api.kubectl(cluster, "logs", "-n", NAMESPACE, name)
    assert get(cluster, "pod", name)["status"]["phase"] == "Succeeded", output
    return output


MEET = """
    import http.server, os, socket, threading, time, urllib.request
    rank = int(os.environ["JOB_COMPLETION_INDEX"])
    peer = os.environ["PEERS"].split(",")[1 - rank]
    class Hello(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200); self.end_headers(); self.wfile.write(b"hello from %d" % rank)
        def log_message(self, *words): pass
    server = http.server.ThreadingHTTPServer(("", 8000), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    deadline = time.monotonic() + 60
    while True:
        try:
            print(rank, "got:", urllib.request.urlopen(f"http://{peer}:8000", timeout=2).read().decode())
            break
        except OSError as error:
            if time.monotonic() > deadline: raise
            time.sleep(0.5)
    time.sleep(5)
"""


def test_both_nodes_are_ready(cluster: Cluster) -> None:
    names = api.kubectl(cluster, "get", "nodes", "-o", "name").split()
    assert names == ["node/node-1", "node/node-2"]
    api.kubectl(cluster, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=1s")


def test_a_second_up_leaves_everything_running(cluster: Cluster) -> None:
    layout = Layout(cluster.state)
    pids = {name: record["pid"] for name, record in records.remembered(layout, "process").items()}
    started = time.monotonic()
    api.up(cluster.state)
    print(f"\nup of a running cluster: {time.monotonic() - started:.1f} s")
    assert {name: record["pid"] for name, record in records.remembered(layout, "process").items()} == pids
    assert all(processes.is_running(layout, name) for name in pids)


def test_a_second_cluster_is_refused(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="a cluster is already up"):
        api.up(tmp_path)


def test_two_pods_of_a_job_on_two_nodes_meet_by_headless_service_name(cluster: Cluster, python_image: str) -> None:
    peers = ",".join(f"meet-{rank}.meet" for rank in range(2))
    container = {"env": [{"name": "PEERS", "value": peers}]}
    template = spec(python_image, MEET, subdomain="meet", affinity=spread("job-name", "meet"), container=container)
    apply(
        cluster,
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "meet", "namespace": NAMESPACE},
            "spec": {"clusterIP": "None", "selector": {"job-name": "meet"}, "publishNotReadyAddresses": True},
        },
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "meet", "namespace": NAMESPACE},
            "spec": {
                "completionMode": "Indexed",
                "completions": 2,
                "parallelism": 2,
                "backoffLimit": 0,
                "template": {"spec": template},
            },
        },
    )
    api.kubectl(cluster, "wait", "-n", NAMESPACE, "--for=condition=Complete", "job/meet", "--timeout=90s")
    found = pods(cluster, "job-name=meet")
    assert {one["spec"]["nodeName"] for one in found} == set(cluster.nodes)
    logs = [api.kubectl(cluster, "logs", "-n", NAMESPACE, one["metadata"]["name"]).strip() for one in found]
    assert sorted(logs) == ["0 got: hello from 1", "1 got: hello from 0"]


def test_a_jobset_across_both_nodes_completes(cluster: Cluster, python_image: str) -> None:
    peers = ",".join(f"gang-w-0-{rank}.gang" for rank in range(2))
    label = "jobset.sigs.k8s.io/jobset-name"
    container = {"env": [{"name": "PEERS", "value": peers}]}
    template = spec(python_image, MEET, affinity=spread(label, "gang"), container=container)
    job = {
        "completionMode": "Indexed",
        "completions": 2,
        "parallelism": 2,
        "backoffLimit": 0,
        "template": {"spec": template},
    }
    apply(
        cluster,
        {
            "apiVersion": "jobset.x-k8s.io/v1alpha2",
            "kind": "JobSet",
            "metadata": {"name": "gang", "namespace": NAMESPACE},
            "spec": {"replicatedJobs": [{"name": "w", "template": {"spec": job}}]},
        },
    )
    api.kubectl(cluster, "wait", "-n", NAMESPACE, "--for=condition=Completed", "jobset/gang", "--timeout=90s")
    assert {one["spec"]["nodeName"] for one in pods(cluster, f"{label}=gang")} == set(cluster.nodes)


@pytest.mark.parametrize("where", ["node-1", "node-2"])
def test_exec_and_logs_reach_a_pod(cluster: Cluster, python_image: str, where: str) -> None:
    name = f"sleeper-{where}"
    apply(cluster, pod(name, spec(python_image, "print('up'); import time; time.sleep(600)", nodeName=where)))
    wait_phase(cluster, name, "Running")
    said = api.kubectl(cluster, "exec", "-n", NAMESPACE, name, "--", "python3", "-c", "import os; print(os.getuid())")
    assert said.strip() == "65532"
    wait_until(lambda: api.kubectl(cluster, "logs", "-n", NAMESPACE, name) == "up\n", 10, "the log")
    api.kubectl(cluster, "delete", "pod", "-n", NAMESPACE, name)


def test_a_pod_that_is_not_restricted_is_refused(cluster: Cluster, python_image: str) -> None:
    open_pod = spec(python_image, "pass")
    del open_pod["containers"][0]["securityContext"]
    with pytest.raises(CommandFailed) as refused:
        apply(cluster, pod("open", open_pod))
    assert 'violates PodSecurity "restricted' in refused.value.output


def test_a_pod_reaches_the_api_server_by_its_service(cluster: Cluster, python_image: str) -> None:
    program = """
        import ssl, urllib.request
        context = ssl._create_unverified_context()
        url = "https://kubernetes.default.svc/version"
        print(urllib.request.urlopen(url, context=context, timeout=20).read().decode())
    """
    for one in cluster.nodes:
        answer = json.loads(output_of(cluster, python_image, f"version-{one}", program, nodeName=one))
        assert answer["gitVersion"] == programs.version(programs.KUBERNETES)


def test_an_external_name_does_not_exist_for_pods(cluster: Cluster, python_image: str) -> None:
    program = """
        import socket, time
        started = time.monotonic()
        try:
            socket.getaddrinfo("storage.example.com", 443)
        except socket.gaierror as error:
            print(error.errno == socket.EAI_NONAME, time.monotonic() - started < 2)
    """
    assert output_of(cluster, python_image, "outside", program).split() == ["True", "True"]


def test_a_pod_writes_to_object_storage_and_a_precondition_holds(cluster: Cluster, python_image: str) -> None:
    program = f"""
        import json, urllib.error, urllib.request
        base = "{cluster.gcs_url_in_pods}"
        def send(path, body, kind):
            request = urllib.request.Request(base + path, data=body, headers={{"Content-Type": kind}})
            return urllib.request.urlopen(request, timeout=20).read()
        send("/storage/v1/b?project=test", json.dumps({{"name": "from-a-pod"}}).encode(), "application/json")
        upload = "/upload/storage/v1/b/from-a-pod/o?uploadType=media&name=a/b&ifGenerationMatch=0"
        send(upload, b"written once", "text/plain")
        try:
            send(upload, b"written twice", "text/plain")
        except urllib.error.HTTPError as error:
            print(error.code)
    """
    assert output_of(cluster, python_image, "storage", program).strip() == "412"
    url = f"{cluster.gcs_url}/storage/v1/b/from-a-pod/o/{urllib.parse.quote('a/b', safe='')}?alt=media"

    def read() -> bytes:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return bytes(answer.read())

    assert read() == b"written once"
    api.stop_gcs(cluster)
    with pytest.raises(OSError, match="refused"):
        read()
    api.start_gcs(cluster)
    assert read() == b"written once"


def test_prometheus_scrapes_pods_on_both_nodes(cluster: Cluster, python_image: str) -> None:
    program = """
        import http.server
        class Metrics(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200); self.send_header("Content-Type", "text/plain"); self.end_headers()
                self.wfile.write(b"harness_answer 42\\n")
            def log_message(self, *words): pass
        http.server.ThreadingHTTPServer(("", 9090), Metrics).serve_forever()
    """
    container = {"ports": [{"name": "metrics", "containerPort": 9090}]}
    for one in cluster.nodes:
        apply(cluster, pod(f"metrics-{one}", spec(python_image, program, nodeName=one, container=container)))

    def scraped() -> dict[str, str]:
        with urllib.request.urlopen(
            f"{cluster.prometheus_url}/api/v1/query?query=harness_answer", timeout=10
        ) as answer:
            found = json.load(answer)["data"]["result"]
        return {one["metric"]["node"]: one["value"][1] for one in found}

    wait_until(lambda: scraped() == {"node-1": "42", "node-2": "42"}, 60, "Prometheus to scrape both pods")
    api.kubectl(cluster, "delete", "pod", "-n", NAMESPACE, *(f"metrics-{one}" for one in cluster.nodes))


def test_gpus_are_placed_and_run_out(cluster: Cluster, python_image: str) -> None:
    api.set_gpus(cluster, "node-2", 4)
    asks = {"resources": {"limits": {"nvidia.com/gpu": "3"}}}
    sleep = "import time; time.sleep(600)"
    apply(cluster, pod("gpus-first", spec(python_image, sleep, container=asks)))
    wait_phase(cluster, "gpus-first", "Running")
    assert get(cluster, "pod", "gpus-first")["spec"]["nodeName"] == "node-2"
    apply(cluster, pod("gpus-second", spec(python_image, sleep, container=asks)))

    def why() -> str:
        return " ".join(
            one.get("message", "") for one in get(cluster, "pod", "gpus-second")["status"].get("conditions", [])
        )

    wait_until(lambda: "Insufficient nvidia.com/gpu" in why(), 30, "the second pod to be unschedulable")
    api.kubectl(cluster, "delete", "pod", "-n", NAMESPACE, "gpus-first", "gpus-second")


def test_a_killed_container_shows_137(cluster: Cluster, python_image: str) -> None:
    apply(cluster, pod("victim", spec(python_image, "import time; time.sleep(600)")))
    wait_phase(cluster, "victim", "Running")
    api.kill_container(cluster, "victim", namespace=NAMESPACE)
    wait_phase(cluster, "victim", "Failed")
    ended = get(cluster, "pod", "victim")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert ended["exitCode"] == 137
    with pytest.raises(ClusterError, match="is not running"):
        api.kill_container(cluster, "victim", namespace=NAMESPACE)


def test_an_image_built_here_runs_on_both_nodes(cluster: Cluster, tmp_path: Path) -> None:
    (tmp_path / "hello.py").write_text("import sys; print('built', sys.argv[1])\n")
    (tmp_path / "Dockerfile").write_text(
        "ARG BASE_IMAGE=python:3.11-slim\nFROM ${BASE_IMAGE}\nARG WORD\nENV WORD=${WORD}\n"
        "COPY hello.py /\nRUN python -m pip --version\n"
    )
    started = time.monotonic()
    archive = api.build_image(tmp_path, "localhost/harness-hello:1", {"WORD": "fine"})
    api.load_image(cluster, archive)
    print(f"\nbuilding and loading a small image: {time.monotonic() - started:.1f} s")
    for one in cluster.nodes:
        program = "import os, subprocess; subprocess.run(['python', '/hello.py', os.environ['WORD']], check=True)"
        said = output_of(cluster, "localhost/harness-hello:1", f"hello-{one}", program, nodeName=one)
        assert said.strip() == "built fine"


def test_a_partition_cuts_pods_off_until_it_is_healed(cluster: Cluster, python_image: str) -> None:
    listen = "import http.server; http.server.test(port=8000, HandlerClass=http.server.BaseHTTPRequestHandler)"
    for one in cluster.nodes:
        apply(cluster, pod(f"far-{one}", spec(python_image, listen, nodeName=one)))
    for one in cluster.nodes:
        wait_phase(cluster, f"far-{one}", "Running")
    address = get(cluster, "pod", "far-node-2")["status"]["podIP"]
    knock = f"import socket; socket.create_connection(('{address}', 8000), 2); print('there')"

    def reaches() -> bool:
        try:
            return "there" in api.kubectl(cluster, "exec", "-n", NAMESPACE, "far-node-1", "--", "python3", "-c", knock)
        except CommandFailed:
            return False

    wait_until(reaches, 20, "the pods to reach each other")
    api.partition(cluster, "node-2")
    assert not reaches()
    wait_until(lambda: not node_ready(cluster, "node-2"), 90, "node-2 to become NotReady", poll=1)
    api.heal(cluster, "node-2")
    wait_until(reaches, 30, "the pods to reach each other again")
    wait_until(lambda: node_ready(cluster, "node-2"), 60, "node-2 to be back", poll=1)


def node_ready(cluster: Cluster, name: str) -> bool:
    conditions = json.loads(api.kubectl(cluster, "get", "node", name, "-o", "json"))["status"]["conditions"]
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def test_a_node_loses_power_and_comes_back_with_its_gpus(cluster: Cluster, python_image: str) -> None:
    api.set_gpus(cluster, "node-2", 2)
    apply(cluster, pod("lost", spec(python_image, "import time; time.sleep(600)", nodeName="node-2")))
    wait_phase(cluster, "lost", "Running")
    api.stop_node(cluster, "node-2")
    wait_until(lambda: not node_ready(cluster, "node-2"), 90, "node-2 to become NotReady", poll=1)
    api.start_node(cluster, "node-2")
    allocatable = json.loads(api.kubectl(cluster, "get", "node", "node-2", "-o", "json"))["status"]["allocatable"]
    assert allocatable["nvidia.com/gpu"] == "2"
    wait_phase(cluster, "lost", "Failed")
    assert output_of(cluster, python_image, "after", "print('works')", nodeName="node-2") == "works\n"


def test_the_api_server_stops_and_returns_while_pods_keep_running(cluster: Cluster, python_image: str) -> None:
    apply(cluster, pod("steady", spec(python_image, "import time; time.sleep(600)")))
    wait_phase(cluster, "steady", "Running")
    api.stop_api_server(cluster)
    with pytest.raises(CommandFailed, match="refused"):
        api.kubectl(cluster, "get", "nodes")
    api.start_api_server(cluster)
    assert get(cluster, "pod", "steady")["status"]["containerStatuses"][0]["restartCount"] == 0


def test_kueue_holds_a_job_over_quota_and_admits_it_when_there_is_room(cluster: Cluster, python_image: str) -> None:
    started = time.monotonic()
    api.up(cluster.state, kueue=True)
    print(f"\nadding Kueue: {time.monotonic() - started:.1f} s")
    kueue = "kueue.x-k8s.io/v1beta2"
    quota = [{"name": "cpu", "nominalQuota": "1"}]
    group = {"coveredResources": ["cpu"], "flavors": [{"name": "plain", "resources": quota}]}
    queue = {"namespaceSelector": {}, "resourceGroups": [group]}
    apply(
        cluster,
        {"apiVersion": kueue, "kind": "ResourceFlavor", "metadata": {"name": "plain"}},
        {"apiVersion": kueue, "kind": "ClusterQueue", "metadata": {"name": "all"}, "spec": queue},
        {
            "apiVersion": kueue,
            "kind": "LocalQueue",
            "metadata": {"name": "team", "namespace": NAMESPACE},
            "spec": {"clusterQueue": "all"},
        },
    )
    wants = {"resources": {"requests": {"cpu": "800m"}}}
    for name, seconds in (("first", 20), ("second", 0)):
        template = spec(python_image, f"import time; time.sleep({seconds})", container=wants)
        apply(
            cluster,
            {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"kueue.x-k8s.io/queue-name": "team"}},
                "spec": {"suspend": True, "template": {"spec": template}},
            },
        )
        if name == "first":
            wait_until(lambda: not get(cluster, "job", "first")["spec"]["suspend"], 30, "the first job's admission")
    time.sleep(3)
    assert get(cluster, "job", "second")["spec"]["suspend"]
    # Kueue's own API reports its position, through the API server's aggregation layer.
    place = f"/apis/visibility.kueue.x-k8s.io/v1beta2/namespaces/{NAMESPACE}/localqueues/team/pendingworkloads"
    waiting = json.loads(api.kubectl(cluster, "get", "--raw", place))["items"]
    assert [one["positionInLocalQueue"] for one in waiting] == [0]
    api.kubectl(cluster, "wait", "-n", NAMESPACE, "--for=condition=Complete", "job/second", "--timeout=90s")


# From here on, tests take the cluster down and up, so they come last.


def command(state: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "tests.cluster", "--state", str(state), *words]


def wait_for_process(layout: Layout, name: str) -> None:
    wait_until(lambda: processes.is_running(layout, name), 60, f"{name} to start", poll=0.05)


def test_down_leaves_nothing_while_pods_run(cluster: Cluster, before: dict[str, list[str]]) -> None:
    api.down(cluster.state)
    assert traces(cluster.state) == before


def test_down_without_a_cluster_does_nothing(cluster: Cluster, before: dict[str, list[str]]) -> None:
    api.down(cluster.state)
    assert traces(cluster.state) == before


@pytest.mark.parametrize("moment", ["etcd", "node-2-containerd", "node-2-kube-proxy"])
def test_kill_9_in_the_middle_of_up_then_down_leaves_nothing(
    cluster: Cluster, before: dict[str, list[str]], moment: str
) -> None:
    with subprocess.Popen(command(cluster.state, "up"), cwd=ROOT, stdout=subprocess.DEVNULL) as running:
        wait_for_process(Layout(cluster.state), moment)
        running.kill()
    assert traces(cluster.state) != before
    api.down(cluster.state)
    assert traces(cluster.state) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_takes_down_what_it_started(
    cluster: Cluster, before: dict[str, list[str]], number: signal.Signals
) -> None:
    with subprocess.Popen(command(cluster.state, "up"), cwd=ROOT, stdout=subprocess.DEVNULL) as running:
        wait_for_process(Layout(cluster.state), "node-1-containerd")
        os.kill(running.pid, number)
        assert running.wait(60) == 130
    assert traces(cluster.state) == before


def test_up_works_after_a_crash_without_down(cluster: Cluster) -> None:
    with subprocess.Popen(command(cluster.state, "up"), cwd=ROOT, stdout=subprocess.DEVNULL) as running:
        wait_for_process(Layout(cluster.state), "node-2-containerd")
        running.kill()
    api.up(cluster.state)
    api.kubectl(cluster, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=1s")
    assert all(node.PAUSE_IMAGE in images.loaded(one) for one in nodes(Layout(cluster.state)))


def test_a_cluster_whose_processes_were_all_killed_is_not_up_and_is_made_anew(cluster: Cluster) -> None:
    cgroups.kill(CGROUP)
    with pytest.raises(ClusterError, match="no cluster is up"):
        api.existing(cluster.state)
    api.up(cluster.state)
    assert api.existing(cluster.state).state == cluster.state
    api.kubectl(cluster, "wait", "--for=condition=Ready", "nodes", "--all", "--timeout=1s")


def test_what_up_prints_can_be_evaluated_by_a_shell(cluster: Cluster) -> None:
    up = " ".join(command(cluster.state, "up"))
    shell = f'eval "$({up})" && kubectl get nodes -o name && helm version --short'
    said = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.split()[:2] == ["node/node-1", "node/node-2"]


def test_status_names_a_process_that_exited(cluster: Cluster) -> None:
    processes.stop(Layout(cluster.state), "coredns", grace=0)
    records.remember(Layout(cluster.state), "process", "coredns", pid=1, start=-1, boot=processes.boot_id())
    lines = {line.split()[0]: line for line in lifecycle.status(cluster.state).splitlines()}
    assert "exited" in lines["coredns"]
    assert "running" in lines["etcd"]


def test_every_process_of_the_cluster_is_in_its_cgroup(cluster: Cluster) -> None:
    inside = cgroups.processes(CGROUP)
    for name, record in records.remembered(Layout(cluster.state), "process").items():
        if name != "coredns":
            assert record["pid"] in inside, name
