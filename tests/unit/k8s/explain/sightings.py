"""Small API objects, as `kubectl get -o json` prints them, for tests of the code that reads them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from k8s.explain.observation import Observation

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
Object = dict[str, Any]


def ago(seconds: float) -> str:
    return (NOW - timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def condition(kind: str, status: str = "True", reason: str = "", message: str = "") -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def top(
    *conditions: Object,
    kind: str = "JobSet",
    suspend: bool = False,
    queue: str = "",
    deleted: bool = False,
    **status: Any,
) -> Object:
    labels = {
        "app.kubernetes.io/name": "catdog",
        "app.kubernetes.io/instance": "run",
        "app.kubernetes.io/managed-by": "catdog-submit",
        "app.kubernetes.io/component": "run",
        "catdog.dev/recipe": "baseline",
    }
    metadata: Object = {
        "name": "run",
        "uid": "u-top",
        "labels": labels,
        "creationTimestamp": ago(300),
        "annotations": {"catdog.dev/run": "gs://m/runs/run"},
    }
    if queue:
        labels["kueue.x-k8s.io/queue-name"] = queue
    if deleted:
        metadata["deletionTimestamp"] = ago(1)
    spec: Object = {"suspend": True} if suspend else {}
    job = {"completions": 2}
    spec.update({"replicatedJobs": [{"template": {"spec": job}}]} if kind == "JobSet" else job)
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": {"conditions": list(conditions), **status}}


def pod(
    rank: int = 0,
    *conditions: Object,
    node: str | None = "node-1",
    phase: str = "Pending",
    state: Object | None = None,
    deleted: float | None = None,
    **status: Any,
) -> Object:
    metadata: Object = {
        "name": f"run-w-0-{rank}-abcde",
        "uid": f"u-{rank}",
        "labels": {"batch.kubernetes.io/job-completion-index": str(rank)},
    }
    if deleted is not None:
        metadata["deletionTimestamp"] = ago(deleted)
    resources = {"requests": {"cpu": "4", "nvidia.com/gpu": "2"}, "limits": {"memory": "16Gi"}}
    spec: Object = {"containers": [{"name": "trainer", "image": "registry.example/catdog:1", "resources": resources}]}
    if node:
        spec["nodeName"] = node
    made: Object = {"phase": phase, "conditions": list(conditions), **status}
    if state is not None:
        made["containerStatuses"] = [{"name": "trainer", "state": state}]
    return {"metadata": metadata, "spec": spec, "status": made}


def running(rank: int = 0, since: float = 100, **more: Any) -> Object:
    return pod(rank, phase="Running", state={"running": {"startedAt": ago(since)}}, **more)


def waiting(reason: str, message: str = "", **more: Any) -> Object:
    return pod(state={"waiting": {"reason": reason, "message": message}}, **more)


def ended(
    code: int, message: str = "", reason: str = "Error", rank: int = 0, *conditions: Object, at: float = 10
) -> Object:
    state = {"terminated": {"exitCode": code, "reason": reason, "message": message, "finishedAt": ago(at)}}
    return pod(rank, *conditions, phase="Succeeded" if code == 0 else "Failed", state=state)


def event(reason: str, message: str, about: str = "Pod/run-w-0-0-abcde", seconds_ago: float = 5) -> Object:
    kind, _, name = about.partition("/")
    return {
        "metadata": {"name": "e"},
        "reason": reason,
        "message": message,
        "lastTimestamp": ago(seconds_ago),
        "involvedObject": {"kind": kind, "name": name},
    }


def state(word: str = "running", seconds_ago: float = 5, **more: Any) -> Object:
    return {
        "state": word,
        "reason": "",
        "exit_code": None,
        "rank": 0,
        "epoch": 2,
        "step": 120,
        "total_steps": 1890,
        "restarts": 0,
        "updated": ago(seconds_ago),
        **more,
    }


def seen(top: Object | None = None, *pods: Object, **more: Any) -> Observation:
    return Observation(name="run", now=NOW, top=top, pods=pods, **more)
