"""Observes one run, or lists all, in the cluster and in run folders; what access rights forbid becomes a note."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from k8s.actions import folders
from k8s.actions.bounded import Bounded
from k8s.actions.tops import find, longer_named, of_each_run
from k8s.api import client as api
from k8s.api.client import CORE, KUEUE, KUEUE_VISIBILITY, Cluster
from k8s.api.errors import ApiError
from k8s.exits import missing
from k8s.explain import events, observation, tops
from k8s.explain.observation import Object, Observation, of_folder
from k8s.explain.spoken import TAIL_LINES, heard_in
from k8s.labels import (
    APP,
    COMPONENT_LABEL,
    CONFIG_MAP,
    INSTANCE_LABEL,
    MANAGER,
    MANAGER_LABEL,
    NAME_LABEL,
    QUEUE_LABEL,
    RUN_ANNOTATION,
    WORKER,
)
from k8s.manifest.spec import Served
from k8s.planning.capacity import NodeSpace, matching, spaces
from k8s.settings import platform as platforms
from k8s.settings.layers import Yaml
from trainer.contract import STATE

T = TypeVar("T")
ALL = f"{NAME_LABEL}={APP},{MANAGER_LABEL}={MANAGER}"
LOG_SECONDS, LOG_READERS = 5.0, 8
WORKERS = f"{NAME_LABEL}={APP},{COMPONENT_LABEL}={WORKER}"


def platform_settings(cluster: Cluster) -> Yaml:
    """The chart's settings in the namespace, not yet validated.

    Raises:
        CliError: 3 when the chart is not installed there.
    """
    where = f"ConfigMap {CONFIG_MAP} in namespace {cluster.namespace}"
    path = api.namespaced(cluster, CORE, "configmaps", CONFIG_MAP)
    found = api.find(cluster, path, f"read ConfigMap {CONFIG_MAP}")
    if found is None:
        raise missing(f"no {where}: install the chart there (helm install catdog …), or use another --namespace")
    return platforms.of_config_map(found, where)


def served(cluster: Cluster) -> Served:
    """Which optional APIs the cluster has."""
    return Served(jobset=api.serves(cluster, api.JOB_SETS), kueue=api.serves(cluster, KUEUE))


@dataclass(frozen=True)
class Listed:
    """A run for `catdog list`: what its phase is derived from, and its run folder."""

    observation: Observation
    uri: str


def list_runs(cluster: Cluster, runs_uri: str, *, jobset: bool) -> tuple[list[Listed], str]:
    """All runs, newest first: those in the cluster, then those with only a folder below `runs_uri`; and why some
    folders could not be read.

    One list request for each kind of object, one for the folders, and one read per run folder, side by side and within
    15 s in all. Of runs whose folder cannot be read, the log of rank 0 is.

    Raises:
        ApiError: when the objects cannot be listed.
    """
    now = datetime.now(UTC)
    found = sorted(of_each_run(_tops(cluster, jobset=jobset)), key=_created, reverse=True)
    pods: dict[str, list[Object]] = {}
    for pod in api.items(cluster, api.namespaced(cluster, CORE, "pods"), "list pods", WORKERS):
        pods.setdefault(str(pod["metadata"]["labels"].get(INSTANCE_LABEL)), []).append(pod)
    uris = {uri for uri in map(run_uri_of, found) if uri}
    read = folders.states(runs_uri, uris)
    deaf = [_name(top) for top in found if run_uri_of(top) in read.unread]
    told, _ = _told(cluster, {name: pods.get(name, ()) for name in deaf})
    listed = []
    for top in found:
        name, uri = _name(top), run_uri_of(top)
        its = [pod for pod in pods.get(name, ()) if tops.owns(top, pod)]
        state, unread = read.found.get(uri), read.unread.get(uri, "")
        seen = Observation(name, now, top, pods=its, state=state or told.get(name), unread=unread)
        listed.append(Listed(seen, uri))
    rest = sorted(read.found.items(), key=lambda one: str(one[1].get("updated")), reverse=True)
    folders_only = [(uri, state, "") for uri, state in rest] + [(uri, None, why) for uri, why in read.unread.items()]
    for uri, state, why in folders_only:
        if uri not in uris:
            listed.append(Listed(of_folder(uri.rpartition("/")[2], state, now, unread=why), uri))
    return listed, read.trouble or _unread_note(read.unread)


def _unread_note(unread: Mapping[str, str]) -> str:
    """Why run folders could not be read, of one for all."""
    first = next(iter(unread.values()), "")
    return f"{first}; nor can {len(unread) - 1} other run folders" if len(unread) > 1 else first


def _told(cluster: Cluster, runs: Mapping[str, Iterable[Object]]) -> tuple[dict[str, Mapping[str, Any]], str]:
    """The progress that rank 0 of these runs told last in its log, by the run's name; and why a log was not read.

    The logs are read side by side, within a few seconds in all.
    """
    calls: Bounded[str, tuple[Mapping[str, Any] | None, str]] = Bounded(LOG_SECONDS, LOG_READERS)
    for name, pods in runs.items():
        calls.start(name, partial(_spoken, cluster, pods))
    told: dict[str, Mapping[str, Any]] = {}
    trouble = ""
    for name, (state, words) in calls.results():
        trouble = trouble or words
        if state is not None:
            told[name] = state
    return told, trouble or (f"no answer in {LOG_SECONDS:g} s for the log of rank 0" if calls.late else "")


def _spoken(cluster: Cluster, pods: Iterable[Object]) -> tuple[Mapping[str, Any] | None, str]:
    mine = [pod for pod in pods if observation.rank(pod) in (0, None) and observation.started(pod)]
    if not mine:
        return None, ""
    newest = max(mine, key=lambda pod: (observation.is_active(pod), str(pod["metadata"].get("creationTimestamp"))))
    try:
        lines = api.log_lines(cluster, str(newest["metadata"]["name"]), follow=False, tail=TAIL_LINES)
        return heard_in(lines), ""
    except ApiError as error:
        return None, error.message


def names(cluster: Cluster) -> list[str]:
    """Names of all runs in the cluster.

    Raises:
        ApiError: when they cannot be listed.
    """
    found = of_each_run(_tops(cluster, jobset=api.serves(cluster, api.JOB_SETS)))
    return [_name(top) for top in found]


def _name(top: Object) -> str:
    return str(top["metadata"]["name"])


def _created(top: Object) -> str:
    return str(top["metadata"].get("creationTimestamp"))


def _tops(cluster: Cluster, *, jobset: bool) -> list[Object]:
    """JobSets, and Jobs without an owner, of all runs."""
    found = api.items(cluster, api.path_of(cluster, "Job"), "list jobs", ALL)
    made = [job for job in found if not job["metadata"].get("ownerReferences")]
    if jobset:
        made += api.items(cluster, api.path_of(cluster, "JobSet"), "list jobsets", ALL)
    return made


def observe(
    cluster: Cluster, name: str, run_uri: str = "", *, deep: bool = False, only: Object | None = None
) -> Observation:
    """Observe a run now. `deep` adds what only `why` needs: nodes, their free resources, queue positions.

    With `only`, the run is that very object, and not another one that has its name later.

    Raises:
        CliError: 3 when `only` is gone and another run has its name.
        ApiError: when the run's own objects cannot be read.
    """
    notes: list[str] = []
    named = find(cluster, name)
    top = named.top if only is None else tops.same(named, only, cluster.typed)
    notes += tops.others(named, top, cluster.typed)
    of_run = f"{INSTANCE_LABEL}={name}"
    pods = api.items(cluster, api.namespaced(cluster, CORE, "pods"), "list pods", f"{of_run},{WORKERS}")
    owner = top or only
    pods = [pod for pod in pods if owner is None or tops.owns(owner, pod)]
    jobs: list[Object] = []
    if top is not None and top["kind"] == "JobSet":
        jobs = api.items(cluster, api.path_of(cluster, "Job"), "list jobs", f"{of_run},{NAME_LABEL}=catdog")
    uri = run_uri_of(top) or run_uri
    state, trouble = folders.read(uri, STATE) if uri else (None, "")
    if trouble:
        notes.append(trouble)
        told, more_trouble = _told(cluster, {name: pods})
        state = told.get(name)
        notes += [more_trouble] if more_trouble else []
    if top is None and only is not None and tops.is_older(state, only):
        state = None  # from an earlier run in this folder
    started = bool((state or {}).get("step"))
    resumable = True if started else (folders.has_config(uri) if uri and not trouble else None)
    events: list[Object] = []
    if top is not None:
        events = _try(lambda: _events(cluster, top, [*jobs, *pods]), notes) or []
    workload = _try(lambda: _workload(cluster, top), notes) if top is not None and _queue(top) else None
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
        unread=trouble,
        resumable=resumable,
        typed=cluster.typed,
        notes=tuple(notes),
    )


def run_uri_of(top: Object | None) -> str:
    """The run folder of the run that an object belongs to."""
    return str(((top or {}).get("metadata", {}).get("annotations") or {}).get(RUN_ANNOTATION, ""))


def node_spaces(
    cluster: Cluster, selector: dict[str, str], tolerations: list[dict[str, Any]]
) -> tuple[list[NodeSpace] | None, list[str]]:
    """What the matching nodes have and how much is free, as far as these credentials can read it; and notes."""
    notes: list[str] = []
    nodes = _try(lambda: api.items(cluster, f"{CORE}/nodes", "list nodes"), notes, _NO_NODES)
    if nodes is None:
        return None, notes
    fitting = matching(nodes, selector, tolerations)
    pods = _all_pods(cluster, notes)
    return spaces(fitting, pods), notes


_RUNNING = "status.phase!=Succeeded,status.phase!=Failed"
_NO_NODES = "no permission to read nodes (rbac.nodes in the chart)"
_NO_PODS = (
    "free resources on the nodes are unknown: no permission to list pods in all namespaces (rbac.pods in the chart)"
)


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


def _events(cluster: Cluster, top: Object, owned: list[Object]) -> list[Object]:
    found = api.items(cluster, api.namespaced(cluster, CORE, "events"), "list events")
    others = {str(one["metadata"]["name"]) for one in longer_named(cluster, top, owned)}
    return events.of_run(found, top, owned, others)


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
    answer = api.find(cluster, path, f"read the positions in queue {queue}") or {}
    for one in answer.get("items") or ():
        if one["metadata"]["name"] == workload["metadata"]["name"]:
            local, shared = int(one.get("positionInLocalQueue", 0)), int(one.get("positionInClusterQueue", 0))
            return ((f"queue {queue}", local), ("its cluster queue", shared))
    return ()


def _try(read: Callable[[], T], notes: list[str], instead: str = "") -> T | None:
    """The result, or None and a note if reading is not allowed; an unreachable server still raises.

    `instead` replaces the message if submitters do not need the permission.
    """
    try:
        return read()
    except ApiError as error:
        if error.status not in (403, 404):
            raise
        notes.append(instead or error.message)
        return None
