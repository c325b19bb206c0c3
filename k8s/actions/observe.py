"""Looks at one run, or at all, in the cluster and in the run folder; what may not be read becomes a note."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

from k8s.actions import folders
from k8s.api import client as api
from k8s.api.client import CORE, KUEUE, KUEUE_VISIBILITY, Cluster
from k8s.api.errors import ApiError
from k8s.exits import missing
from k8s.explain.observation import Object, Observation
from k8s.manifest.objects import INSTANCE_LABEL, NAME_LABEL, QUEUE_LABEL, RUN_ANNOTATION, Served
from k8s.planning.capacity import NodeSpace, matching, spaces
from k8s.settings import platform as platforms

T = TypeVar("T")
ALL = f"{NAME_LABEL}=catdog,app.kubernetes.io/managed-by=catdog-submit"


def platform_settings(cluster: Cluster) -> platforms.Yaml:
    """The settings of the chart in the namespace, not yet checked.

    Raises:
        CliError: 3 when the chart is not installed there.
    """
    where = f"ConfigMap {platforms.CONFIG_MAP} in namespace {cluster.namespace}"
    path = api.namespaced(cluster, CORE, "configmaps", platforms.CONFIG_MAP)
    found = api.find(cluster, path, f"read ConfigMap {platforms.CONFIG_MAP}")
    if found is None:
        raise missing(f"no {where}: install the chart there (helm install catdog …), or name another --namespace")
    return platforms.of_config_map(found, where)


def served(cluster: Cluster) -> Served:
    """Which optional APIs the cluster has."""
    return Served(jobset=api.serves(cluster, api.JOB_SETS), kueue=api.serves(cluster, KUEUE))


def tops(cluster: Cluster, selector: str, *, jobset: bool) -> list[Object]:
    """JobSets, and Jobs that belong to nothing, of these labels."""
    found = api.items(cluster, api.path_of(cluster, "Job"), "list jobs", selector)
    made = [job for job in found if not job["metadata"].get("ownerReferences")]
    if jobset:
        made += api.items(cluster, api.path_of(cluster, "JobSet"), "list jobsets", selector)
    return made


def find_top(cluster: Cluster, name: str) -> Object | None:
    """The run's JobSet or Job; None where there is neither."""
    for kind in ("JobSet", "Job"):
        found = api.find(cluster, api.path_of(cluster, kind, name), f"read {kind} {name}")
        if found is not None and (found["metadata"].get("labels") or {}).get(NAME_LABEL) == "catdog":
            return found
    return None


def observe(cluster: Cluster, name: str, run_uri: str = "", *, deep: bool = False, brief: bool = False) -> Observation:
    """What can be seen of a run now. `deep` adds what only `why` needs: nodes, what is free on them, queue places;
    `brief` leaves out what a phase is not made of: events, child jobs, workload.

    Raises:
        ApiError: when the run's own objects cannot be read.
    """
    notes: list[str] = []
    top = find_top(cluster, name)
    selector = f"{INSTANCE_LABEL}={name},{NAME_LABEL}=catdog"
    pods = api.items(
        cluster, api.namespaced(cluster, CORE, "pods"), "list pods", f"{selector},app.kubernetes.io/component=worker"
    )
    jobs: list[Object] = []
    if top is not None and top["kind"] == "JobSet" and not brief:
        jobs = api.items(cluster, api.path_of(cluster, "Job"), "list jobs", selector)
    uri = run_uri_of(top) or run_uri
    state, trouble = folders.read(uri, folders.STATE) if uri else (None, "")
    if trouble:
        notes.append(trouble)
    events: list[Object] = []
    if top is not None and not brief:
        events = _try(lambda: _events(cluster, name, [top, *jobs, *pods]), notes) or []
    workload = _try(lambda: _workload(cluster, top), notes) if top is not None and _queue(top) and not brief else None
    nodes: list[Object] | None = None
    room: list[NodeSpace] | None = None
    position: tuple[tuple[str, int], ...] = ()
    if deep:
        nodes = _try(lambda: api.items(cluster, f"{CORE}/nodes", "list nodes"), notes, _NO_NODES)
        room = _room(cluster, nodes, pods, notes)
        if workload is not None:
            position = _try(lambda: _position(cluster, workload), notes) or ()
    return Observation(
        name=name,
        now=datetime.now(UTC),
        top=top,
        jobs=jobs,
        pods=pods,
        events=events,
        workload=workload,
        position=position,
        nodes=nodes,
        spaces=room,
        state=state,
        notes=tuple(notes),
    )


def run_uri_of(top: Object | None) -> str:
    """The run folder that an object was made for."""
    return str(((top or {}).get("metadata", {}).get("annotations") or {}).get(RUN_ANNOTATION, ""))


def node_spaces(
    cluster: Cluster, selector: dict[str, str], tolerations: list[dict[str, Any]]
) -> tuple[list[NodeSpace] | None, list[str]]:
    """What the matching nodes have and what is free of it, as far as these credentials may look; and notes."""
    notes: list[str] = []
    nodes = _try(lambda: api.items(cluster, f"{CORE}/nodes", "list nodes"), notes, _NO_NODES)
    if nodes is None:
        return None, notes
    fitting = matching(nodes, selector, tolerations)
    pods = _all_pods(cluster, notes)
    return spaces(fitting, pods), notes


_RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
_NO_NODES = "nodes may not be read (rbac.nodes of the chart)"
_NO_PODS = "what is free on the nodes is not known: pods of all namespaces may not be listed (rbac.pods of the chart)"


def _all_pods(cluster: Cluster, notes: list[str]) -> list[Object] | None:
    def read() -> list[Object]:
        return api.items(cluster, f"{CORE}/pods", "list pods", fields=_RUNNING)

    return _try(read, notes, _NO_PODS)


def _room(cluster: Cluster, nodes: list[Object] | None, pods: list[Object], notes: list[str]) -> list[NodeSpace] | None:
    if nodes is None or not pods:
        return None
    spec = pods[0].get("spec") or {}
    fitting = matching(nodes, spec.get("nodeSelector") or {}, spec.get("tolerations") or ())
    everything = _all_pods(cluster, notes)
    return spaces(fitting, everything)


def _events(cluster: Cluster, name: str, about: list[Object]) -> list[Object]:
    uids = {one["metadata"].get("uid") for one in about}
    found = api.items(cluster, api.namespaced(cluster, CORE, "events"), "list events")
    return [
        event
        for event in found
        if (involved := event.get("involvedObject") or {}).get("uid") in uids
        or str(involved.get("name", "")).startswith(f"{name}-")
    ]


def _queue(top: Object) -> str:
    return str((top["metadata"].get("labels") or {}).get(QUEUE_LABEL, ""))


def _workload(cluster: Cluster, top: Object) -> Object | None:
    found = api.items(cluster, api.namespaced(cluster, KUEUE, "workloads"), "list workloads")
    uid = top["metadata"].get("uid")
    owned = [one for one in found if any(o.get("uid") == uid for o in one["metadata"].get("ownerReferences") or ())]
    return owned[0] if owned else None


def _position(cluster: Cluster, workload: Object) -> tuple[tuple[str, int], ...]:
    queue = str((workload.get("spec") or {}).get("queueName", ""))
    path = api.namespaced(cluster, KUEUE_VISIBILITY, "localqueues", f"{queue}/pendingworkloads")
    answer = api.find(cluster, path, f"read the places in queue {queue}") or {}
    for one in answer.get("items") or ():
        if one["metadata"]["name"] == workload["metadata"]["name"]:
            local, shared = int(one.get("positionInLocalQueue", 0)), int(one.get("positionInClusterQueue", 0))
            return ((f"queue {queue}", local), ("its cluster queue", shared))
    return ()


def _try(read: Callable[[], T], notes: list[str], instead: str = "") -> T | None:
    """The result, or None and a note where it may not be read; an unreachable server is not hidden.

    `instead` is said where the right is one that submitters need not have.
    """
    try:
        return read()
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        notes.append(instead or error.message)
        return None
