"""Checks what a run needs from the cluster, and collects what is known about a run in one file, without secrets."""

import io
import json
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from k8s.actions import folders, observe
from k8s.api import client as api
from k8s.api.client import Cluster
from k8s.exits import CliError
from k8s.explain.cause import as_text
from k8s.explain.observation import Observation
from k8s.explain.why import explain
from k8s.labels import JOBSET_GROUP
from k8s.settings import platform
from k8s.terminal.secrets import hide, hide_in_text
from trainer.contract import CONFIG, STATE, SUMMARY
from trainer.process.versions import catdog_version

LOG_TAIL = 2000

# Permissions that a submitter needs: verb, group, resource, subresource.
RIGHTS: tuple[tuple[str, str, str, str], ...] = (
    *((verb, "batch", "jobs", "") for verb in ("create", "delete", "get", "list")),
    *((verb, JOBSET_GROUP, "jobsets", "") for verb in ("create", "delete", "get", "list")),
    ("create", "", "services", ""),
    ("list", "", "pods", ""),
    ("get", "", "pods", "log"),
    ("list", "", "events", ""),
)


@dataclass(frozen=True)
class Check:
    """The result of one check. `ok` is None if it does not matter for everybody."""

    name: str
    ok: bool | None
    detail: str


def check(cluster: Cluster) -> list[Check]:
    """Cluster, rights, chart, optional APIs, run folders.

    Raises:
        ApiError: when the API server cannot be reached: then nothing else can be checked.
    """
    about = api.get(cluster, "/version", "read the server's version")
    made = [
        Check("cluster", True, f"{cluster.shown}, Kubernetes {about.get('gitVersion')}, namespace {cluster.namespace}")
    ]
    denied = [
        f"{verb} {name}{f'/{sub}' if sub else ''}"
        for verb, group, name, sub in RIGHTS
        if not api.may(cluster, verb, group, name, sub)
    ]
    made.append(
        Check("rights", not denied, f"missing: {', '.join(denied)}" if denied else "all that a submitter needs")
    )
    has = observe.served(cluster)
    made.append(
        Check("jobset", None, "installed" if has.jobset else "not installed: several workers use a Job with a Service")
    )
    made.append(Check("kueue", None, "installed" if has.kueue else "not installed: no queues"))
    made += _chart(cluster)
    return made


def _chart(cluster: Cluster) -> list[Check]:
    try:
        settings = platform.of_mapping(observe.platform_settings(cluster), "the chart")
    except CliError as error:
        return [Check("chart", False, error.message)]
    made = [Check("chart", bool(settings.image), f"image {settings.image or 'not set: --set image=…'}")]
    if settings.runs.startswith("gs://"):
        try:
            warning = folders.check_runs(settings.runs)
            made.append(Check("runs", None if warning else True, warning or settings.runs))
        except CliError as error:
            made.append(Check("runs", False, error.message))
    return made


def as_lines(checks: Sequence[Check]) -> str:
    """The checks for people."""
    marks = {True: "ok", False: "FAIL", None: "note"}
    return "\n".join(f"{marks[one.ok]:<5} {one.name:<8} {one.detail}" for one in checks)


def gather(cluster: Cluster, checks: Sequence[Check], seen: Observation | None, uri: str) -> dict[str, bytes]:
    """The bundle's files: checks, versions, the platform, and for a run its objects, events, logs and state."""
    files: dict[str, Any] = {
        "checks.json": [one.__dict__ for one in checks],
        "versions.json": {
            "catdog": catdog_version(),
            "kubernetes": version("kubernetes"),
            "python": sys.version.split()[0],
        },
        "platform.json": _tried(lambda: observe.platform_settings(cluster)),
    }
    if seen is not None:
        files["why.txt"] = as_text(explain(seen)) + "\n"
        files["run.json"] = {
            "top": seen.top,
            "jobs": seen.jobs,
            "pods": seen.pods,
            "events": seen.events,
            "workload": seen.workload,
            "nodes": [_node(node) for node in seen.nodes or ()],
            "notes": seen.notes,
        }
        for name in (STATE, CONFIG, SUMMARY) if uri else ():
            found, trouble = folders.read(uri, name)
            files[f"folder/{name}"] = found if found is not None else trouble or "does not exist"
        for pod in seen.pods:
            name = str(pod["metadata"]["name"])
            files[f"logs/{name}.txt"] = _tried(lambda name=name: _log(cluster, name))  # type: ignore[misc]
    return {name: _encoded(content) for name, content in files.items()}


def _log(cluster: Cluster, pod: str) -> str:
    return "\n".join(api.log_lines(cluster, pod, follow=False, tail=LOG_TAIL)) + "\n"


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    status = node.get("status") or {}
    return {
        "name": node["metadata"]["name"],
        "labels": node["metadata"].get("labels"),
        "taints": (node.get("spec") or {}).get("taints"),
        **{name: status.get(name) for name in ("allocatable", "conditions", "nodeInfo")},
    }


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except CliError as error:
        return f"not available: {error.message}"


def _encoded(content: Any) -> bytes:
    if isinstance(content, str):
        return hide_in_text(content).encode()
    return hide_in_text(json.dumps(hide(content), indent=1, default=str)).encode() + b"\n"


def write_bundle(path: Path, files: Mapping[str, bytes]) -> None:
    """A .tar.gz readable by its owner only. Raises OSError."""
    with path.open("xb") as file:
        path.chmod(0o600)
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            for name, data in sorted(files.items()):
                member = tarfile.TarInfo(f"{path.name.removesuffix('.tar.gz')}/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
