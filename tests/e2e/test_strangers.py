"""A pod that looks like a worker but does not know the gang's secret: it is refused, and the run trains on."""

import base64
import json
from collections import Counter
from pathlib import Path

import pytest

from tests import runs
from tests.cluster import api
from tests.e2e.kit import LONG, REPOSITORY, Site, pod, until
from trainer.training.checkpoint import Snapshot

pytestmark = pytest.mark.timeout(1200, func_only=True)  # setting up may build for minutes

WORKER = {"app.kubernetes.io/name": "catdog", "app.kubernetes.io/component": "worker"}

# Registers as rank 1 wherever rank 0 is to listen, again and again, and prints what it is told: the keys of each
# answer, and what came after its proof, which is made with a secret of its own, or left out.
STRANGER = """
import json, socket, sys, time
from trainer.workers.handshake import Credential, new_nonce, _proof
host, kind = sys.argv[1], sys.argv[2]
while True:
    try:
        with socket.create_connection((host, 2223), timeout=2) as rank_0, rank_0.makefile("rb") as answers:
            rank_0.settimeout(10)
            said = {"rank": 1, "uid": "stranger", "program": "0", "config": "0", "nonce": new_nonce()}
            rank_0.sendall(json.dumps(said).encode() + b"\\n")
            answer = json.loads(answers.readline() or b"{}")
            print("told", *sorted(answer), flush=True)
            proof = ""
            if kind == "wrong":
                proof = _proof(Credential(b"a secret of my own", ""), "worker", said, str(answer.get("challenge")))
            rank_0.sendall(json.dumps({"proof": proof}).encode() + b"\\n")
            print("then", answers.readline() or "nothing", flush=True)
    except (OSError, ValueError):
        pass
    time.sleep(0.01)
"""


def heard(site: Site, stranger: str) -> Counter[str]:
    """How often a stranger was told what."""
    return Counter(api.kubectl(site.cluster, "-n", site.namespace, "logs", stranger).splitlines())


@pytest.mark.parametrize("kind", ["none", "wrong"])
def test_a_pod_without_the_secret_cannot_join_and_the_run_trains_on(
    site: Site, image: str, data: tuple[Path, str], undisturbed: Snapshot, kind: str
) -> None:
    name, stranger = f"met-{kind}", f"stranger-{kind}"
    command = {"command": ["python", "-c", STRANGER, f"{name}-w-0-0.{name}", kind]}
    with pod(site, stranger, site.cluster.nodes[0], image, WORKER, **command):
        api.kubectl(site.cluster, "-n", site.namespace, "wait", "--for=condition=Ready", f"pod/{stranger}")
        words = ("--gpus", 0, "--workers", 2, "--shape", "jobset", "--data", data[1], *LONG, "--no-follow")
        site.submit(name, *words)
        until(f"{name} trains", lambda: site.saved_step(name) >= 10, limit=300)
        for restart in range(1, 4):  # the workers meet within a moment, which the stranger can miss
            if heard(site, stranger):
                break
            site_pod = site.pods(name)[1]["metadata"]["name"]
            api.kubectl(site.cluster, "-n", site.namespace, "delete", "pod", site_pod, "--wait=false")
            until(f"{name} restarts", lambda at=restart: site.state(name).get("restarts", 0) >= at, limit=300)
        site.catdog("wait", name, "--timeout", 600, timeout=700)
        told = heard(site, stranger)
    assert told, "it never reached rank 0"
    assert set(told) <= {"told challenge proof", "told", "then nothing"}, told
    assert told["told challenge proof"] >= 1, told
    assert runs.differing(runs.last(site.folder(name).uri), undisturbed) == []


def test_the_secret_is_made_once_and_shown_nowhere(site: Site, data: tuple[Path, str]) -> None:
    """Its own name is all that the platform, a dry run and the pods have of it; the submitters cannot read it."""
    secret = base64.b64decode(site.get("secret", "catdog-gang")["data"]["secret"]).decode()
    assert len(secret) == 64
    words = ("--gpus", 0, "--workers", 2, "--data", data[1])
    dry = site.submit("dry-secret", *words, "--dry-run", "-o", "json").out
    assert '"name": "CATDOG_GANG_SECRET"' in dry
    site.submit("secretive", *words, "--recipe", "demo", "--steps", 20, "--wait", timeout=600)
    shown = [dry, json.dumps(site.get("pods,jobs,jobsets,configmaps")), site.catdog("logs", "secretive").out]
    folder = site.folder("secretive")
    shown += [folder.read(stat.name).decode(errors="replace") for stat in folder.list("")]
    assert not [text for text in shown if secret in text]
    api.helm(
        site.cluster,
        "upgrade",
        "catdog",
        str(REPOSITORY / "helm" / "catdog"),
        "--namespace",
        site.namespace,
        "--reuse-values",
    )
    assert base64.b64decode(site.get("secret", "catdog-gang")["data"]["secret"]).decode() == secret
    account = f"--as=system:serviceaccount:{site.namespace}:catdog-submitter"
    with pytest.raises(api.ClusterError):
        api.kubectl(site.cluster, "-n", site.namespace, "get", "secret", "catdog-gang", account)
