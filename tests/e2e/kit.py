"""What the end-to-end tests share: a namespace with the chart in it, the real command line, and waiting."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.cluster import api
from trainer.storage.base import Storage
from trainer.storage.opening import open_storage
from trainer.training import checkpoint

REPOSITORY = Path(__file__).parents[2]
LIMIT = 300.0  # seconds for one command

# 5 steps an epoch; 250 steps, some tens of which are done when the fault occurs.
LONG = ("--recipe", "augmented", "--model", "small", "--image-size", 48, "--batch-size", 16, "--epochs", 50)
LONG += ("--deterministic", "--precision", "float32", "--checkpoint-every", 5, "--grace-period", 30)


@dataclass(frozen=True)
class Done:
    """The result of a command."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        """Both streams, for a message."""
        return f"exit {self.code}\n{self.out}\n{self.err}"


@dataclass(frozen=True)
class Site:
    """A namespace that runs can be submitted to."""

    cluster: api.Cluster
    namespace: str
    bucket: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def runs(self) -> str:
        """Where its run folders are."""
        return f"{self.bucket}/runs"

    def catdog(self, *words: object, code: int | None = 0, timeout: float = LIMIT, **environment: str) -> Done:
        """Run `catdog WORDS -n NAMESPACE` until it exits; `code` is the expected exit code."""
        with self.start(*words, **environment) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise AssertionError(f"catdog {words} did not exit within {timeout:g} s:\n{out}\n{err}") from None
        done = Done(process.returncode, out, err)
        assert code is None or done.code == code, f"catdog {words}: {done.said}"
        return done

    def start(self, *words: object, **environment: str) -> "subprocess.Popen[str]":
        """The same in the background."""
        return subprocess.Popen(
            [str(Path(sys.executable).with_name("catdog")), *map(str, words), "--namespace", self.namespace],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **self.environment, **environment},
        )

    def submit(self, name: str, *words: object, **keywords: Any) -> Done:
        """`catdog submit --name NAME`."""
        return self.catdog("submit", "--name", name, *words, **keywords)

    def answer(self, *words: object) -> Any:
        """What `catdog WORDS -o json` prints, whatever its exit code."""
        return json.loads(self.catdog(*words, "-o", "json", code=None).out)

    def status(self, name: str) -> dict[str, Any]:
        """`catdog status NAME -o json`."""
        return dict(self.answer("status", name))

    def get(self, kind: str, *words: str) -> Any:
        """Objects of a kind, by labels or name, as kubectl prints them."""
        return json.loads(api.kubectl(self.cluster, "-n", self.namespace, "get", kind, *words, "-o", "json"))

    def pods(self, name: str) -> list[Any]:
        """Pods of a run, by rank."""
        found = self.get("pods", "-l", f"app.kubernetes.io/instance={name},app.kubernetes.io/component=worker")["items"]
        return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))

    def folder(self, name: str) -> Storage:
        """A run's folder."""
        return open_storage(f"{self.runs}/{name}")

    def state(self, name: str) -> dict[str, Any]:
        """state.json of a run; empty if there is none."""
        folder = self.folder(name)
        return dict(json.loads(folder.read("state.json"))) if folder.stat("state.json") else {}

    def ended(self, name: str) -> dict[str, Any] | None:
        """state.json once the run has ended in the cluster too, which is only asked when the file says so."""
        over = ("succeeded", "failed")
        if self.state(name).get("state") in over and self.status(name)["phase"] in over:
            return self.state(name)
        return None

    def saved_step(self, name: str) -> int:
        """The step of a run's newest checkpoint; 0 if there is none."""
        found = checkpoint.step_names(self.folder(name).child("checkpoints"))
        return int(found[0].removeprefix("step-")) if found else 0


def until(what: str, ready: Callable[[], Any], limit: float = 120.0, every: float = 0.5) -> Any:
    """Wait for a true result of `ready` and return it; fail after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (answer := ready()):
        assert time.monotonic() < deadline, f"waited {limit:g} s for: {what}"
        time.sleep(every)
    return answer


def set_flags(values: dict[str, Any]) -> Iterator[str]:
    """The chart's values as `--set-json` flags of helm."""
    for name, value in values.items():
        yield from ("--set-json", f"{name}={json.dumps(value)}")


def values_of(image: str, bucket: str, **more: Any) -> dict[str, Any]:
    """Values of the chart: those of the harness, with an image and a bucket."""
    harness = yaml.safe_load((REPOSITORY / "tests" / "cluster" / "values.yaml").read_text())
    rbac = {**harness["rbac"], "submitterServiceAccount": {"create": True}}
    return {**harness, "image": image, "runs": f"{bucket}/runs", "rbac": rbac, **more}


# What a namespace that accepts only `restricted` pods requires of a container.
RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 10001,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@contextmanager
def pod(site: Site, name: str, node: str, image: str, labels: dict[str, str], **container: Any) -> Iterator[None]:
    """A pod that is not catdog's, for the duration of the block; `container` has more fields of its container."""
    one = {"name": "it", "image": image, "imagePullPolicy": "Never", "securityContext": RESTRICTED, **container}
    made = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": site.namespace, "labels": labels},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 0, "containers": [one]},
    }
    api.kubectl(site.cluster, "create", "-f", "-", stdin=json.dumps(made))
    try:
        yield
    finally:
        api.kubectl(site.cluster, "-n", site.namespace, "delete", "pod", name, "--wait=true")
